/* SPDX-License-Identifier: MIT */
/* What the files of assign share. */
#ifndef EDGE_PLACE_ASSIGN_INT_H
#define EDGE_PLACE_ASSIGN_INT_H

#include "lib/place/assign.h"

#define LISTED 32 /* nodes that a cell keeps at hand */

struct seat { /* of a user */
	struct point at;
	float demand;
	int cell;  /* -1: of unknown position */
	float off; /* ms from the cell's middle */
	int user;
};

struct listed {
	float key, ms; /* RTT from the cell's middle, and with the price when the list was made */
	int node;
};

struct cell {
	struct point middle;
	float beyond;  /* the least key of the nodes that are not in its list */
	int first, n;  /* seats */
	int listed;    /* -1: the list is to be made anew, as prices fell */
	double demand;
};

struct fork { /* of the tree of cells */
	int axis, below, above; /* forks, or -1 - cell */
	double at;
};

/* Users near each other are in one cell, which knows the way to each node. */
struct cells {
	int nodes, n;
	struct point *node;
	struct cell *cell;
	struct fork *fork;
	int forks, root;
	float *way;          /* [n][nodes]: ms from the middles; INFINITY for a node of unknown position */
	struct listed *list; /* [n][LISTED], the least key first */
};

/* Sorts the seats, those of unknown position last; *known is how many are before them. -1: out of memory. */
int cells_init(struct cells *c, const struct geo *node, int nodes, struct seat *seat, int seats, int *known);
void cells_release(struct cells *c);
/* Finds the cell that the seat is in; -1 when it has no position or there is no cell. */
void cells_find(const struct cells *c, struct seat *seat);
/* To be called when a price has fallen. */
void cells_forget(struct cells *c);

static inline double cells_ms(const struct cells *c, const struct point *at, int node)
{
	return distance_points_km(at, &c->node[node]) * RTT_MS_PER_KM;
}

struct best {
	int node;             /* -1: none */
	double least, second; /* RTT + price there, and at the next best node; INFINITY */
};

/* The best nodes at these prices, none of them negative, for a point `off` ms from the cell's middle: nearly always; where very many are
 * nearly as good, the second best may be a better one. */
struct best cells_best(struct cells *c, int cell, const struct point *at, double off, const double *price);
/* The least RTT + price for a seat with a cell: exactly. Prices must be as they were at the last cells_forget(). */
double cells_least(struct cells *c, const struct seat *s, const double *price);

/* Who bids: the cells, or the users with a position. */
struct market {
	struct cells *c;
	const struct seat *seat; /* NULL: the cells */
	int bidders;
	const double *capacity;  /* [nodes] */
};

/* Divides the nodes' capacity nearly as cheaply as can be: within `step` ms for each unit of demand, unless it ends before: after `most`
 * bids, or (budget not NULL) when so much of it is spent. *steps counts on. price[nodes], in and out: at least that is paid, and in the
 * end what the last bidder that has something would pay. got[bidders] (or NULL): the node that gives it most, -1: none.
 * 0; 1: ended before; -1: out of memory. */
int assign_auction(const struct market *m, double step, long most, const struct gap_budget *budget, double share, long *steps,
		   double *price, int *got);

/* --- the whole */

struct guest { /* a user at a node: when that is dearer than the level, it is better off elsewhere */
	float level;
	int seat;
};

struct guests { /* of a node: a heap, the lowest level first */
	struct guest *heap;
	int n, room;
};

struct assigner {
	struct cells c;
	struct seat *seat;
	int seats, room, known;  /* seats; how many fit; users of known position at the beginning, whose seats come first */
	int *seat_of;            /* [users] */
	int *node;               /* [seats]: -1: nowhere */
	double *capacity, *left, *price; /* [nodes] */
	double *proof;           /* [nodes]: the prices of the bound */
	double bound, cost, first, step;
	int unplaced;
	long steps;
	/* For changes; NULL before the first. */
	float *least;            /* [seats]: what a unit of demand costs at least at these prices */
	struct guests *guests;   /* [nodes] */
	int *head, *next;        /* [cells], [seats]: the seats of each cell, as lists; -1 ends one */
	int *begin, *near;       /* near[begin[i] .. begin[i + 1]) are the cells for which node i is one of the best; [nodes + 1] */
	int batches;
	int *queue, queued, queue_room; /* seats that want a node */
};

/* The bound that these prices prove; least[seats] (or NULL) is each one's part. */
double assigner_prove(struct assigner *a, const double *price, float *least);
/* The nearest node with room for the seat's user, the emptiest for one without a position; -1. */
int assigner_room(const struct assigner *a, int seat);
/* Puts it there, or (-1) nowhere. */
void assigner_put(struct assigner *a, int seat, int node);
/* What is left of nodes goes to those that gain. -1: out of memory. */
int assigner_polish(struct assigner *a);
void assigner_release_changes(struct assigner *a);

#endif
