/* SPDX-License-Identifier: MIT */
/* Frames of ARP (RFC 826, 5227) and IPv6 neighbour discovery (RFC 4861). */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if_arp.h>
#include <netinet/icmp6.h>
#include <netinet/ip6.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>

#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/engine/bridge.h"
#include "lib/engine/rtnl.h"

struct arp_frame {
	struct ether_header eth;
	struct arphdr arp;
	unsigned char from_mac[6], from_ip[4], to_mac[6], to_ip[4];
} __attribute__((packed));

struct nd_frame {
	struct ether_header eth;
	struct ip6_hdr ip;
	struct icmp6_hdr icmp;
	unsigned char target[16];
	unsigned char opt[2], mac[6]; /* link-layer address option */
} __attribute__((packed));

#define OTHERS 5 /* times as long as the one that may have an address */
#define OTHERS_MS 30

static const unsigned char everyone[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

static void arp_fill(struct arp_frame *f, int op, const unsigned char mac[6], const void *from, const void *to)
{
	memset(f, 0, sizeof(*f));
	memcpy(f->eth.ether_dhost, everyone, 6);
	memcpy(f->eth.ether_shost, mac, 6);
	f->eth.ether_type = htons(ETHERTYPE_ARP);
	f->arp.ar_hrd = htons(ARPHRD_ETHER);
	f->arp.ar_pro = htons(ETHERTYPE_IP);
	f->arp.ar_hln = 6;
	f->arp.ar_pln = 4;
	f->arp.ar_op = htons((uint16_t)op);
	memcpy(f->from_mac, mac, 6);
	if (from)
		memcpy(f->from_ip, from, 4);
	memcpy(f->to_ip, to, 4);
}

static uint16_t checksum(const struct nd_frame *f)
{
	size_t n = sizeof(*f) - offsetof(struct nd_frame, icmp);
	const unsigned char *p = (const unsigned char *)&f->icmp, *ips = (const unsigned char *)&f->ip.ip6_src;
	uint32_t sum = (uint32_t)n + IPPROTO_ICMPV6;

	for (size_t i = 0; i < 32; i += 2)
		sum += (uint32_t)(ips[i] << 8 | ips[i + 1]);
	for (size_t i = 0; i < n; i += 2)
		sum += (uint32_t)(p[i] << 8 | p[i + 1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

/* A duplicate-address probe (solicitation from ::) or, with `announce`, an unsolicited advertisement. */
static void nd_fill(struct nd_frame *f, bool announce, const unsigned char mac[6], const unsigned char ip[16])
{
	unsigned char *dst = (unsigned char *)&f->ip.ip6_dst;

	memset(f, 0, sizeof(*f));
	dst[0] = 0xff;
	dst[1] = 2;
	if (announce) {
		dst[15] = 1; /* all nodes */
		memcpy(&f->ip.ip6_src, ip, 16);
		f->icmp.icmp6_type = ND_NEIGHBOR_ADVERT;
		f->icmp.icmp6_data8[0] = 0x20; /* override */
		f->opt[0] = ND_OPT_TARGET_LINKADDR;
		f->opt[1] = 1;
		memcpy(f->mac, mac, 6);
	} else {
		dst[11] = 1; /* the solicited-node group */
		dst[12] = 0xff;
		memcpy(dst + 13, ip + 13, 3);
		f->icmp.icmp6_type = ND_NEIGHBOR_SOLICIT;
		f->opt[0] = 14; /* nonce, RFC 7527; a source address option is forbidden here */
		f->opt[1] = 1;
		memcpy(f->mac, mac, 6);
	}
	f->eth.ether_dhost[0] = f->eth.ether_dhost[1] = 0x33;
	memcpy(f->eth.ether_dhost + 2, dst + 12, 4);
	memcpy(f->eth.ether_shost, mac, 6);
	f->eth.ether_type = htons(ETHERTYPE_IPV6);
	f->ip.ip6_flow = htonl(6u << 28);
	f->ip.ip6_plen = htons(sizeof(*f) - offsetof(struct nd_frame, icmp));
	f->ip.ip6_nxt = IPPROTO_ICMPV6;
	f->ip.ip6_hlim = 255;
	memcpy(f->target, ip, 16);
	f->icmp.icmp6_cksum = checksum(f);
}

static int packet_socket(int netns, int index, int protocol)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons((uint16_t)protocol), .sll_ifindex = index };
	int fd = rtnl_socket_in(netns, AF_PACKET, SOCK_RAW, htons((uint16_t)protocol));

	if (fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof(at))) {
		int cause = errno;

		close(fd);
		errno = cause;
		return -1;
	}
	return fd;
}

static void *closer(void *fd)
{
	close((int)(intptr_t)fd);
	return NULL;
}

/* The kernel lets the closing of a packet socket wait for all processors (8 to 20 ms seen here), and a service that is
 * being moved stands still meanwhile: so that is left to a thread. */
static void close_aside(int *fd)
{
	pthread_attr_t attr;
	pthread_t thread;

	if (*fd < 0)
		return;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&thread, &attr, closer, (void *)(intptr_t)*fd))
		close(*fd);
	pthread_attr_destroy(&attr);
}

