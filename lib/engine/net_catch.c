/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/engine/bridge.h"
#include "lib/engine/net.h"

#define BUFFER_BYTES (16 << 20)
#define FRAME_BYTES (65536 + 256) /* a segmentation-offloaded frame and its headers */

/* A packet socket that moves whole frames, offloaded ones with what the hardware would be told of them. */
static int packet_socket(int index, int protocol)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons((uint16_t)protocol), .sll_ifindex = index };
	AUTO_FD int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int one = 1;

	if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one)))
		return -1;
	return bind(fd, (struct sockaddr *)&at, sizeof(at)) ? -1 : TAKE_FD(fd);
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

int net_catch_start(struct net_catch *c, const struct service *s, struct err *e)
{
	struct packet_mreq all = { .mr_type = PACKET_MR_PROMISC };
	int bytes = BUFFER_BYTES;
	unsigned char mac[6];
	struct net_addr a;
	struct bridge b;

	c->fd = c->to = -1;
	if (!s->addr[0])
		return 0;
	if (net_addr_parse(&a, s->addr, e) || bridge_find(&b, e))
		return -1;
	all.mr_ifindex = b.index;
	/* The bridge hands up what it would pass on elsewhere only when it is asked for everything. */
	AUTO_FD int fd = packet_socket(b.index, ETH_P_ALL);
	if (fd < 0 || net_mac_parse(s->mac, mac) || filter_mac(fd, mac) ||
	    (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) &&
	     setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes))) ||
	    setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof(all)))
		return err_sys(e, "service %s: cannot catch its frames on bridge %s", s->name, b.name);
	AUTO_FD int to = packet_socket((int)if_nametoindex(net_port_name(s)), 0);
	if (to < 0)
		return err_sys(e, "service %s: cannot reach its interface", s->name);
	if (neigh_announce(-1, b.name, mac, &a, e))
		return -1;
	c->fd = TAKE_FD(fd);
	c->to = TAKE_FD(to);
	return 0;
}

int net_catch_attach(struct net_catch *c, const struct service *s, struct err *e)
{
	unsigned char frame[FRAME_BYTES];
	ssize_t n = 0;

	/* In this order: an answer, or the ARP request before it, must find the way out; else it waits for a second. A frame
	 * that came both ways is a duplicate, which TCP is used to. */
	if (net_attach(s, e))
		return -1;
	while (c->fd >= 0 && ((n = recv(c->fd, frame, sizeof(frame), 0)) > 0 || (n < 0 && errno == EINTR)))
		if (n > 0 && send(c->to, frame, (size_t)n, 0) < 0 && errno != ENOBUFS && errno != EAGAIN)
			break;
	return 0;
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
		close(c->to);
	}
	c->fd = c->to = -1;
}
