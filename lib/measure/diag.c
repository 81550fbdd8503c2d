/* SPDX-License-Identifier: MIT */
#include "lib/measure/diag.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <stdbool.h>
#include <string.h>

#include "lib/base/auto.h"
#include "lib/engine/rtnl.h"

#define ROOM 65536
#define STATES_OPEN (1u << 1 | 1u << 4 | 1u << 5 | 1u << 8) /* ESTABLISHED, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT */
#define STATES_LISTEN (1u << 10)

struct walk {
	void (*each)(void *, const struct diag_connection *);
	void *ctx;
	uint8_t listens[65536 / 8];
};

int diag_open(int netns, struct err *e)
{
	int fd = rtnl_socket_in(netns, AF_NETLINK, SOCK_DGRAM, NETLINK_SOCK_DIAG);

	return fd < 0 ? err_sys(e, "sock_diag") : fd;
}

static void take_listener(struct walk *w, const struct inet_diag_msg *m, struct rtattr **attrs)
{
	uint16_t port = ntohs(m->id.idiag_sport);

	(void)attrs;
	w->listens[port / 8] |= (uint8_t)(1u << port % 8);
}

static void take_open(struct walk *w, const struct inet_diag_msg *m, struct rtattr **attrs)
{
	struct diag_connection c = { .cookie = m->id.idiag_cookie[0] | (uint64_t)m->id.idiag_cookie[1] << 32 };
	uint16_t port = ntohs(m->id.idiag_sport);
	struct tcp_info info = { 0 };

	if (!(w->listens[port / 8] & 1u << port % 8) || !attrs[INET_DIAG_INFO])
		return;
	size_t n = RTA_PAYLOAD(attrs[INET_DIAG_INFO]); /* an older kernel knows less */
	memcpy(&info, RTA_DATA(attrs[INET_DIAG_INFO]), n < sizeof(info) ? n : sizeof(info));
	if (m->idiag_family == AF_INET) {
		c.addr[2] = htonl(0xffff);
		c.addr[3] = m->id.idiag_dst[0];
	} else {
		memcpy(c.addr, m->id.idiag_dst, sizeof(c.addr));
	}
	c.srtt_us = info.tcpi_rtt;
	c.min_us = info.tcpi_rtt && info.tcpi_min_rtt != UINT32_MAX ? info.tcpi_min_rtt : 0;
	c.retransmits = info.tcpi_total_retrans;
	c.segments = info.tcpi_segs_in;
	c.sent = info.tcpi_bytes_acked;
	c.received = info.tcpi_bytes_received;
	w->each(w->ctx, &c);
}

static int ask(int fd, uint8_t family, uint32_t states)
{
	struct inet_diag_req_v2 req = { .sdiag_family = family, .sdiag_protocol = IPPROTO_TCP, .idiag_states = states };
	struct rtnl_msg m;

	if (states != STATES_LISTEN)
		req.idiag_ext = 1 << (INET_DIAG_INFO - 1);
	rtnl_begin(&m, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &req, sizeof(req));
	return send(fd, &m, m.h.nlmsg_len, 0) < 0 ? -1 : 0;
}

static int dump(int fd, uint8_t family, uint32_t states, struct walk *w)
{
	AUTO_FREE char *room = malloc(ROOM);
	struct rtattr *attrs[INET_DIAG_MAX + 1];

	if (!room || ask(fd, family, states))
		return -1;
	for (;;) {
		ssize_t got = recv(fd, room, ROOM, 0);
		int n = (int)got;

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return -1;
		for (struct nlmsghdr *h = (struct nlmsghdr *)room; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
			const struct inet_diag_msg *m = NLMSG_DATA(h);

			if (h->nlmsg_type == NLMSG_DONE)
				return 0;
			if (h->nlmsg_type == NLMSG_ERROR || h->nlmsg_len < NLMSG_LENGTH(sizeof(*m))) {
				errno = EPROTO;
				return -1;
			}
			rtnl_attrs((struct rtattr *)(m + 1), (int)(h->nlmsg_len - NLMSG_LENGTH(sizeof(*m))), attrs, INET_DIAG_MAX);
			(states == STATES_LISTEN ? take_listener : take_open)(w, m, attrs);
		}
	}
}

int diag_clients(int fd, void (*each)(void *, const struct diag_connection *), void *ctx, struct err *e)
{
	struct walk w = { .each = each, .ctx = ctx };

	if (dump(fd, AF_INET, STATES_LISTEN, &w) || dump(fd, AF_INET6, STATES_LISTEN, &w) ||
	    dump(fd, AF_INET, STATES_OPEN, &w) || dump(fd, AF_INET6, STATES_OPEN, &w))
		return err_sys(e, "sock_diag");
	return 0;
}
