/* SPDX-License-Identifier: MIT */
/* The lower layer of a service's root. "/" is every node's own, and only the files of it that a service uses are
 * compared; any other folder is a layer named by the SHA-256 of its manifest, which a node gets once and keeps. */
#ifndef EDGE_MOVE_LAYER_H
#define EDGE_MOVE_LAYER_H

#include <limits.h>
#include <stdbool.h>

#include "lib/base/json.h"
#include "lib/engine/service.h"
#include "lib/move/files.h"

#define FOLDER_LAYER 62 /* numbers of the folders that go over once, beside those that are kept in step */
#define FOLDER_BASE 63

/* The layer's name; at once for a layer of the store. */
int layer_digest(const char *root, char hex[65], struct err *e);
/* The store's folder for it. *need: it is not whole there yet; then it is made. */
int layer_place(const char *hex, char path[PATH_MAX], bool *need, struct err *e);
/* It has arrived: EX_DATAERR when it is not what its name says. */
int layer_arrived(const char *hex, struct tree *t, struct err *e);

/* An empty folder of the store for a layer in the making, which is the caller's. */
int layer_new(char path[PATH_MAX], struct err *e);
/* It is whole: it gets its name, unless there is one of that name already; then it is removed. */
int layer_adopt(const char *path, char hex[65], struct err *e);

/* Files of "/" that differ at the destination, to be brought along: puts them (an array of paths) into the folder `dir` as
 * they lie below the root. */
int base_collect(const struct json *paths, const char *dir, struct err *e);
/* Moves them from the folder into an upper layer, below folders like those of this node's root. */
int base_install(const char *dir, const char *upper, struct err *e);

#endif
