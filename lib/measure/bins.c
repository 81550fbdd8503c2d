/* SPDX-License-Identifier: MIT */
#include "lib/measure/bins.h"

#include <math.h>
#include <string.h>

void bins_add(struct bins *b, const struct rtt_key *key, uint64_t count)
{
	if (b->n == b->room) {
		b->room = b->room ? 2 * b->room : 256;
		b->v = realloc(b->v, b->room * sizeof(*b->v));
		if (!b->v)
			abort();
	}
	b->v[b->n++] = (struct bin_count){ *key, count };
}

void bins_clear(struct bins *b)
{
	free(b->v);
	memset(b, 0, sizeof(*b));
}

static int by_client(const void *x, const void *y)
{
	const struct rtt_key *a = x, *b = y;
	int addr = memcmp(a->addr, b->addr, sizeof(a->addr));

	return addr ? addr : (a->bin > b->bin) - (a->bin < b->bin);
}

void bins_sort(struct bins *b)
{
	size_t to = 0;

	qsort(b->v, b->n, sizeof(*b->v), by_client);
	for (size_t i = 0; i < b->n; i++)
		if (to && !by_client(&b->v[to - 1], &b->v[i]))
			b->v[to - 1].count += b->v[i].count;
		else
			b->v[to++] = b->v[i];
	b->n = to;
}

size_t bins_run(const struct bins *b, size_t i)
{
	size_t n = 1;

	while (i + n < b->n && !memcmp(b->v[i].key.addr, b->v[i + n].key.addr, sizeof(b->v->key.addr)))
		n++;
	return n;
}

uint64_t bins_total(const struct bin_count *run, size_t n)
{
	uint64_t total = 0;

	for (size_t i = 0; i < n; i++)
		total += run[i].count;
	return total;
}

static double middle_ms(unsigned bin)
{
	unsigned octave = bin / RTT_STEPS, shift = octave ? octave - 1 : 0;
	double low = octave ? ldexp(RTT_STEPS + bin % RTT_STEPS, (int)shift) : bin;

	return round(low + (ldexp(1, (int)shift) - 1) / 2) / 1e3;
}

double bins_quantile(const struct bin_count *run, size_t n, double q)
{
	double want = q * (double)bins_total(run, n), have = 0;

	for (size_t i = 0; i < n; i++) {
		have += (double)run[i].count;
		if (have >= want)
			return middle_ms(run[i].key.bin);
	}
	return NAN;
}

struct json *bins_json(const struct bin_count *run, size_t n)
{
	struct json *all = json_array();

	for (size_t i = 0; i < n; i++) {
		struct json *pair = json_array();

		json_add(pair, json_number(run[i].key.bin));
		json_add(pair, json_number((double)run[i].count));
		json_add(all, pair);
	}
	return all;
}
