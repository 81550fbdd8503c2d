/* SPDX-License-Identifier: MIT */
/* Addresses, and the bridge that joins this node's services to its network. */
#ifndef EDGE_ENGINE_BRIDGE_H
#define EDGE_ENGINE_BRIDGE_H

#include <net/if.h>
#include <stdbool.h>

#include "lib/base/err.h"

struct net_addr {
	int family;          /* AF_INET, AF_INET6; 0: none */
	int prefix;          /* -1 when it was not given */
	unsigned char ip[16];
	int len;             /* of ip: 4 or 16 */
};

/* "10.77.0.201", "10.77.0.201/24", "2001:db8::1/64". EX_USAGE. */
int net_addr_parse(struct net_addr *a, const char *text, struct err *e);
/* Are both in the network that b's prefix spans? */
bool net_addr_same_network(const struct net_addr *a, const struct net_addr *b);

struct bridge {
	int index, mtu;
	char name[IFNAMSIZ];
	unsigned char mac[6];
	struct net_addr v4, v6; /* of global scope; family 0 when it has none */
};

/* "bridge" of node.json, else the one with the "addr" of node.json, else the first one with an address of global scope.
 * EX_UNAVAILABLE "node NAME: no bridge for services". */
int bridge_find(struct bridge *b, struct err *e);

/* Who answers for an address on the bridge's network, as net_address_taken. */
int neigh_probe(const struct bridge *b, const struct net_addr *a, const unsigned char except[6], int timeout_ms,
		struct err *e);
/* Tells the neighbours of the interface `name` in the namespace that it has the address now. */
int neigh_announce(int netns, const char *name, const unsigned char mac[6], const struct net_addr *a, struct err *e);

#endif
