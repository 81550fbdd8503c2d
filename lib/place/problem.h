/* SPDX-License-Identifier: MIT */
/* Services on nodes as an assignment problem (gap.h): what each service would cost at each node, and what it takes there.
 *
 * Costs are in user milliseconds: one user with one millisecond of RTT costs 1. The rest is converted by weights:
 *   latency  1 for a user's millisecond (users' demand, else groups' users); 10 for each beyond wants.rtt_ms
 *   score    1 for a point of a score record, which lessens the cost
 *   load     0.01 for a per cent of the node's processors that the service takes
 *   energy   0.1 for a watt that the service adds there: (max_w - idle_w) x its part of the processors
 *   price    100 for one unit of money an hour: processors, memory, half of the traffic as egress
 *   traffic  1 for a round trip a second and millisecond between services that talk (net_bps / 65535 round trips, as in
 *            equation 4.3 of Georgiou 2018)
 *   move     1 for the pause of a move, spread over an hour: pause_ms x users / 3600 */
#ifndef EDGE_PLACE_PROBLEM_H
#define EDGE_PLACE_PROBLEM_H

#include "lib/place/eligible.h"
#include "lib/place/gap.h"

enum problem_weight { WEIGHT_LATENCY, WEIGHT_SCORE, WEIGHT_LOAD, WEIGHT_ENERGY, WEIGHT_PRICE, WEIGHT_TRAFFIC, WEIGHT_MOVE, WEIGHTS };
/* What the cost of a job at a node is made of: one part for each weight, and what it costs to be away from what it should be together
 * with, or in one network with what it should be spread from. */
enum problem_part { PART_TOGETHER = WEIGHTS, PART_SPREAD, PARTS };

struct problem_options {
	double weight[WEIGHTS];
	struct eligible_rules rules;
	double limit;    /* part of a node's processors that may be used, 0..1 */
	double margin;   /* a move must lessen what its service costs by this part of it, 0..1 */
	double cooldown; /* seconds after a move in which a service is left alone */
	double payback;  /* seconds after which a move must have paid */
	const bool *failed; /* by index of the node: it is not there; or NULL */
	const char *fleet;  /* to which nodes are invited; NULL: that of the node from which something comes */
};

#define HUGE_CAPACITY 1e17 /* nobody has told one */

enum problem_resource { TAKES_CPU, TAKES_MEM, TAKES_GPU, TAKES_GPU_MEM, TAKES_NET, TAKES };

/* What a move would take. */
struct prediction {
	double bytes;        /* to be brought; NAN: unknown */
	double transfer_ms;  /* all of it, by the slower link */
	double pause_ms;     /* without an answer */
	double break_even_s; /* until the pause is made up for, at a round trip a second and user */
};

struct problem {
	const struct world *w;
	const struct problem_options *o;
	struct gap g;
	int *service;     /* [jobs]: index */
	int *at;          /* [jobs]: where it is now, -1: nowhere */
	float *cost;      /* [jobs][nodes], without the cost of moving; GAP_NEVER where not eligible */
	float *paid;      /* [jobs][nodes]: the same with it: g.cost */
	float *rtt;       /* [jobs][nodes]: its users' mean, NAN */
	bool *predicted;  /* [jobs][nodes]: a latency that nobody has measured is in it: it ranks nodes, and moves nothing that runs */
	float *use[TAKES];
	double *capacity; /* [nodes][TAKES] */
	double *users;    /* [jobs]: what they ask for, all together */
	struct gap_link *links;
	int *link_of, *link_end; /* gap_links() */
	float *distance;
	int *network;
	bool *rests;      /* [jobs]: it has moved within the cooldown */
};

/* The world must be indexed. NULL: out of memory. The options are kept. */
struct problem *problem_new(const struct world *w, const struct problem_options *o);
void problem_free(struct problem *p);
AUTO_DEFINE(struct problem, problem_free)
#define AUTO_PROBLEM AUTO(problem_free_auto)

/* "latency=2,energy=0": EX_USAGE. What is not named keeps its weight. */
int problem_weights(const char *text, double weight[WEIGHTS], struct err *e);
void problem_defaults(double weight[WEIGHTS]);
const char *problem_resource(int r); /* "processors" */

const char *problem_part(int part); /* "latency" */

/* What a job costs at a node beside its users' RTT and its score: load, energy, price. */
double problem_running_cost(const struct problem *p, int job, int node);
/* That and its users' RTT, in part[]; in WEIGHT_MOVE what going there costs. The others, which are not of this job and node alone, are 0. */
void problem_parts(const struct problem *p, int job, int node, double part[PARTS]);
/* For problem_new(): the links between its jobs, and what is predicted of them. -1: out of memory. */
int problem_link(struct problem *p);
/* Which part a link of finite weight belongs to. */
int problem_link_part(const struct problem *p, const struct gap_link *l);
/* [nodes], to be freed: the RTT that needs.rtt_ms bounds: that of most of the users, there; NAN: unknown, only predicted, or nothing
 * bounds it. NULL: out of memory. */
double *problem_bounded_rtt(const struct problem *p, int job);

/* Is a latency to be measured first, before the job, which runs elsewhere, may move there? */
bool problem_unmeasured(const struct problem *p, int job, int node);

/* A job from one node (or -1) to another, which gains so much. */
struct prediction problem_predict(const struct problem *p, int job, int from, int to, double gain);

/* Of a job, and of a node, "-" for none. */
static inline const struct world_service *problem_service(const struct problem *p, int job)
{
	return &p->w->service[p->service[job]];
}

static inline const char *problem_name(const struct problem *p, int job)
{
	return world_text(p->w, problem_service(p, job)->name);
}

static inline const char *problem_node_name(const struct problem *p, int node)
{
	return node < 0 ? "-" : world_text(p->w, p->w->node[node].name);
}

#endif
