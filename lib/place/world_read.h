/* SPDX-License-Identifier: MIT */
/* The members of one record, each checked: what world_take.c finds a place for. */
#ifndef EDGE_PLACE_WORLD_READ_H
#define EDGE_PLACE_WORLD_READ_H

#include "lib/base/json_scan.h"
#include "lib/place/world.h"

/* Reading one record: the first thing that is wrong with it stays in `e`. */
struct taking {
	struct world *w;
	struct json_scan *s;
	int at; /* the object that paths begin in */
	const char *within; /* "gpu[]." before paths, in messages */
	bool bad;
	struct err *e;
};

/* Each gives a word for messages, what the record is about, or -1. Words that are new, and a service's corners and peers, are in the
 * world already, whatever is wrong with the rest. */
int world_read_node(struct taking *t, struct world_node *n);
int world_read_service(struct taking *t, struct world_service *s);
int world_read_latency(struct taking *t, struct world_latency *l);
int world_read_user(struct taking *t, struct world_user *u);
int world_read_group(struct taking *t, struct world_group *g);
int world_read_score(struct taking *t, struct world_score *c);

#endif