int neigh_announce(int netns, const char *name, const unsigned char mac[6], const struct net_addr *a, struct err *e)
{
	int protocol = a->family == AF_INET ? ETHERTYPE_ARP : ETHERTYPE_IPV6;
	struct ifreq ifr = { 0 };
	AUTO(close_aside) int fd = rtnl_socket_in(netns, AF_PACKET, SOCK_RAW, 0);

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (fd < 0 || ioctl(fd, SIOCGIFINDEX, &ifr))
		return err_sys(e, "interface %s: cannot announce", name);
	struct sockaddr_ll to = { .sll_family = AF_PACKET,
				  .sll_protocol = htons((uint16_t)protocol),
				  .sll_ifindex = ifr.ifr_ifindex };
	for (int op = ARPOP_REQUEST; op <= ARPOP_REPLY; op++) { /* some hosts learn from the one, some from the other */
		union {
			struct arp_frame arp;
			struct nd_frame nd;
		} f;
		size_t len = a->family == AF_INET ? sizeof(f.arp) : sizeof(f.nd);

		if (a->family == AF_INET)
			arp_fill(&f.arp, op, mac, a->ip, a->ip);
		else
			nd_fill(&f.nd, true, mac, a->ip);
		if (sendto(fd, &f, len, 0, (struct sockaddr *)&to, sizeof(to)) < 0)
			return err_sys(e, "interface %s: cannot announce", name);
	}
	return 0;
}

/* Does the frame say that somebody has the address, other than this node? */
static bool answers(const unsigned char *frame, size_t n, const struct net_addr *a, const unsigned char mac[6])
{
	if (a->family == AF_INET) {
		const struct arp_frame *f = (const void *)frame;

		return n >= sizeof(*f) && !memcmp(f->from_ip, a->ip, 4) && memcmp(f->from_mac, mac, 6);
	}
	const struct nd_frame *f = (const void *)frame;
	return n >= offsetof(struct nd_frame, opt) && f->ip.ip6_nxt == IPPROTO_ICMPV6 &&
	       f->icmp.icmp6_type == ND_NEIGHBOR_ADVERT && !memcmp(f->target, a->ip, 16);
}

int neigh_probe(const struct bridge *b, const struct net_addr *a, const unsigned char except[6], int timeout_ms,
		struct err *e)
{
	int protocol = a->family == AF_INET ? ETHERTYPE_ARP : ETHERTYPE_IPV6, sent = 0;
	double start = clock_ms(), now = start;
	AUTO_FD int fd = packet_socket(-1, b->index, protocol);

	if (fd < 0)
		return err_sys(e, "bridge %s: cannot probe", b->name);
	for (; now < start + timeout_ms; now = clock_ms()) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		unsigned char frame[2048];

		if (now >= start + sent * timeout_ms / 3.0) { /* three probes: one may be lost */
			if (a->family == AF_INET)
				arp_fill((struct arp_frame *)frame, ARPOP_REQUEST, b->mac, NULL, a->ip);
			else
				nd_fill((struct nd_frame *)frame, false, b->mac, a->ip);
			size_t len = a->family == AF_INET ? sizeof(struct arp_frame) : sizeof(struct nd_frame);

			if (send(fd, frame, len, 0) < 0)
				return err_sys(e, "bridge %s: cannot probe", b->name);
			sent++;
		}
		double left = start + sent * timeout_ms / 3.0 - now;
		if (poll(&p, 1, left > 0 ? (int)left + 1 : 0) <= 0)
			continue;
		ssize_t n = recv(fd, frame, sizeof(frame), 0);
		if (n <= 0 || !answers(frame, (size_t)n, a, b->mac))
			continue;
		if (memcmp(((struct ether_header *)frame)->ether_shost, except, 6))
			return 1;
		/* The one that may have it has answered: this tells how long others take. */
		double enough = OTHERS * (clock_ms() - start) + OTHERS_MS;
		if (enough < timeout_ms)
			timeout_ms = (int)enough;
	}
	return 0;
}
