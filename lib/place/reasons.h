/* SPDX-License-Identifier: MIT */
/* Why a job may not be at a node, or finds no room there, in words. */
#ifndef EDGE_PLACE_REASONS_H
#define EDGE_PLACE_REASONS_H

#include "lib/place/plan.h"

#define REASONS_SIZE 600
#define REASON_UNMEASURED "a latency is only an estimate: measure it first (edge-latency)" /* see problem_unmeasured() */

/* About one job, while the others are as in `b`, which is kept. Aborts when memory runs out. */
struct reasons {
	const struct bearing *b;
	int job;
	int *told;      /* [nodes]: the record of a score that says no, -1 */
	double *rtt;    /* [nodes]: problem_bounded_rtt() */
	double *score;  /* [nodes]: what such records say, together */
};

void reasons_init(struct reasons *r, const struct bearing *b, int job);
void reasons_release(struct reasons *r);
#define AUTO_REASONS AUTO(reasons_release)

/* May it not be there, wherever the others are? All reasons, or the first. */
bool reasons_refused(const struct reasons *r, int node, bool all, char why[REASONS_SIZE]);
/* Is there too little for it, or one with which it must not be? The same. The job itself should be nowhere. */
bool reasons_hindered(const struct reasons *r, int node, bool all, char why[REASONS_SIZE]);
/* The resource of which there is too much at the node, with the job if it is not -1; -1: none. */
int reasons_lacking(const struct bearing *b, int node, int job);
/* What links of the job cost there, in the parts that they belong to. */
void reasons_link_parts(const struct reasons *r, int node, double part[PARTS]);

#endif
