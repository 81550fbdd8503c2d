/* SPDX-License-Identifier: MIT */
/* Made of three things that vanish with this process, so that nothing is left in anybody's way when it is killed: a cgroup
 * program of a dozen lines on a bpf link, which drops SYNs (Linux 5.7; it is run for a packet that has found its socket,
 * and so tells services apart; another takes its place while the service is frozen); the catch's packet socket on the
 * bridge, which sees them before; and sock_diag. */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>

#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/engine/cgroup.h"
#include "lib/engine/net.h"
#include "lib/engine/rtnl.h"

#define STEP_US 500
#define TRIES 20 /* of a freeze */
#define IPV4_BYTES 20 /* without options */
#define IPV6_BYTES 40 /* without extension headers: a SYN that has any is not held back */
#define TCP_FLAGS_AT 13
#define SYN 0x02
#define SYN_ACK 0x12
#define LOOPBACK 1 /* the index of lo in every network namespace */

/* ---- holding new connections back ---- */

static int bpf(int cmd, union bpf_attr *attr)
{
	return (int)syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

#define INSN(op, d, s, o, i) ((struct bpf_insn){ .code = (op), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i) })
#define MOV(d, s) INSN(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define SET(d, i) INSN(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, i)
#define MATH(op, d, i) INSN(BPF_ALU64 | (op) | BPF_K, d, 0, 0, i)
#define BYTE(d, at) INSN(BPF_LDX | BPF_MEM | BPF_B, d, BPF_REG_10, (at) - ROOM, 0)
#define UNLESS(r, i, skip) INSN(BPF_JMP | BPF_JNE | BPF_K, r, 0, skip, i)
#define IF(r, i, skip) INSN(BPF_JMP | BPF_JEQ | BPF_K, r, 0, skip, i)
#define GO(skip) INSN(BPF_JMP | BPF_JA, 0, 0, skip, 0)
#define CALL(f) INSN(BPF_JMP | BPF_CALL, 0, 0, 0, f)
#define ROOM 16 /* bytes of the packet on the program's stack */

/* Drops (0) SYNs, those that come over lo only with `lo`, and passes (1) all else; -1 with errno. Packets begin with their IP
 * header here. */
static int program_load(bool lo)
{
	const struct bpf_insn code[] = {
		MOV(BPF_REG_6, BPF_REG_1),
		INSN(BPF_LDX | BPF_MEM | BPF_W, BPF_REG_2, BPF_REG_6, offsetof(struct __sk_buff, ifindex), 0),
		IF(BPF_REG_2, lo ? 0 : LOOPBACK, 28), /* 0: no interface's index */
		SET(BPF_REG_2, 0),
		MOV(BPF_REG_3, BPF_REG_10),
		MATH(BPF_ADD, BPF_REG_3, -ROOM),
		SET(BPF_REG_4, ROOM),
		CALL(BPF_FUNC_skb_load_bytes),
		UNLESS(BPF_REG_0, 0, 22),
		BYTE(BPF_REG_7, 0), /* version and header length */
		MOV(BPF_REG_2, BPF_REG_7),
		MATH(BPF_RSH, BPF_REG_2, 4),
		IF(BPF_REG_2, 6, 4),
		BYTE(BPF_REG_3, 9), /* IPv4: protocol */
		MATH(BPF_AND, BPF_REG_7, 15),
		MATH(BPF_LSH, BPF_REG_7, 2),
		GO(2),
		BYTE(BPF_REG_3, 6), /* IPv6: next header */
		SET(BPF_REG_7, IPV6_BYTES),
		UNLESS(BPF_REG_3, IPPROTO_TCP, 11),
		MOV(BPF_REG_1, BPF_REG_6),
		MOV(BPF_REG_2, BPF_REG_7),
		MATH(BPF_ADD, BPF_REG_2, TCP_FLAGS_AT),
		MOV(BPF_REG_3, BPF_REG_10),
		MATH(BPF_ADD, BPF_REG_3, -ROOM),
		SET(BPF_REG_4, 1),
		CALL(BPF_FUNC_skb_load_bytes),
		UNLESS(BPF_REG_0, 0, 3),
		BYTE(BPF_REG_7, 0),
		MATH(BPF_AND, BPF_REG_7, SYN_ACK),
		IF(BPF_REG_7, SYN, 2),
		SET(BPF_REG_0, 1),
		INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
		SET(BPF_REG_0, 0),
		INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
	};
	union bpf_attr attr = { .prog_type = BPF_PROG_TYPE_CGROUP_SKB,
				.expected_attach_type = BPF_CGROUP_INET_INGRESS,
				.insns = (uintptr_t)code,
				.insn_cnt = sizeof(code) / sizeof(*code),
				.license = (uintptr_t) "MIT",
				.prog_name = "edge_quiet" };

	return bpf(BPF_PROG_LOAD, &attr);
}

/* The link, which is in effect while it is open; -1 with errno. */
static int program_attach(int program, const struct service *s)
{
	const char *path = cgroup_v2_dir(s->name);
	AUTO_FD int dir = path ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	union bpf_attr attr = { .link_create = { .prog_fd = (uint32_t)program,
						 .target_fd = (uint32_t)dir,
						 .attach_type = BPF_CGROUP_INET_INGRESS } };

	return dir < 0 ? -1 : bpf(BPF_LINK_CREATE, &attr);
}

/* Of frames to this address the catch takes only SYNs, also those of this node itself, and forgets what it has caught so
 * far. */
static int catch_syns(int fd, const unsigned char mac[6])
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)mac[0] << 24 | mac[1] << 16 | mac[2] << 8 | mac[3], 0, 16),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 4),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(mac[4] << 8 | mac[5]), 0, 14),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETHERTYPE_IPV6, 5, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETHERTYPE_IP, 0, 11),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, ETH_HLEN + 9),
		BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, ETH_HLEN), /* X: bytes of the IPv4 header */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_TCP, 0, 8),
		BPF_JUMP(BPF_JMP | BPF_JA, 3, 0, 0),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, ETH_HLEN + 6),
		BPF_STMT(BPF_LDX | BPF_W | BPF_IMM, IPV6_BYTES),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_TCP, 0, 4),
		BPF_STMT(BPF_LD | BPF_B | BPF_IND, ETH_HLEN + TCP_FLAGS_AT),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, SYN_ACK),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYN, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(*code), code };
	int zero = 0;
	char byte;

	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) ||
	    setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &zero, sizeof(zero)))
		return -1;
	while (recv(fd, &byte, 1, MSG_DONTWAIT) > 0)
		;
	return 0;
}

