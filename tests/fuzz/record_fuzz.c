/* SPDX-License-Identifier: MIT */
/* Records, damaged, and what is decided by them. What the quick reader takes, libjq must take too. Not built by default:
 *
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -I. tests/fuzz/record_fuzz.c \
 *         lib/place/{map,world,world_read,world_spec,world_take,distance,eligible,score,score_users}.c lib/engine/ability.c \
 *         lib/base/{json,json_scan,json_put,file,err}.c -ljq -lm -o record_fuzz
 */
#include <string.h>

#include "lib/base/json.h"
#include "lib/place/score.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void score_all(struct world *w)
{
	struct score_options o = { .quantile = 0.5, .bound_ms = 10, .weight = { 1, 1, 1, 1, 1 }, .rules = { 1e9, 60 } };
	struct score row[64];
	int node[64], n = w->n_nodes < 64 ? w->n_nodes : 64;
	char why[200];

	for (int i = 0; i < n; i++)
		node[i] = i;
	for (int s = 0; s < w->n_services; s++) {
		int made = score_nodes(w, s, node, n, &o, row);

		for (int i = 0; i < made; i++)
			for (int c = 0; c < ELIGIBLE_CHECKS; c++)
				if (row[i].refusals & 1u << c)
					eligible_why(w, s, row[i].node, row[i].rtt_ms, &o.rules, (enum eligible_check)c, why);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_WORLD struct world *w = world_new();
	const char *line = (const char *)data, *end = line + size;

	while (line < end) {
		const char *nl = memchr(line, '\n', (size_t)(end - line));
		size_t n = (size_t)((nl ? nl : end) - line);
		struct err e;

		if (world_take(w, line, n, NULL, NULL, &e) >= 0) {
			AUTO_JSON struct json *j = json_parse(line, n, NULL);

			if (!json_is_object(j))
				abort();
		}
		line += n + 1;
	}
	world_index(w);
	score_all(w);
	return 0;
}
