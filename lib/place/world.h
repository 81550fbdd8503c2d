/* SPDX-License-Identifier: MIT */
/* What the records say: nodes, services, latencies, users, groups and scores as plain arrays, for arithmetic.
 *
 * Words (names, addresses, architectures, taints, ...) are interned: equal ids are equal words. Lists of words are
 * sorted, without repetition, and interned too. An absent word or list is -1, an absent number NAN. Units are those of
 * edge-records(5). Indices into the arrays stay valid: a record of a thing that is known already takes the place of
 * the old one, at its index. The arrays themselves move when they grow. */
#ifndef EDGE_PLACE_WORLD_H
#define EDGE_PLACE_WORLD_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/auto.h"
#include "lib/base/err.h"

#define WORLD_ASLEEP 0.02 /* less use than this is what a node without work has */

struct geo {
	double lat, lon; /* degrees; both NAN when unknown */
};

struct world_node {
	int name, addr, role, network, arch, country, member, criu; /* words; member: the fleet that it belongs to */
	int site;                     /* word; its network when it says none */
	int taints, engines, cpu_flags; /* lists of words */
	double cores, score, use;     /* score: single-thread mark; use: 0..1 of all cores */
	double mem_total, mem_available, disk_free; /* bytes */
	double gpus, gpu_mem;         /* how many; bytes of all of them (NAN when some do not say) */
	double net_bps;               /* capacity of its link, bytes per second */
	double users_max;             /* how many users its instances can serve, all together */
	struct geo geo;
	double idle_w, max_w;         /* electrical power without work and with all cores busy */
	double cpu_hour, gb_hour;     /* prices for an hour: of a busy core, of 10^9 bytes of memory */
	double egress_gb;             /* price of 10^9 bytes sent */
	double seen;                  /* seconds since 1970 */
	int running;                  /* after world_index(): how many instances run there */
};

struct world_needs { /* what a node must have; absent: no such need */
	int arch, role, network, country, member, tolerates, cpu_flags; /* lists of words */
	double cpu, mem, disk, gpus, gpu_mem; /* cores, bytes, bytes, number, bytes of one node's GPUs */
	double rtt_ms;                /* no node from which the users' RTT is worse */
	int area;                     /* polygon: index of its first corner in `corner`, n_area of them; -1 */
	int n_area;
	int avoid, together;          /* lists of names of services: not on, or on, the same node */
	bool spread;                  /* instances of the name on different networks */
	int pinned;                   /* word: the one node that it may be at */
	double min, max;              /* replicas of that name */
};

struct world_service { /* an instance */
	int id, name, node, engine;   /* words; node: where it is */
	int app;                      /* index: the service of that name */
	bool stateless, stateful;     /* both false when the record does not say */
	bool foreign;                 /* a container that edge-run has not started */
	bool running;                 /* its state is running, or it has none */
	struct world_needs needs;
	double want_rtt_ms;           /* better, but not needed: wants.rtt_ms */
	double quota_cpu, quota_mem;  /* profile: cores, bytes */
	double cpu, mem, net_bps;     /* usage: 0..1 of all cores of its node, bytes, bytes per second both ways */
	double bytes;                 /* what a move has to bring (size_bytes), beside memory */
	double users_max;             /* how many users it can serve */
	double moved;                 /* when it last moved, seconds since 1970 */
	int came_from;                /* word: the node where it was before, which still has its files */
	double epoch;
	int spec;                     /* word: the members of what edge-run needs to start one, but for its address */
	int addr, addrs;              /* word; list of those that its instances may have */
	int peers;                    /* traffic with other services: index of the first in `peer`, n_peers of them; -1 */
	int n_peers;
};

struct world_peer {
	int name;                     /* word: the other service */
	double net_bps;               /* bytes per second in both directions */
};

struct world_latency { /* from one node to another, or to a user's address */
	int from, to;                 /* words */
	double mean, p50, p95;        /* ms */
	double loss;                  /* 0..1 */
	bool predicted;               /* nobody has measured it: it ranks, and decides nothing */
	double seen;                  /* seconds since 1970 */
};

struct world_user {
	int addr, node;               /* words; node: where it is served now */
	int app;
	double count;                 /* samples, or what it asks for in the window */
	double demand;                /* what it needs of users_max; 1 when absent */
	double p50, p95;              /* ms, to where it is served now */
	struct geo geo;
	double seen;                  /* seconds since 1970 */
};

