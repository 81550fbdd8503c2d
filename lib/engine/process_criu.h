/* SPDX-License-Identifier: MIT */
/* Dump and restore of the process engine; see engine.h for what they promise. */
#ifndef EDGE_ENGINE_PROCESS_CRIU_H
#define EDGE_ENGINE_PROCESS_CRIU_H

#include "lib/engine/criu.h"
#include "lib/engine/keeper.h"

int process_dump(struct service *s, struct criu *warm, const char *images, bool tcp_close,
		 int (*at)(void *, const char *), void *ctx, struct err *e);
int process_restore_arm(struct service *s, struct keeper *k, struct criu *warm, struct err *e);
const char *process_lazy_dir(const struct service *s, const char *images);
int process_restore(struct service *s, struct keeper *k, struct criu *warm, const char *images, bool tcp_close, bool lazy,
		    int (*ready)(void *), void *ctx, struct err *e);

#endif
