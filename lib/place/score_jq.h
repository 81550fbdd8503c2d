/* SPDX-License-Identifier: MIT */
/* A model of one's own: a jq program over {"service", "node", "latency", "users"}: the records of the instance and the
 * node, that of the latency between the local node and it (or null), and those of all users of the service. A number is
 * the score; text, null, false or nothing refuses the node, text with the reason, and so does an error, with jq's words. */
#ifndef EDGE_PLACE_SCORE_JQ_H
#define EDGE_PLACE_SCORE_JQ_H

#include "lib/place/score.h"

struct score_jq;

/* EX_USAGE. */
struct score_jq *score_jq_new(const char *program, struct err *e);
void score_jq_free(struct score_jq *q);
AUTO_DEFINE(struct score_jq, score_jq_free)
#define AUTO_SCORE_JQ AUTO(score_jq_free_auto)

/* Keeps a copy of a record that world_take() has taken, in the place of an earlier one of that index. */
void score_jq_keep(struct score_jq *q, enum world_kind kind, int index, const char *line, size_t len);
/* A score_fn; `ctx` is a struct score_jq. */
void score_jq(void *ctx, const struct world *w, int service, struct score *out);

#endif
