/* SPDX-License-Identifier: MIT */
/* Prices that prove a bound: the dual of an assignment problem, raised by subgradient steps. */
#ifndef EDGE_PLACE_LAGRANGE_H
#define EDGE_PLACE_LAGRANGE_H

#include <stdbool.h>
#include <stddef.h>

struct lagrange {
	size_t n;               /* prices */
	const double *capacity; /* [n]: what is priced; steps are taken in parts of it, so that bytes and cores weigh alike */
	/* The bound that these prices prove, and in over[] by how much each capacity would be exceeded. */
	double (*value)(void *ctx, const double *price, double *over);
	bool (*stop)(void *ctx, int round); /* may be NULL */
	void *ctx;
};

/* Takes up to `rounds` steps towards `target`, the cost of a known plan (INFINITY: unknown). price[n] in and out, not
 * negative. Returns the bound; -INFINITY: out of memory. */
double lagrange_raise(const struct lagrange *l, double target, int rounds, double *price);

#endif
