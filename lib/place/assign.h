/* SPDX-License-Identifier: MIT */
/* Very many users to nodes with limited capacity, each as near as can be: hundreds of thousands of users, a thousand
 * nodes, within seconds. RTTs come from positions (distance.h). The cost is the sum over users of demand x RTT.
 *
 * Users near each other are put into cells, which find prices for the capacity of full nodes in an auction; with these as
 * a beginning the users themselves bid, each for the nodes that are best for it. The bound is that of gap.h. */
#ifndef EDGE_PLACE_ASSIGN_H
#define EDGE_PLACE_ASSIGN_H

#include "lib/place/distance.h"
#include "lib/place/gap.h"

struct assign {
	int users, nodes;
	const struct geo *user, *node; /* a user's unknown position: it goes wherever there is room */
	const float *demand;           /* [users], over 0 */
	const double *capacity;        /* [nodes] */
};

struct assign_answer {
	int *node;     /* [users]: -1: no room anywhere. Owned */
	double cost;   /* of those that have a node */
	double first;  /* the same of the first whole plan, which is made whatever the budget is */
	double bound;  /* serving all of them costs no less */
	int unplaced;
};

/* -1 and EX_OSERR when memory runs out; *a is untouched then. The budget's steps are thousands of bids, and those of gap.h. */
int assign_solve(const struct assign *s, const struct gap_budget *budget, struct assign_answer *a, struct err *e);
void assign_release(struct assign_answer *a);
#define AUTO_ASSIGN AUTO(assign_release)

/* The same for users and capacities that change: users keep their nodes where that is good enough. */
struct assigner;

/* Begins with the plan of assign_solve(). What `s` points to is not needed any more. NULL: out of memory. */
struct assigner *assigner_new(const struct assign *s, const struct gap_budget *budget);
void assigner_free(struct assigner *a);
AUTO_DEFINE(struct assigner, assigner_free)
#define AUTO_ASSIGNER AUTO(assigner_free_auto)

/* Does beforehand what the next changes need. -1: out of memory. */
int assigner_ready(struct assigner *a);
/* The user is there now and wants so much; a new one if `user` is how many there were. -1: out of memory. */
int assigner_user(struct assigner *a, int user, struct geo at, float demand);
/* Some who are there may have to go. -1: out of memory. */
int assigner_capacity(struct assigner *a, int node, double capacity);
/* Finds nodes for those that need one, and for those whose RTT it lessens by more than this part. -1: out of memory. */
int assigner_again(struct assigner *a, double margin, const struct gap_budget *budget);

/* Where a user is, -1: nowhere. */
int assigner_node(const struct assigner *a, int user);
/* RTT from there, or to another node; NAN. */
double assigner_ms(const struct assigner *a, int user, int node);
/* Sends it there if there is room. */
bool assigner_send(struct assigner *a, int user, int node);
/* Without nodes: NULL. */
struct assign_answer assigner_answer(const struct assigner *a);
/* What serving all of them costs at least if nodes had these capacities instead: NAN when out of memory. */
double assigner_bound(struct assigner *a, const double *capacity);

#endif
