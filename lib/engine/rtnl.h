/* SPDX-License-Identifier: MIT */
/* A small builder of rtnetlink messages. */
#ifndef EDGE_ENGINE_RTNL_H
#define EDGE_ENGINE_RTNL_H

#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct rtnl_msg {
	union {
		struct nlmsghdr h;
		char room[1024]; /* our messages are a tenth of it */
	};
};

/* A socket of the network namespace `netns` (-1: the caller's own); -1 with errno. */
int rtnl_open(int netns);
/* Any socket of that namespace. The calling thread is back in its own namespace afterwards. */
int rtnl_socket_in(int netns, int domain, int type, int protocol);

/* `body` is the struct that the type of message begins with (ifinfomsg, ifaddrmsg, rtmsg). */
void rtnl_begin(struct rtnl_msg *m, uint16_t type, uint16_t flags, const void *body, size_t len);
void rtnl_add(struct rtnl_msg *m, uint16_t attr, const void *data, size_t len);
void rtnl_add_str(struct rtnl_msg *m, uint16_t attr, const char *s);
void rtnl_add_u32(struct rtnl_msg *m, uint16_t attr, uint32_t v);
void *rtnl_nest(struct rtnl_msg *m, uint16_t attr, const void *body, size_t len);
void rtnl_end(struct rtnl_msg *m, void *nest);

/* Sends it and waits for the kernel's answer: 0, or -1 with errno. */
int rtnl_talk(int fd, struct rtnl_msg *m);
/* Calls `each` for every message of a dump, with its body and attributes by type (up to `max`); 0, or -1 with errno. */
typedef void rtnl_each(void *arg, const void *body, struct rtattr **attrs);
int rtnl_dump(int fd, uint16_t type, size_t body_len, int max, rtnl_each *each, void *arg);
/* attrs[0..max] from a run of attributes. */
void rtnl_attrs(struct rtattr *a, int len, struct rtattr **attrs, int max);

#endif
