/* SPDX-License-Identifier: MIT */
/* CRIU's image of control groups, which its restore reads although it is told to ignore them: if there is any set, it starts a
 * process that would move threads out of their process' group (some milliseconds in which the service stands still). */
#ifndef EDGE_ENGINE_CRIU_CGROUPS_H
#define EDGE_ENGINE_CRIU_CGROUPS_H

#include "lib/base/err.h"

/* Takes cgroup.img out of the folder, unless it tells of several sets of groups, between which there are threads to be moved. (Not for
 * tasks in criu's own groups, which it does not tell of: a service has groups of its own.) */
int criu_drop_cgroups(const char *images, struct err *e);

#endif
