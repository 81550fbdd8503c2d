/* SPDX-License-Identifier: MIT */
#include "lib/engine/rtnl.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/auto.h"

#define ATTRS_MAX 128

int rtnl_socket_in(int netns, int domain, int type, int protocol)
{
	if (netns < 0)
		return socket(domain, type | SOCK_CLOEXEC, protocol);
	AUTO_FD int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (home < 0 || setns(netns, CLONE_NEWNET))
		return -1;
	int fd = socket(domain, type | SOCK_CLOEXEC, protocol), cause = errno;
	if (setns(home, CLONE_NEWNET))
		abort(); /* in a foreign namespace every later step would do harm */
	errno = cause;
	return fd;
}

int rtnl_open(int netns)
{
	return rtnl_socket_in(netns, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
}

void rtnl_begin(struct rtnl_msg *m, uint16_t type, uint16_t flags, const void *body, size_t len)
{
	memset(m, 0, sizeof(*m));
	m->h.nlmsg_type = type;
	m->h.nlmsg_flags = NLM_F_REQUEST | flags;
	m->h.nlmsg_len = NLMSG_LENGTH(len);
	memcpy(NLMSG_DATA(&m->h), body, len);
}

static struct rtattr *place(struct rtnl_msg *m, uint16_t attr, size_t len)
{
	size_t at = NLMSG_ALIGN(m->h.nlmsg_len);

	if (at + RTA_SPACE(len) > sizeof(m->room))
		abort();
	struct rtattr *a = (struct rtattr *)(m->room + at);
	a->rta_type = attr;
	a->rta_len = (unsigned short)RTA_LENGTH(len);
	m->h.nlmsg_len = (uint32_t)(at + RTA_SPACE(len));
	return a;
}

void rtnl_add(struct rtnl_msg *m, uint16_t attr, const void *data, size_t len)
{
	struct rtattr *a = place(m, attr, len);

	if (len)
		memcpy(RTA_DATA(a), data, len);
}

void rtnl_add_str(struct rtnl_msg *m, uint16_t attr, const char *s)
{
	rtnl_add(m, attr, s, strlen(s) + 1);
}

void rtnl_add_u32(struct rtnl_msg *m, uint16_t attr, uint32_t v)
{
	rtnl_add(m, attr, &v, sizeof(v));
}

void *rtnl_nest(struct rtnl_msg *m, uint16_t attr, const void *body, size_t len)
{
	struct rtattr *a = place(m, attr, len);

	if (len)
		memcpy(RTA_DATA(a), body, len);
	return a;
}

void rtnl_end(struct rtnl_msg *m, void *nest)
{
	struct rtattr *a = nest;

	a->rta_len = (unsigned short)(m->room + m->h.nlmsg_len - (char *)a);
}

void rtnl_attrs(struct rtattr *a, int len, struct rtattr **attrs, int max)
{
	memset(attrs, 0, sizeof(*attrs) * (size_t)(max + 1));
	for (; RTA_OK(a, len); a = RTA_NEXT(a, len)) {
		int type = a->rta_type & ~NLA_F_NESTED;

		if (type <= max)
			attrs[type] = a;
	}
}

int rtnl_talk(int fd, struct rtnl_msg *m)
{
	union {
		struct nlmsghdr h;
		char room[4096];
	} reply;
	ssize_t n;

	m->h.nlmsg_flags |= NLM_F_ACK;
	if (send(fd, m, m->h.nlmsg_len, 0) < 0)
		return -1;
	do
		n = recv(fd, &reply, sizeof(reply), 0);
	while (n < 0 && errno == EINTR);
	if (n < (ssize_t)NLMSG_LENGTH(sizeof(struct nlmsgerr)) || reply.h.nlmsg_type != NLMSG_ERROR) {
		if (n >= 0)
			errno = EPROTO;
		return -1;
	}
	errno = -((struct nlmsgerr *)NLMSG_DATA(&reply.h))->error;
	return errno ? -1 : 0;
}

int rtnl_dump(int fd, uint16_t type, size_t body_len, int max, rtnl_each *each, void *arg)
{
	struct rtattr *attrs[ATTRS_MAX + 1];
	AUTO_FREE char *room = malloc(65536);
	char body[64] = { 0 };
	struct rtnl_msg m;

	if (!room || max > ATTRS_MAX)
		return -1;
	rtnl_begin(&m, type, NLM_F_DUMP, body, body_len);
	if (send(fd, &m, m.h.nlmsg_len, 0) < 0)
		return -1;
	for (;;) {
		ssize_t got = recv(fd, room, 65536, 0);
		int n = (int)got;

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return -1;
		for (struct nlmsghdr *h = (struct nlmsghdr *)room; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
			if (h->nlmsg_type == NLMSG_DONE)
				return 0;
			if (h->nlmsg_type == NLMSG_ERROR || h->nlmsg_len < NLMSG_LENGTH(body_len)) {
				errno = EPROTO;
				return -1;
			}
			rtnl_attrs((struct rtattr *)((char *)NLMSG_DATA(h) + NLMSG_ALIGN(body_len)),
				   (int)(h->nlmsg_len - NLMSG_LENGTH(NLMSG_ALIGN(body_len))), attrs, max);
			each(arg, NLMSG_DATA(h), attrs);
		}
	}
}