/* What comes over lo is held only while the service is frozen, as nobody could bring it later: it comes from processes that
 * are in its network and not its own (a test of its health), and those then try again after a second. */
static void hold_lo(struct net_quiet *q, bool hold)
{
	union bpf_attr attr = { .link_update = { .link_fd = (uint32_t)q->link,
						 .new_prog_fd = (uint32_t)q->programs[hold] } };

	if (q->link >= 0)
		bpf(BPF_LINK_UPDATE, &attr);
}

/* The catch before the link: a SYN that is caught and not held comes twice, which TCP is used to; one that is held and not
 * caught comes a second later. */
static int hold_back(struct net_quiet *q, const struct service *s)
{
	unsigned char mac[6];

	for (int lo = 0; lo < 2; lo++)
		if ((q->programs[lo] = program_load(lo)) < 0)
			return -1;
	if (net_mac_parse(s->mac, mac) || net_catch_start(&q->syns, s, false, NULL))
		return -1;
	return catch_syns(q->syns.fd, mac) || (q->link = program_attach(q->programs[0], s)) < 0 ? -1 : 0;
}

/* ---- what is on its way ---- */

struct query {
	struct nlmsghdr h;
	struct inet_diag_req_v2 r;
};

/* Calls fn for each socket of these states; -1 with errno when they cannot be listed. */
static int each(int fd, int family, uint32_t states, void (*fn)(void *, const struct inet_diag_msg *), void *ctx)
{
	struct query q = { .h = { .nlmsg_len = sizeof(q),
				  .nlmsg_type = SOCK_DIAG_BY_FAMILY,
				  .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
			   .r = { .sdiag_family = (uint8_t)family, .sdiag_protocol = IPPROTO_TCP, .idiag_states = states } };
	_Alignas(struct nlmsghdr) char room[32768];

	if (send(fd, &q, sizeof(q), 0) < 0)
		return -1;
	for (;;) {
		ssize_t got = recv(fd, room, sizeof(room), 0);
		int left = (int)got;

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return -1;
		for (struct nlmsghdr *h = (struct nlmsghdr *)room; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
			if (h->nlmsg_type == NLMSG_DONE)
				return 0;
			if (h->nlmsg_type != SOCK_DIAG_BY_FAMILY || h->nlmsg_len < NLMSG_LENGTH(sizeof(struct inet_diag_msg)))
				return -1;
			fn(ctx, NLMSG_DATA(h));
		}
	}
}

static void count_waiting(void *ctx, const struct inet_diag_msg *m)
{
	/* Of those that do not listen the ones that no process has: SYN_RECV, and those closed while the peer has not got
	 * everything. */
	*(int *)ctx += m->idiag_state == TCP_LISTEN ? (int)m->idiag_rqueue : !m->idiag_inode;
}

/* Sockets of these states that nobody has accepted, or nobody has any more; -1 with errno. */
static int count(int fd, int family, uint32_t states)
{
	int n = 0;

	return each(fd, family, states, count_waiting, &n) ? -1 : n;
}

static int count_both(int fd, uint32_t states)
{
	int v4 = count(fd, AF_INET, states), v6 = v4 < 0 ? -1 : count(fd, AF_INET6, states);

	return v4 < 0 ? v4 : v6 < 0 ? v4 : v4 + v6; /* a kernel without IPv6 has none of these */
}

#define UNACCEPTED (1u << TCP_LISTEN)
#define UNDELIVERED (1u << TCP_SYN_RECV | 1u << TCP_FIN_WAIT1 | 1u << TCP_CLOSING | 1u << TCP_LAST_ACK)

static int diag_open(const struct service *s)
{
	AUTO_FD int ns = net_open(s, NULL);

	return ns < 0 ? -1 : rtnl_socket_in(ns, AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG);
}

void net_quiet_start(struct net_quiet *q, const struct service *s, int limit_ms)
{
	double end = clock_ms() + limit_ms;
	AUTO_FD int diag = s->addr[0] ? diag_open(s) : -1;

	if (diag < 0)
		return;
	if (hold_back(q, s)) {
		net_quiet_stop(q);
		return;
	}
	/* Listening sockets are few, the others are looked for among those of the whole machine. */
	while ((count_both(diag, UNACCEPTED) > 0 || count_both(diag, UNDELIVERED) > 0) && clock_ms() < end)
		usleep(STEP_US);
}

/* ---- connections ---- */

#define CONNECTED (~(1u << TCP_LISTEN | 1u << TCP_CLOSE | 1u << TCP_TIME_WAIT) & ((1u << (TCP_CLOSING + 1)) - 1))

static void count_owned(void *ctx, const struct inet_diag_msg *m)
{
	*(int *)ctx += m->idiag_inode != 0;
}

int net_connections(const struct service *s)
{
	AUTO_FD int diag = diag_open(s);
	int n = 0;

	if (diag < 0 || each(diag, AF_INET, CONNECTED, count_owned, &n))
		return -1;
	each(diag, AF_INET6, CONNECTED, count_owned, &n); /* a kernel without IPv6 has none of these */
	return n;
}

static void destroy(void *ctx, const struct inet_diag_msg *m)
{
	struct query q = { .h = { .nlmsg_len = sizeof(q), .nlmsg_type = SOCK_DESTROY, .nlmsg_flags = NLM_F_REQUEST },
			   .r = { .sdiag_family = m->idiag_family, .sdiag_protocol = IPPROTO_TCP, .id = m->id } };

	/* one that has just ended by itself is none any more */
	(void)!send(*(int *)ctx, &q, sizeof(q), 0);
}

void net_drop_connections(const struct service *s)
{
	AUTO_FD int diag = diag_open(s), by = diag_open(s);

	if (diag < 0 || by < 0)
		return;
	each(diag, AF_INET, CONNECTED, destroy, &by);
	each(diag, AF_INET6, CONNECTED, destroy, &by);
}

static int unaccepted(const struct service *s)
{
	AUTO_FD int diag = diag_open(s);

	return diag < 0 ? 0 : count_both(diag, UNACCEPTED);
}

void net_settle(const struct service *s, int limit_ms)
{
	double end = clock_ms() + limit_ms;
	AUTO_FD int diag = diag_open(s);

	while (diag >= 0 && count_both(diag, UNACCEPTED) > 0 && clock_ms() < end)
		usleep(STEP_US);
}

int net_quiet_freeze(struct net_quiet *q, const struct service *s, int timeout_ms, struct err *e)
{
	for (int i = 0;; i++) {
		if (cgroup_freeze(s->name, timeout_ms, e))
			return -1;
		hold_lo(q, true);
		if (i == TRIES || unaccepted(s) <= 0)
			return 0;
		hold_lo(q, false);
		if (cgroup_thaw(s->name, e))
			return -1;
		usleep(STEP_US);
	}
}

void net_quiet_end(struct net_quiet *q)
{
	if (q->link < 0)
		return;
	close(q->link);
	q->link = -1;
	net_catch_pass_on(&q->syns);
}

void net_quiet_stop(struct net_quiet *q)
{
	net_quiet_end(q);
	net_catch_stop(&q->syns);
	for (int lo = 0; lo < 2; lo++)
		close(TAKE_FD(q->programs[lo]));
}
