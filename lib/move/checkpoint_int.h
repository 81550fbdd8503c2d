/* SPDX-License-Identifier: MIT */
/* What checkpoint_folders.c and checkpoint_back.c share. */
#ifndef EDGE_MOVE_CHECKPOINT_INT_H
#define EDGE_MOVE_CHECKPOINT_INT_H

#include "lib/move/checkpoint.h"

typedef char folder_paths[CHECKPOINT_FOLDERS][PATH_MAX];

/* The service's own folders that travel (upper layer, volumes, bundle): their paths, and f[].what. Their number. */
int checkpoint_name_folders(const struct service *s, struct files *f, folder_paths path);
/* Is the path in the service's own folder, where nobody else has anything? */
bool checkpoint_is_inside(const struct service *s, const char *path);
/* Carries out a plan between two folders of this node. */
int checkpoint_carry_out(const struct tree_plan *plan, int from, struct tree *want, int to, int flags, struct err *e);

#endif
