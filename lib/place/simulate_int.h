/* SPDX-License-Identifier: MIT */
/* What the files of simulate share: beside each record as it was told what has become of its thing by our moves. */
#ifndef EDGE_PLACE_SIMULATE_INT_H
#define EDGE_PLACE_SIMULATE_INT_H

#include "lib/base/json_scan.h"
#include "lib/place/simulate.h"

struct sim_service {
	struct world_service told;
	int at;              /* index of the node where it is now, -1 */
	int from;            /* where it was before its last move, -1 */
	double left, moved;  /* when; NAN */
	bool ended;
};

struct sim_user {
	struct world_user told;
	int node;            /* word: where it is served now, -1 */
	double seen;         /* time of its record */
};

struct sim_group {
	struct world_group told;
	int node;
	double seen;
	int user;            /* index of the user that it stands for, -1 */
};

struct simulation {
	struct simulate_options o;
	struct problem_options problem;
	struct world *w;     /* as it is now, after simulate_settle() */
	struct json_scan scan;
	struct world_node *node;
	struct sim_service *service;
	struct sim_user *user;
	struct sim_group *group;
	int n_nodes, n_services, n_users, n_groups;
	int nodes_room, services_room, users_room, groups_room, gone_room;
	bool *gone;          /* [nodes] */
	double now, last, due; /* seconds since 1970; last: of the last record; due: the next decision */
	bool dirty;          /* `rate` is out of date */
	struct simulate_totals t, rate; /* rate: what is summed up in a second */
};

/* Takes the record in s->scan. As world_take(). */
int simulate_note(struct simulation *s, const char *line, size_t len, struct err *e);
/* One more instance, at that node. */
void simulate_copy(struct simulation *s, int service, int node);
/* Makes the world what it is now, and indexes it. */
void simulate_settle(struct simulation *s);
/* After simulate_settle(), which it calls: what users feel and nodes draw now. */
void simulate_measure(struct simulation *s);

#endif
