/* SPDX-License-Identifier: MIT */
/* A trace of records played through a policy: which moves it would make, what users would feel of them, and what the nodes would draw.
 *
 * A trace is records of nodes, services, latencies, users and groups in the order of their time: that in `at`, else in
 * `seen`, else that of the record before. It tells a world in which nothing was moved by us. Decisions are those of
 * plan.h, replicas.h and nearest.h, as for records that are true now; from the first record on one is made at every
 * `every` seconds, from what was told until then. What it moves is elsewhere at once:
 *   the work of a service goes with it, by cores and scores of both nodes, and so does its memory
 *   users go with the instance that serves them, and have the RTT that distance_user_ms() gives
 *   a node whose record has the state "failed" is not there until its next record, and its instances are nowhere
 * Watts: from idle_w to max_w by use; none of a node without a service of ours whose use is under 2 % (it sleeps). */
#ifndef EDGE_PLACE_SIMULATE_H
#define EDGE_PLACE_SIMULATE_H

#include "lib/place/nearest.h"

struct simulate_options {
	const struct problem_options *problem; /* but for `failed` and rules.now */
	enum policy policy;    /* POLICIES: nearest */
	int max_moves;         /* of one decision */
	double bound_ms;       /* of services that tell neither wants.rtt_ms nor needs.rtt_ms */
	double every;          /* seconds, over 0 */
	const struct gap_budget *budget; /* of one decision */
	/* Told of each move (or NULL): seconds since 1970, action, words of the service and nodes (-1: none), why. */
	void (*tell)(void *ctx, const struct world *w, double when, const char *action, int service, int from, int to, const char *why);
	void *ctx;
};

/* Sums over time. A user counts as its demand. */
struct simulate_totals {
	double begin, end;     /* seconds since 1970; both NAN: no record told a time */
	int decisions, moves, starts, replicas, terminated, redirects;
	int returns;           /* moves to the node that the service came from, within an hour */
	double pause_ms, bytes; /* of all moves */
	double user_s;         /* users x seconds */
	double felt_s;         /* of these, those whose RTT is known */
	double ms_s;           /* ... x their RTT */
	double over_s;         /* of user_s: over the bound */
	double unserved_s;     /* of user_s: no instance runs */
	double overload_s;     /* nodes x seconds: more used than --limit and other capacities allow */
	double down_s;         /* services x seconds without a node */
	double awake_s;        /* nodes x seconds: that do not sleep */
	double joules;         /* NAN: no node tells its power */
};

struct simulation;
struct simulation *simulation_new(const struct simulate_options *o);
void simulation_free(struct simulation *s);
AUTO_DEFINE(struct simulation, simulation_free)
#define AUTO_SIMULATION AUTO(simulation_free_auto)

/* The next record, and before it all decisions that are due. As world_take(); also 1: it is earlier than the one before
 * it, or its time is none. -1 and EX_OSERR: out of memory. */
int simulation_take(struct simulation *s, const char *line, size_t len, struct err *e);
/* To the time of the last record. */
const struct simulate_totals *simulation_totals(const struct simulation *s);

#endif
