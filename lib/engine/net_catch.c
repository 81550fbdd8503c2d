/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/engine/bridge.h"
#include "lib/engine/net.h"
#include "lib/engine/rtnl.h"

#define BUFFER_BYTES (16 << 20)
#define FRAME_BYTES (65536 + 256) /* a segmentation-offloaded frame and its headers */
#define SPOKEN_MAX 4096           /* frames of the service's own that are kept */

/* A packet socket of the namespace (-1: this one) that moves whole frames, offloaded ones with what the hardware would be
 * told of them. */
static int packet_socket(int netns, const char *name, int protocol)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons((uint16_t)protocol) };
	AUTO_FD int fd = rtnl_socket_in(netns, AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, 0);
	struct ifreq ifr = { 0 };
	int one = 1;

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (fd < 0 || ioctl(fd, SIOCGIFINDEX, &ifr) || setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one)))
		return -1;
	at.sll_ifindex = ifr.ifr_ifindex;
	return bind(fd, (struct sockaddr *)&at, sizeof(at)) ? -1 : TAKE_FD(fd);
}

static int buffer_bytes(int fd)
{
	int bytes = BUFFER_BYTES;

	return setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) &&
	       setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
}

/* Only frames to this address. */
static int filter_mac(int fd, const unsigned char mac[6])
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)mac[0] << 24 | mac[1] << 16 | mac[2] << 8 | mac[3], 0, 3),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 4),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(mac[4] << 8 | mac[5]), 0, 1),
		BPF_STMT(BPF_RET | BPF_K, FRAME_BYTES),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(*code), code };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

int net_catch_start(struct net_catch *c, const struct service *s, bool own, struct err *e)
{
	struct packet_mreq all = { .mr_type = PACKET_MR_PROMISC };
	unsigned char mac[6];
	int one = 1;
	struct net_addr a;
	struct bridge b;

	*c = NET_CATCH_NONE;
	if (!s->addr[0])
		return 0;
	if (net_addr_parse(&a, s->addr, e) || bridge_find(&b, e))
		return -1;
	all.mr_ifindex = b.index;
	AUTO_FD int ns = net_open(s, e);
	if (ns < 0)
		return -1;
	/* The bridge hands up what it would pass on elsewhere only when it is asked for everything. */
	AUTO_FD int fd = packet_socket(-1, b.name, ETH_P_ALL);
	if (fd < 0 || net_mac_parse(s->mac, mac) || filter_mac(fd, mac) || buffer_bytes(fd) ||
	    setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof(all)))
		return err_sys(e, "service %s: cannot catch its frames on bridge %s", s->name, b.name);
	AUTO_FD int port = packet_socket(-1, net_port_name(s), own ? ETH_P_ALL : 0);
	AUTO_FD int inside = packet_socket(ns, NET_INSIDE, 0);
	/* Not what we ourselves deliver through it later. */
	if (port < 0 || setsockopt(port, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) ||
	    (own && buffer_bytes(port)) || inside < 0)
		return err_sys(e, "service %s: cannot reach its interface", s->name);
	if (neigh_announce(-1, b.name, mac, &a, e))
		return -1;
	*c = (struct net_catch){ TAKE_FD(fd), TAKE_FD(port), TAKE_FD(inside) };
	return 0;
}

/* Frames that were read ahead. */
struct frames {
	struct iovec list[SPOKEN_MAX]; /* owned */
	int n;
};

/* What the service has said so far: once it is in the bridge its frames would be heard a second time. */
static void listen_to(int port, struct frames *f)
{
	unsigned char frame[FRAME_BYTES];
	ssize_t n;

	while (f->n < SPOKEN_MAX && ((n = recv(port, frame, sizeof(frame), 0)) > 0 || (n < 0 && errno == EINTR))) {
		void *copy = n > 0 ? malloc((size_t)n) : NULL;

		if (copy)
			f->list[f->n++] = (struct iovec){ memcpy(copy, frame, (size_t)n), (size_t)n };
	}
}

/* From inside, so that they take the way that they would have taken. */
static void say_again(int inside, struct frames *f)
{
	for (int i = 0; i < f->n; i++) {
		/* TCP says it a third time if it must */
		(void)!send(inside, f->list[i].iov_base, f->list[i].iov_len, 0);
		free(f->list[i].iov_base);
	}
}

int net_catch_attach(struct net_catch *c, const struct service *s, struct err *e)
{
	unsigned char frame[FRAME_BYTES];
	struct frames spoken; /* not all of it set to 0: the service stands still meanwhile */
	ssize_t n = 0;
	int rc;

	spoken.n = 0;
	if (c->port >= 0)
		listen_to(c->port, &spoken);
	/* In this order: an answer, or the ARP request before it, must find the way out; else it waits for a second. A frame
	 * that came both ways is a duplicate, which TCP is used to. */
	rc = net_attach(s, e);
	say_again(c->inside, &spoken);
	while (!rc && c->fd >= 0 && ((n = recv(c->fd, frame, sizeof(frame), 0)) > 0 || (n < 0 && errno == EINTR)))
		if (n > 0 && send(c->port, frame, (size_t)n, 0) < 0 && errno != ENOBUFS && errno != EAGAIN)
			break;
	return rc;
}

/* As from this node's own address: the switches must not think that the sender were here. */
void net_catch_pass_on(struct net_catch *c)
{
	unsigned char frame[FRAME_BYTES];
	struct sockaddr_ll own = { 0 };
	socklen_t len = sizeof(own);
	ssize_t n = 0;

	if (c->fd < 0 || getsockname(c->fd, (struct sockaddr *)&own, &len) || own.sll_halen != ETH_ALEN)
		return;
	while ((n = recv(c->fd, frame, sizeof(frame), 0)) > 0 || (n < 0 && errno == EINTR)) {
		if (n < (ssize_t)(sizeof(struct virtio_net_hdr) + ETH_HLEN))
			continue;
		memcpy(frame + sizeof(struct virtio_net_hdr) + ETH_ALEN, own.sll_addr, ETH_ALEN);
		if (send(c->fd, frame, (size_t)n, 0) < 0 && errno != ENOBUFS && errno != EAGAIN)
			return;
	}
}

/* Not before the service runs: the kernel lets the closing of a packet socket wait for all processors. */
void net_catch_stop(struct net_catch *c)
{
	if (c->fd >= 0) {
		close(c->fd);
		close(c->port);
		close(c->inside);
	}
	*c = NET_CATCH_NONE;
}
