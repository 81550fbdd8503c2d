/* SPDX-License-Identifier: MIT */
/* Plans in words and as records. All of these write to `f` and leave it to the caller to check it. */
#ifndef EDGE_PLACE_PLAN_TEXT_H
#define EDGE_PLACE_PLAN_TEXT_H

#include <stdio.h>

#include "lib/place/nearest.h"
#include "lib/place/plan.h"
#include "lib/place/users.h"

#define WHY_SIZE 256

/* Why this move. */
void plan_why(const struct problem *p, const struct plan *plan, const struct plan_move *m, char why[WHY_SIZE]);
/* Why a service that has no node has none: how many nodes each reason keeps away. */
void plan_why_not(const struct problem *p, const struct plan *plan, int job, char why[WHY_SIZE]);

/* The move records, "stay" for those without a node, at one where they may not be, or that an estimate alone would move, those of
 * `more` (or NULL: what replicas.h adds), and the plan record. */
void plan_put(FILE *f, const struct problem *p, const struct plan *plan, const struct near_plan *more, const char *policy);
/* How far a plan's cost is above a bound, in thousandths of a per cent; NAN: that bound is 0, and the cost is not. */
double plan_above_percent(double cost, double bound);
/* For people: ", no plan is below 10 (2.5 % above it)". */
void plan_show_bound(FILE *f, double cost, double bound);
/* For users: a move record "redirect" for each that is to be served elsewhere, and the plan record. */
void users_put(FILE *f, const struct world *w, const struct users_plan *p);
/* For people: a line about the whole. */
void users_show(FILE *f, const struct world *w, const struct users_plan *p);
/* The same of the policy nearest. */
void near_put(FILE *f, const struct problem *p, const struct near_plan *plan);
void near_show(FILE *f, const struct problem *p, const struct near_plan *plan);
/* ,"service_spec":{...} to start a service (index) anew, as far as its record tells. nth: it is the nth instance beside those that
 * there are, from 0, and has the nth address of its `addrs` that no record has; -1, or none left: its own. */
void plan_put_spec(FILE *f, const struct world *w, int service, int nth);
/* Its records without that of the plan; how many are moves. */
int near_put_steps(FILE *f, const struct problem *p, const struct near_plan *plan);
/* For people: each change with its before, after and why, and a line about the whole. */
void plan_show(FILE *f, const struct problem *p, const struct plan *plan, const struct near_plan *more);
#endif
