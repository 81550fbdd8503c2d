/* SPDX-License-Identifier: MIT */
#include "lib/measure/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double stats_quantile(const double *sorted, size_t n, double q)
{
	double at = q * (double)(n - 1);
	size_t i = (size_t)at;

	return i + 1 < n ? sorted[i] + (at - (double)i) * (sorted[i + 1] - sorted[i]) : sorted[n - 1];
}

void stats_of(double *v, size_t n, struct stats *s)
{
	double sum = 0, squares = 0, steps = 0;

	memset(s, 0, sizeof(*s));
	s->n = n;
	if (!n)
		return;
	for (size_t i = 0; i < n; i++) {
		sum += v[i];
		steps += i ? fabs(v[i] - v[i - 1]) : 0;
	}
	s->mean = sum / (double)n;
	for (size_t i = 0; i < n; i++)
		squares += (v[i] - s->mean) * (v[i] - s->mean);
	if (n > 1) {
		s->stddev = sqrt(squares / (double)(n - 1));
		s->jitter = steps / (double)(n - 1);
	}
	qsort(v, n, sizeof(*v), ascending);
	s->min = v[0];
	s->max = v[n - 1];
	s->p50 = stats_quantile(v, n, 0.5);
	s->p95 = stats_quantile(v, n, 0.95);
	s->p99 = stats_quantile(v, n, 0.99);
}
