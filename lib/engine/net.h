/* SPDX-License-Identifier: MIT */
/* A service's network: a network namespace of its own (file_path("/run/edge/netns/NAME"), bind-mounted there so
 * that it outlives any process), joined to the node's bridge by a veth pair. All over rtnetlink, no program is run.
 *
 * "Held" means: the node's end of the pair is not in the bridge, so nothing reaches or leaves the service, while
 * addresses, routes and sockets inside stay as they are. */
#ifndef EDGE_ENGINE_NET_H
#define EDGE_ENGINE_NET_H

#include "lib/engine/service.h"

/* Gives s->addr the prefix of the bridge's own address where it has none, and s->mac a random address where it is "". */
int net_complete(struct service *s, struct err *e);
/* Makes the namespace (lo up), and where s->addr is set the pair with s->mac, the address and, if node.json names
 * one ("gateway", "gateway6"), the default route; held. The bridge: "bridge" of node.json, else the one that has this node's address.
 * Undone on failure. EX_UNAVAILABLE when there is no bridge. */
int net_create(const struct service *s, struct err *e);
int net_remove(const struct service *s, struct err *e);
/* The same as net_create in a namespace that is there already: that of the process s->pid. */
int net_adopt(const struct service *s, struct err *e);
/* Into and out of the bridge; well under a millisecond each. net_attach also tells neighbours: gratuitous ARP
 * (request and reply) or unsolicited neighbour advertisement, sent from inside. No-ops without a network. */
int net_attach(const struct service *s, struct err *e);
/* Tells them once more, by a descriptor of its network namespace. */
int net_announce(const struct service *s, int netns, struct err *e);
int net_hold(const struct service *s, struct err *e);
/* 1 somebody with another MAC than the service's answers for the address on the bridge's network (ARP probe of RFC 5227, or neighbour solicitation, within
 * timeout_ms); 0 nobody does. */
int net_address_taken(const struct service *s, int timeout_ms, struct err *e);
/* A descriptor of the namespace for setns(2). */
int net_open(const struct service *s, struct err *e);
/* 1 if the address is within the network of the bridge's own address (the layer-2 network of this node), or there is
 * none; else 0. */
int net_same_link(const struct service *s, struct err *e);

/* Open TCP connections of its processes, those within the service, too; -1 when they cannot be told. */
int net_connections(const struct service *s);
/* Ends them all, with a reset where the other end can be reached, as far as the kernel can (CONFIG_INET_DIAG_DESTROY). */
void net_drop_connections(const struct service *s);
/* It is held, and runs on until it has accepted what had come by then: CRIU refuses connections that nobody has. Waits at most
 * limit_ms. */
void net_settle(const struct service *s, int limit_ms);

/* The name of the node's end of the pair, of at most 15 characters. Static storage. */
const char *net_port_name(const struct service *s);
/* "02:..." into six bytes; -1 when it is none. */
int net_mac_parse(const char *text, unsigned char mac[6]);

/* What comes for a service while it is on its way: from the moment that the source holds it, the destination draws its
 * frames here and keeps them (in a socket's buffer, at most 16 MB), and delivers them when it is back. So a request that
 * was sent in the meantime is answered at once, and not after its sender's retransmission (200 ms and more). So too what
 * the restored connections themselves say before they are let out: their unsent data and window probes. */
struct net_catch {
	int fd, port, inside; /* at the bridge; at the node's end of the pair; at the service's own end. -1: none */
};
#define NET_CATCH_NONE ((struct net_catch){ -1, -1, -1 })
/* The service's interface in its namespace. */
#define NET_INSIDE "eth0"
/* own: what the service itself says, too. */
int net_catch_start(struct net_catch *c, const struct service *s, bool own, struct err *e);
/* Joins the bridge as net_attach, and delivers what was caught. */
int net_catch_attach(struct net_catch *c, const struct service *s, struct err *e);
/* Instead, when it is back at another node: sends what was caught after it. */
void net_catch_pass_on(struct net_catch *c);
void net_catch_stop(struct net_catch *c);

/* What must be over before a service can be frozen for a dump: CRIU refuses connections that nobody has accepted yet, and
 * what a closed one still has to deliver goes down with its socket. New connections (SYNs from outside) are held back while
 * the service runs and all else flows on, until the accept queues are empty, handshakes complete, and the peers have got
 * everything that was sent before a close. All of this ends with this process, too: nothing is held back for longer, but
 * the clients then try again after a second. */
struct net_quiet {
	int link;              /* holds back; -1: nothing */
	struct net_catch syns; /* has what was held back */
	int programs[2];       /* of the link: while the service runs, and while it is frozen; -1: none */
};
#define NET_QUIET_NONE ((struct net_quiet){ -1, NET_CATCH_NONE, { -1, -1 } })
/* Waits at most limit_ms, as some peers never answer. Does nothing where the kernel cannot (before Linux 5.7, or without
 * CONFIG_CGROUP_BPF), and without a network. */
void net_quiet_start(struct net_quiet *q, const struct service *s, int limit_ms);
/* cgroup_freeze at a moment when no connection waits, which those within the service (over lo) may still do: it goes on
 * for some moments, at most 20, to accept them. From then on their SYNs are dropped, too, which come again after a second. */
int net_quiet_freeze(struct net_quiet *q, const struct service *s, int timeout_ms, struct err *e);
/* Sends what was held back after the service, which must be attached, here or at another node. May be called twice. */
void net_quiet_end(struct net_quiet *q);
/* The same, and frees it; this takes some 20 ms, as net_catch_stop. */
void net_quiet_stop(struct net_quiet *q);

#endif
