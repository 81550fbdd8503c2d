/* SPDX-License-Identifier: MIT */
/* What a job would cost at each node, where everything else is as a plan wants it, and why it cannot go there. */
#ifndef EDGE_PLACE_CHOICE_H
#define EDGE_PLACE_CHOICE_H

#include <stdio.h>

#include "lib/place/reasons.h"

struct choice {
	int node;
	bool refused;    /* it may not be there: then only `why` tells something */
	double cost;     /* without that of moving */
	double part[PARTS]; /* what it is made of; in WEIGHT_MOVE what going there costs beside it */
	double rtt_ms, free_cores; /* NAN when unknown */
	char why[REASONS_SIZE]; /* all that keeps it from there, "" if it can go */
};

/* Of up to `most` nodes, the cheapest first and behind them those where it may not be; a new array. *n: of how many. */
struct choice *choices_new(const struct problem *p, const struct plan *plan, int job, int most, int *n);

/* For people: those of each instance of that name, of all nodes. How many instances. */
int choices_show(FILE *f, const struct problem *p, const struct plan *plan, const char *service);
/* A part of that: "cost 9.2 (latency 9, load 0.2) + 0.5 to move". */
void choice_show_cost(FILE *f, double cost, const double part[PARTS]);

#endif
