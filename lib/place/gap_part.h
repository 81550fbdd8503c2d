/* SPDX-License-Identifier: MIT */
/* Inside of gap_improve: a part of a plan that holds. Some jobs may change places among some nodes, all others stay. */
#ifndef EDGE_PLACE_GAP_PART_H
#define EDGE_PLACE_GAP_PART_H

#include "lib/place/gap_search.h"

#define GAP_PART_NODES 7
#define GAP_PART_WAYS  8000
#define GAP_PART_JOBS  200
#define GAP_PART_LINKS 400
#define GAP_PART_LOADS 24  /* nodes x resources */

/* With prices on the part's capacities its bound is L; a plan costs L + the sum of what each job pays above its cheapest
 * choice + the price of what stays empty. So only plans are looked at in which these two sums stay below what
 * the present plan costs above L, which is little. */
struct part {
	const struct gap_plan *p;
	int m, nodes[GAP_PART_NODES];
	int n, jobs[GAP_PART_JOBS], half[GAP_PART_JOBS]; /* 0 or 1: no link goes from one half to the other */
	int space[2];                                       /* jobs that are still to come into each half, as it is drawn */
	double limit;               /* of the two sums: plans that cost as much as the present one are below it */
	int resources, loads;       /* load r x m + i is what is taken of resource r of node i; there is at least one */
	double room[GAP_PART_LOADS], price[GAP_PART_LOADS]; /* not 0 */
	double use[GAP_PART_JOBS][GAP_PART_LOADS];
	double cost[GAP_PART_JOBS][GAP_PART_NODES + 1];  /* the last one: nowhere */
	int choice[GAP_PART_JOBS][GAP_PART_NODES + 1];   /* the nodes by cost, prices included */
	double above[GAP_PART_JOBS][GAP_PART_NODES + 1]; /* what a choice costs above the first */
	struct part_link {
		const struct gap_link *link;
		int a, b; /* jobs of the part */
	} links[2][GAP_PART_LINKS]; /* within each half: what they cost is in `limit`, too, but in no choice */
	int n_links[2];
};

/* A part at random, of so many nodes that compete for jobs. Costs are wrong by up to `noise`. False: there is none. */
bool part_draw(struct part *q, struct gap_plan *p, int size, double noise);
/* What the links of a half cost if its jobs are at these nodes of the part. */
double part_links(const struct part *q, int half, const int *at);
/* Solves it: the `ways` cheapest ways to place each half are listed, and of all pairs of ways that fit together
 * the cheapest one is made. -1: out of memory. */
struct match *match_new(void); /* free() it */
int match_solve(struct match *t, const struct part *q, struct gap_plan *p, int ways);

#endif
