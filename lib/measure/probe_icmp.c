/* SPDX-License-Identifier: MIT */
/* Echo requests of ICMP and ICMPv6 (RFC 792, RFC 4443). One socket a family carries all targets: each packet ends with a key
 * of this run and the number of its probe, 64 bits each, so neither identifier nor sequence number has to tell probes apart.
 * Times are the kernel's: when the driver took the packet (it comes back on the error queue, with its content and so with its
 * number) and when the answer came in. So we may look seldom, and a busy machine does not lengthen what is measured. */
#include <errno.h>
#include <time.h> /* before errqueue.h, which needs it */
#include <linux/errqueue.h>
#include <linux/filter.h>
#include <linux/net_tstamp.h>
#include <linux/sock_diag.h>
#include <math.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "lib/base/clock.h"
#include "lib/measure/probe_int.h"

#define PAYLOAD 56
#define PACKET (8 + PAYLOAD)
#define ROOM 256                /* bytes of a packet that comes back, with all its headers */
#define BATCH 64
#define BUFFER (32 << 20)       /* bytes; what may wait in the kernel between two looks */
#ifndef ICMP_FILTER
#define ICMP_FILTER 1           /* linux/icmp.h, which does not go with netinet/ip_icmp.h */
#endif
#define LAZY_MS 10.0            /* between two looks, ... */
#define LAZY_PACKETS 512        /* ... or so many packets */

struct token {
	uint64_t key, number;
};

struct lane { /* of one family; fd -1: not open */
	int fd;
	bool raw;
	size_t batched;
	size_t numbers[BATCH];
};

struct echo {
	struct lane lanes[2];   /* IPv4, IPv6 */
	uint64_t key;
	int64_t *sent;          /* ns of CLOCK_REALTIME, by probe: by us, until the kernel's comes */
	double looked;          /* clock_ms() */
	size_t since;           /* packets sent since then */
	uint8_t packets[BATCH][PACKET];
	uint8_t in[BATCH][ROOM];
	uint8_t control[BATCH][256];
	struct iovec iov[BATCH];
	struct mmsghdr msgs[BATCH];
};

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Only answers of this run reach us: others ping, too, and every raw socket sees all of it. */
static void filter(const struct lane *l, bool six, uint64_t key)
{
	uint8_t bytes[8];

	memcpy(bytes, &key, sizeof(key));
	uint32_t want = (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
	uint32_t at = PACKET - sizeof(struct token);
	struct sock_filter code[] = {
		six || !l->raw ? (struct sock_filter)BPF_STMT(BPF_LDX | BPF_IMM, 0) :
				 (struct sock_filter)BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
		BPF_STMT(BPF_LD | BPF_B | BPF_IND, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, six ? ICMP6_ECHO_REPLY : ICMP_ECHOREPLY, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_IND, at),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, want, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog prog = { sizeof(code) / sizeof(*code), code };

	setsockopt(l->fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog));
}

/* What a raw socket can do without: copies of packets that are no answers, our own over loopback among them, and a number
 * for each packet to put its pieces together by (ours have none). Ping sockets do not know these, and have no need. */
static void spare(const struct lane *l, bool six)
{
	uint32_t other = ~(UINT32_C(1) << ICMP_ECHOREPLY);
	int whole = IP_PMTUDISC_DO;
	struct icmp6_filter answers;

	if (six) {
		ICMP6_FILTER_SETBLOCKALL(&answers);
		ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &answers);
		setsockopt(l->fd, IPPROTO_ICMPV6, ICMP6_FILTER, &answers, sizeof(answers));
	} else {
		setsockopt(l->fd, SOL_RAW, ICMP_FILTER, &other, sizeof(other));
		setsockopt(l->fd, IPPROTO_IP, IP_MTU_DISCOVER, &whole, sizeof(whole));
	}
}

