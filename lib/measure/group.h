/* SPDX-License-Identifier: MIT */
/* Users for whom a service is too far, grouped by where they are (users whose median is over the bound join the nearest
 * group within a radius, or begin one). Each change of a user costs the same, however many there are. */
#ifndef EDGE_MEASURE_GROUP_H
#define EDGE_MEASURE_GROUP_H

#include "lib/base/auto.h"
#include "lib/base/json.h"

struct groups;

/* bound_ms: of services that have none of their own; 0: these are passed over. */
struct groups *groups_new(double bound_ms, double radius_km);
void groups_free(struct groups *g);
AUTO_DEFINE(struct groups, groups_free)
#define AUTO_GROUPS AUTO(groups_free_auto)

/* A `service` record: needs.rtt_ms is its bound. */
void groups_service(struct groups *g, const struct json *service);
/* A `user` record: joins, stays, changes or leaves. */
void groups_user(struct groups *g, const struct json *user);
/* Ends a window: who has not been heard of for `silent` of them has left. */
void groups_window(struct groups *g, unsigned silent);
/* A `group` record of each to each(), which owns it; not 0 from it ends this. */
int groups_each(struct groups *g, int (*each)(void *ctx, struct json *group, struct err *e), void *ctx, struct err *e);

#endif
