/* SPDX-License-Identifier: MIT */
/* The paths behind inotify watches in a service's own root. CRIU opens a watched inode by its file handle, which an
 * overlay refuses; but an overlay's handle holds that of the real file below it, in the upper or the lower layer, and
 * that one leads to the path. */
#ifndef EDGE_ENGINE_WATCHES_H
#define EDGE_ENGINE_WATCHES_H

#include "lib/base/auto.h"
#include "lib/engine/service.h"

/* Paths as the service sees them, a NULL-terminated list to be freed with watches_free; NULL when there are none, or none
 * was found (CRIU then says what it cannot dump). Of processes that run still it may miss some. */
char **watches_find(const struct service *s);
void watches_free(char **paths);
AUTO_DEFINE(char *, watches_free)
#define AUTO_WATCHES AUTO(watches_free_auto)

#endif
