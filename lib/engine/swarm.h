/* SPDX-License-Identifier: MIT */
/* Docker's swarm mode. This node is the manager of a swarm of its own making; nodes that it invites are its workers, each with
 * the label "edge", which is its name here. A service of the engine `swarm` is a service there with one task, which a
 * constraint on that label pins to one node. */
#ifndef EDGE_ENGINE_SWARM_H
#define EDGE_ENGINE_SWARM_H

#include <stdbool.h>

#include "lib/engine/service.h"

#define SWARM_ID_MAX 64

/* ---- the manager; swarm_nodes.c ---- */

/* This node manages a swarm, and is labelled; makes one where it is in none. EX_UNAVAILABLE where it is a worker. */
int swarm_open(struct err *e);
/* Does it manage one, made by swarm_open? 1, 0, or -1: its daemon does not say. */
int swarm_manages(struct err *e);
bool swarm_managed(void);
/* Does its daemon say that it is in none? */
bool swarm_none(void);
/* What a worker needs to join, as members of the object: addr ("IP:PORT"), token. */
int swarm_invitation(struct json *call, struct err *e);
/* The node of that id in the swarm is the one that is called `name` here. `availability`: "active"; NULL: as it is, since its
 * operator may have drained it. */
int swarm_label(const char *id, const char *name, const char *availability, struct err *e);
struct swarm_node {
	char id[SWARM_ID_MAX];
	char addr[64]; /* where clients reach it; "" when unknown */
	bool active;   /* takes tasks: it is not drained, nor paused */
};
/* EX_UNAVAILABLE "node edge2: not in the swarm", or "...: the swarm does not reach it". */
int swarm_find(const char *name, struct swarm_node *n, struct err *e);
/* It is told to run nothing any more. One that is not in the swarm is no error, here and in swarm_remove. */
int swarm_drain(const char *name, struct err *e);
/* The swarm forgets it, and the token that it has seen is worth nothing any more. */
int swarm_remove(const char *name, struct err *e);

/* ---- the worker ---- */

/* Joins as an invitation of `by` says, unless it is there already; its id there in `id`. EX_UNAVAILABLE when it is in another
 * swarm. */
int swarm_join(const struct json *invitation, const char *by, char id[SWARM_ID_MAX], struct err *e);
/* Leaves the swarm to which `by` has brought it; in another one, or in none: nothing is done. */
int swarm_leave(const char *by, struct err *e);
/* Is the swarm in which this node has that id one that a program of ours has made or joined? */
bool swarm_is_ours(const char *id);
/* Is it in one to which `by` has brought it? */
bool swarm_brought_by(const char *by);

/* ---- services; swarm_spec.c ---- */

/* What Docker is to be told of the service, at the node in s->at. `image`: how tasks name it. `network`: the id or name of
 * that of its application, or NULL. */
struct json *swarm_spec(const struct service *s, const char *image, const char *network);
/* "node.labels.edge==NAME" in place of what there was of that label. */
void swarm_pin(struct json *spec, const char *node);

#endif
