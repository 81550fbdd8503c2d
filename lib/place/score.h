/* SPDX-License-Identifier: MIT */
/* How well an instance would be at each node. Higher is better. What a model cannot know it does not guess: then there is
 * no score, and what was missing is named.
 *
 * Models (d: the node, h: the local one, where the instance is; c: cores, s: single-thread score):
 *   offload  Georgiou 2018, section 4.7, equations 4.1-4.3: (s_d c_d - s_h c_h) / (s_h c_h) * 100 * cpu
 *            - net / (65535 / RTT) * 100; cpu 0..1 of all of h's cores, net in bytes per second both directions (none
 *            known: 0), RTT in seconds, the mean from h to d. The local one scores 0.
 *   latency  100 * (1 - RTT / bound); RTT the quantile of the users' there, bound that of the service, else the one given
 *   load     100 * (1 - the larger of the use of processors and of memory, with the instance there)
 *   energy   watts that the instance adds, negative; those of an idle node when nothing else keeps it awake
 *   cost     price of an hour, negative: processors, memory, half of the traffic as egress
 *   blend    weighted mean of other models, each stretched to 0..100 over the eligible nodes; what is unknown counts 0 */
#ifndef EDGE_PLACE_SCORE_H
#define EDGE_PLACE_SCORE_H

#include "lib/place/eligible.h"

#define SCORE_WINDOW_BYTES 65535.0
#define SCORE_PARTS 6
#define SCORE_MISSING 4

struct score_part {
	const char *name; /* static */
	double value;
};

struct score {
	int node;           /* index */
	unsigned refusals;  /* bits of enum eligible_check; 0: eligible */
	double rtt_ms;      /* the quantile of the users' there; NAN when it is not needed or unknown */
	bool predicted;     /* a latency that nobody has measured is in rtt_ms or in the value: it ranks, and decides nothing */
	double value;       /* NAN: unknown */
	struct score_part part[SCORE_PARTS];
	int n_parts;
	const char *missing[SCORE_MISSING]; /* static: members of records */
	int n_missing;
	char *why;          /* owned: why a model of one's own refuses, or NULL */
};

enum score_model { SCORE_OFFLOAD, SCORE_LATENCY, SCORE_LOAD, SCORE_ENERGY, SCORE_COST, SCORE_MODELS };

/* A model of one's own: fills value, or why and the bit ELIGIBLE_MODEL of refusals. */
typedef void score_fn(void *ctx, const struct world *w, int service, struct score *out);

struct score_options {
	enum score_model model;        /* counts when neither `weight` nor `own` does */
	double weight[SCORE_MODELS];   /* blend: one of them is over 0 */
	score_fn *own;
	void *ctx;
	double quantile, bound_ms;     /* 0..1; of services that tell none */
	bool prune;                    /* leave out nodes with less s c than the local one */
	struct eligible_rules rules;
};

/* SCORE_MODELS when there is none of that name. */
enum score_model score_model(const char *name);
const char *score_model_name(enum score_model m);
/* "latency=3,load=1": EX_USAGE. */
int score_weights(const char *text, double weight[SCORE_MODELS], struct err *e);

/* Scores the instance at the n nodes (indices), best first: eligible with a score, eligible without, not eligible; what
 * is equal is in the order of the nodes' records. Returns how many scores there are: fewer than n when some are left out.
 * `row` has room for n; score_clear each. world_index() comes before. */
int score_nodes(const struct world *w, int service, const int *node, int n, const struct score_options *o,
		struct score *row);
void score_clear(struct score *s);
/* The RTT for which the node may be refused: NAN for one that is only predicted. */
double score_bound_ms(const struct score *s);

/* The quantile (0..1) of the RTT that the users of an instance have, or would have, at each of the n nodes; NAN where
 * nothing is known. Its users are those that its node serves, those that none serves, and all when it is the only one of
 * its name; where there are none, groups stand for them. `service` is an index. predicted[n] (or NULL) is set where somebody's RTT is
 * only predicted, and never cleared. */
void score_users_rtt(const struct world *w, int service, const int *node, int n, double quantile, double *rtt_ms, bool *predicted);

#endif
