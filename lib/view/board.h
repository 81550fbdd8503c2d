/* SPDX-License-Identifier: MIT */
/* What is known now of nodes, services, users and moves, from records as they come. */
#ifndef EDGE_VIEW_BOARD_H
#define EDGE_VIEW_BOARD_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/auto.h"
#include "lib/base/json.h"

#define BOARD_MOVES 64 /* the last ones are kept */

/* A number that nobody has told is NAN. */
struct board_node {
	char name[64], role[32], network[64];
	double cpu, mem, gpu; /* in use, from 0 to 1 */
	double heard_s;       /* when it last said something */
};

struct board_service {
	char id[64], name[64], node[64], state[16], type[16], engine[16];
	double cpu, mem_bytes, net_bps;
	double heard_s;
	int64_t told_epoch; /* of the last move that is listed; -1: none */
	/* Of those who were heard of in the last minute: how many, the median and the 95th percentile of their medians. */
	uint64_t users;
	double rtt_p50_ms, rtt_p95_ms;
};

struct board_move {
	char when[32], text[192]; /* a time of day, "web: edge1 -> edge2, ..." */
};

struct board {
	double red; /* a node with more of anything in use is red: from 0 to 1 */
	struct board_node *node; /* owned; by name */
	struct board_service *service; /* owned; by name, then id */
	int n_nodes, n_services;
	struct board_move move[BOARD_MOVES]; /* the last one first */
	int n_moves;
	void *users; /* see board_users.c */
};

/* `red` as a part of 1. board_release on a zeroed one is safe. */
void board_init(struct board *b, double red);
void board_release(struct board *b);

/* Takes note of a record at the time now_s (seconds, never going back). Kinds of which nothing is shown are passed over. */
void board_take(struct board *b, const struct json *rec, double now_s);
/* Counts users, and forgets what was not heard of for so long: services after forget_s, users after a minute. Nodes stay. */
void board_settle(struct board *b, double now_s, double forget_s);

bool board_red(const struct board *b, const struct board_node *n);

/* For board_take and board_settle: a user record; users and round trips of each service. */
void board_user_take(struct board *b, const struct json *rec, double now_s);
void board_users_count(struct board *b, double now_s);
void board_users_release(struct board *b);

#endif