static int lane_open(struct lane *l, bool six, uint64_t key)
{
	int family = six ? AF_INET6 : AF_INET, protocol = six ? (int)IPPROTO_ICMPV6 : (int)IPPROTO_ICMP;
	int stamps = SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_TX_SOFTWARE;
	int size = BUFFER;

	l->fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
	l->raw = l->fd < 0;
	if (l->raw)
		l->fd = socket(family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
	if (l->fd < 0)
		return -1;
	if (setsockopt(l->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
		setsockopt(l->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (setsockopt(l->fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)))
		setsockopt(l->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	setsockopt(l->fd, SOL_SOCKET, SO_TIMESTAMPING, &stamps, sizeof(stamps));
	filter(l, six, key);
	if (l->raw)
		spare(l, six);
	return 0;
}

static int icmp_open(struct probe *p, struct err *e)
{
	struct echo *c = calloc(1, sizeof(*c));
	bool wanted[2] = { false, false };

	p->self = c;
	if (!c || !(c->sent = calloc(p->n * (size_t)p->plan.count, sizeof(*c->sent))))
		return err_sys(e, "icmp");
	c->lanes[0].fd = c->lanes[1].fd = -1;
	if (*p->arg)
		return err_set(e, EX_USAGE, "method %s: icmp takes nothing behind it", p->plan.method);
	if (getrandom(&c->key, sizeof(c->key), 0) != sizeof(c->key))
		return err_sys(e, "random numbers");
	for (size_t i = 0; i < p->n; i++)
		wanted[p->t[i].addr.sa.sa_family == AF_INET6] |= p->t[i].addr.sa.sa_family != AF_UNSPEC;
	for (int six = 0; six < 2; six++)
		if (wanted[six] && lane_open(&c->lanes[six], six, c->key))
			return err_sys(e, "icmp: cannot open a ping socket or a raw one");
	for (size_t i = 0; i < BATCH; i++) {
		c->packets[i][4] = (uint8_t)c->key; /* the identifier, of which nothing depends on our side */
		c->packets[i][5] = (uint8_t)(c->key >> 8);
	}
	return 0;
}

static void icmp_close(struct probe *p)
{
	struct echo *c = p->self;

	for (int i = 0; c && i < 2; i++)
		if (c->lanes[i].fd >= 0)
			close(c->lanes[i].fd);
	if (c)
		free(c->sent);
	free(c);
	p->self = NULL;
}

static uint16_t checksum(const uint8_t *p, size_t n)
{
	uint32_t sum = 0;
	uint16_t word;

	for (size_t i = 0; i + 1 < n; i += 2) {
		memcpy(&word, p + i, 2);
		sum += word;
	}
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~(sum + (sum >> 16));
}

static void packet_make(const struct echo *c, uint8_t *packet, bool six, size_t i)
{
	struct token token = { c->key, i };
	uint16_t seq = htons((uint16_t)i), sum = 0;

	packet[0] = six ? ICMP6_ECHO_REQUEST : ICMP_ECHO;
	memcpy(packet + 2, &sum, 2);
	memcpy(packet + 6, &seq, 2);
	memcpy(packet + PACKET - sizeof(token), &token, sizeof(token));
	if (!six) { /* the kernel does it for ICMPv6 */
		sum = checksum(packet, PACKET);
		memcpy(packet + 2, &sum, 2);
	}
}

static void look(struct probe *p);

/* Sends a lane's batch. A full queue is waited for: those packets are ours to lose, not the network's. */
static void flush(struct probe *p, struct lane *l, bool six)
{
	struct echo *c = p->self;
	int64_t now = now_ns();
	size_t at = 0;

	for (size_t k = 0; k < l->batched; k++) {
		struct target *t = probe_target(p, l->numbers[k]);

		packet_make(c, c->packets[k], six, l->numbers[k]);
		c->iov[k] = (struct iovec){ c->packets[k], PACKET };
		c->msgs[k].msg_hdr = (struct msghdr){ .msg_name = &t->addr, .msg_namelen = address_len(&t->addr),
						      .msg_iov = &c->iov[k], .msg_iovlen = 1 };
		c->sent[l->numbers[k]] = now;
	}
	while (at < l->batched) {
		int n = sendmmsg(l->fd, c->msgs + at, (unsigned)(l->batched - at), MSG_DONTWAIT);

		if (n > 0) {
			at += (size_t)n;
		} else if (errno == EAGAIN || errno == ENOBUFS || errno == EINTR) {
			struct pollfd pfd = { l->fd, POLLOUT, 0 };

			poll(&pfd, 1, 1);
		} else {
			probe_lost(p, l->numbers[at], strerrordesc_np(errno));
			at++;
		}
	}
	c->since += l->batched;
	l->batched = 0;
}

static size_t icmp_launch(struct probe *p, size_t n)
{
	struct echo *c = p->self;

	n = n < BATCH ? n : BATCH;
	for (size_t i = p->next; i < p->next + n; i++) {
		const struct target *t = probe_target(p, i);
		struct lane *l = &c->lanes[t->addr.sa.sa_family == AF_INET6];

		if (t->addr.sa.sa_family == AF_UNSPEC)
			probe_lost(p, i, t->why);
		else
			l->numbers[l->batched++] = i;
	}
	for (int six = 0; six < 2; six++)
		if (c->lanes[six].batched)
			flush(p, &c->lanes[six], six);
	return n;
}

/* The software time stamp of a message, 0 without one. */
static int64_t stamp_of(struct msghdr *m)
{
	for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h))
		if (h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_TIMESTAMPING) {
			struct scm_timestamping ts;

			memcpy(&ts, CMSG_DATA(h), sizeof(ts));
			return (int64_t)ts.ts[0].tv_sec * 1000000000 + ts.ts[0].tv_nsec;
		}
	return 0;
}

/* The number of the probe that the message's last bytes name; -1 when it is none of ours. */
static int64_t number_of(const struct probe *p, const uint8_t *data, size_t len)
{
	const struct echo *c = p->self;
	struct token token;

	if (len < sizeof(token))
		return -1;
	memcpy(&token, data + len - sizeof(token), sizeof(token));
	return token.key == c->key && token.number < p->next + BATCH && token.number < p->n * (size_t)p->plan.count ?
		       (int64_t)token.number : -1;
}

/* Up to BATCH messages of a queue; how many there were. */
static int receive(struct echo *c, int fd, int flags)
{
	for (size_t k = 0; k < BATCH; k++) {
		c->iov[k] = (struct iovec){ c->in[k], ROOM };
		c->msgs[k].msg_hdr = (struct msghdr){ .msg_iov = &c->iov[k], .msg_iovlen = 1,
						      .msg_control = c->control[k], .msg_controllen = sizeof(c->control[k]) };
	}
	return recvmmsg(fd, c->msgs, BATCH, flags | MSG_DONTWAIT, NULL);
}

static void take_sent(struct probe *p, struct mmsghdr *m, const uint8_t *data)
{
	struct echo *c = p->self;
	int64_t i = number_of(p, data, m->msg_len), at = stamp_of(&m->msg_hdr);

	if (i >= 0 && at)
		c->sent[i] = at;
}

static void take_answer(struct probe *p, struct mmsghdr *m, const uint8_t *data)
{
	struct echo *c = p->self;
	int64_t i = number_of(p, data, m->msg_len), at = stamp_of(&m->msg_hdr), now = now_ns();

	if (i < 0)
		return;
	/* A clock that was set in the meantime: better late than before it was sent. */
	if (!at || at < c->sent[i] || at > now)
		at = now;
	probe_answer(p, (size_t)i, (double)(at - c->sent[i]) / 1e6);
}

/* Everything that has come. First what was sent, as the answers need it. */
static void look(struct probe *p)
{
	struct echo *c = p->self;
	int n;

	for (int k = 0; k < 2; k++) {
		int fd = c->lanes[k].fd;

		if (fd < 0)
			continue;
		do {
			n = receive(c, fd, MSG_ERRQUEUE);
			for (int i = 0; i < n; i++)
				take_sent(p, &c->msgs[i], c->in[i]);
		} while (n == BATCH);
		do {
			n = receive(c, fd, 0);
			for (int i = 0; i < n; i++)
				take_answer(p, &c->msgs[i], c->in[i]);
		} while (n == BATCH);
	}
	c->looked = clock_ms();
	c->since = 0;
}

static void count_dropped(struct probe *p)
{
	struct echo *c = p->self;
	uint32_t info[SK_MEMINFO_VARS];
	socklen_t len = sizeof(info);

	p->dropped = 0;
	for (int k = 0; k < 2; k++)
		if (c->lanes[k].fd >= 0 && !getsockopt(c->lanes[k].fd, SOL_SOCKET, SO_MEMINFO, info, &len))
			p->dropped += info[SK_MEMINFO_DROPS];
}

static void icmp_collect(struct probe *p, double wait_ms, bool rest)
{
	struct echo *c = p->self;
	struct pollfd fds[2] = { { c->lanes[0].fd, POLLIN, 0 }, { c->lanes[1].fd, POLLIN, 0 } };
	struct timespec ts = { (time_t)(wait_ms / 1e3), (long)(fmod(wait_ms, 1e3) * 1e6) };

	if (!rest) {
		if (wait_ms > 0)
			clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL);
		if (clock_ms() - c->looked > LAZY_MS || c->since > LAZY_PACKETS)
			look(p);
		return;
	}
	look(p);
	if (p->done < p->n * (size_t)p->plan.count && wait_ms > 0)
		poll(fds, 2, (int)wait_ms + 1);
	look(p);
	count_dropped(p);
}

const struct probe_method probe_icmp = {
	.name = "icmp", .open = icmp_open, .launch = icmp_launch, .collect = icmp_collect, .close = icmp_close,
};