struct world_group { /* users near each other, or (geo unknown) nobody knows where; known by service, node and position */
	int node;                     /* word: where they are served now */
	int app;
	double users, qoe, p50;
	struct geo geo;
	double seen;                  /* seconds since 1970 */
};

struct world_score {
	int app, service;             /* service: index of the instance, -1 when the score is for the name */
	int node;                     /* word */
	bool eligible;
	bool predicted;               /* a latency that nobody has measured is in it */
	double score;
	int why;                      /* word: why the node has refused a move, -1 */
};

struct world_app { /* services of one name; made at the first mention in any record */
	int name;
	/* After world_index(): of_app[first_X .. first_X + n_X) are the indices of its services, users, groups. */
	int first_service, n_services;
	int first_user, n_users;
	int first_group, n_groups;
};

struct world {
	struct world_node *node;
	struct world_service *service;
	struct world_latency *latency;
	struct world_user *user;
	struct world_group *group;
	struct world_score *scored;
	struct world_app *app;
	struct geo *corner;
	struct world_peer *peer;
	int n_nodes, n_services, n_latencies, n_users, n_groups, n_scored, n_apps, n_corners, n_peers;
	int *of_app; /* see struct world_app; NULL before world_index() */
	double since; /* latencies, users and groups seen before are not taken, and users.h gives nodes none; NAN, as in a new world: all are taken */
	int n_old;    /* how many were not */
	struct world_private *in;
};

/* A move is what came of one, from edge-migrate or edge-run: of the action stay and with refusals, its destination is not eligible, but
 * for what is there all the same. */
enum world_kind { WORLD_OTHER, WORLD_NODE, WORLD_SERVICE, WORLD_LATENCY, WORLD_USER, WORLD_GROUP, WORLD_SCORE, WORLD_MOVE };

struct world *world_new(void);
void world_free(struct world *w);
AUTO_DEFINE(struct world, world_free)
#define AUTO_WORLD AUTO(world_free_auto)

/* Takes one record: a line without its newline. *kind says which, *index where it is: -1 for one that is not used, as another is newer
 * or was measured, or it is too old; and for WORLD_OTHER, a kind that is none of these and is only checked to be JSON. Members that are null count as absent.
 * 0; 1: the record makes no sense and was not taken (`e`: "node edge1: cpu.use: 31: not from 0 to 1.1"); -1: it is not
 * one JSON object (EX_DATAERR, without a line number). `kind` and `index` may be NULL. */
int world_take(struct world *w, const char *line, size_t len, enum world_kind *kind, int *index, struct err *e);
/* For what is only supposed, and no record tells: one more instance of a service (without an id) at that node (a word), one more
 * group. The index. */
int world_copy_service(struct world *w, int service, int node);
int world_add_group(struct world *w, const struct world_group *g);
/* Makes of_app, the ranges in `app` and the nodes' `running`; to be called anew after more records. */
void world_index(struct world *w);

/* Words. world_word makes a new one where needed, world_find gives -1 for one that no record has. */
int world_word(struct world *w, const char *s);
int world_find(const struct world *w, const char *s);
const char *world_text(const struct world *w, int word); /* "" for -1 */
/* The words of a list: *n of them, sorted by id. */
const int *world_list(const struct world *w, int list, int *n);
bool world_list_has(const struct world *w, int list, int word);
/* Is each word of `a` in `b`? An absent `a` is empty. */
bool world_list_within(const struct world *w, int a, int b);

/* What a record does not tell is NAN. */
static inline double known_or(double v, double otherwise)
{
	return isnan(v) ? otherwise : v;
}

/* "2026-01-01T00:00:00Z", a fraction of a second allowed, as seconds since 1970; -1 when it is no such time. */
int world_time(const char *s, size_t len, double *seconds);

/* Indices, -1 when there is none. */
int world_node(const struct world *w, int word);                   /* the node of that name */
int world_app(const struct world *w, int word);                    /* the service of that name */
int world_latency(const struct world *w, int from, int to);        /* the pair: measured rather than predicted, then in this
                                                                      direction rather than the other */
bool world_measured(const struct world *w, int word);              /* is it an end of any latency? */

#endif
