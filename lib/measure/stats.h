/* SPDX-License-Identifier: MIT */
/* What a handful of round trips comes to. */
#ifndef EDGE_MEASURE_STATS_H
#define EDGE_MEASURE_STATS_H

#include <stddef.h>

struct stats {
	size_t n;
	double min, max, mean;
	double p50, p95, p99; /* linear between the two nearest (type 7 of Hyndman and Fan, 1996) */
	double stddev;        /* of the sample (n - 1); 0 for one */
	double jitter;        /* mean of |difference| of neighbours, in the order of `v`; 0 for one */
};

/* Of n values without NAN; n 0 gives only n. Sorts `v`. */
void stats_of(double *v, size_t n, struct stats *s);
/* The q-quantile, 0 to 1, of n > 0 sorted values. */
double stats_quantile(const double *sorted, size_t n, double q);

#endif
