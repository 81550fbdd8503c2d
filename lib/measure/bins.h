/* SPDX-License-Identifier: MIT */
/* Histograms of many clients as one list of counted bins (bpf/rtt.h says which bin is what): a client needs room only for
 * the few bins that it has. Times are in milliseconds, the middle of their bin. */
#ifndef EDGE_MEASURE_BINS_H
#define EDGE_MEASURE_BINS_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/rtt.h"
#include "lib/base/json.h"

struct bin_count {
	struct rtt_key key;
	uint64_t count;
};

struct bins {
	struct bin_count *v;
	size_t n, room;
};

void bins_add(struct bins *b, const struct rtt_key *key, uint64_t count);
void bins_clear(struct bins *b);
/* By address and bin, what is the same added up. */
void bins_sort(struct bins *b);
/* Of a sorted list: how many of those from i on are of one client. */
size_t bins_run(const struct bins *b, size_t i);

/* Of one client's run. */
uint64_t bins_total(const struct bin_count *run, size_t n);
double bins_quantile(const struct bin_count *run, size_t n, double q);
/* [[bin, count], ...] */
struct json *bins_json(const struct bin_count *run, size_t n);

#endif
