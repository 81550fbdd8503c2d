/* SPDX-License-Identifier: MIT */
/* What the runc engine's start and restore share. */
#ifndef EDGE_ENGINE_RUNC_H
#define EDGE_ENGINE_RUNC_H

#include "lib/engine/criu.h"
#include "lib/engine/keeper.h"

/* Writes service_dir "bundle/config.json": the OCI configuration in the file `config`, with the service's own root,
 * network namespace, cgroup, volumes and environment; and what criu must be told beside what runc tells it. May be
 * applied to its own output. */
int runc_adapt(const struct service *s, const char *config, bool tcp_close, struct err *e);
/* Runs runc with these arguments (NULL-terminated; --root and --log are put before them) by the keeper, its stdout
 * and stderr being the log pipe, and waits for it. An error quotes runc's own log: "service NAME: runc run: ...". */
int runc_do(const struct service *s, struct keeper *k, const char *const args[], struct err *e);
/* Fills `e` with what runc or criu say in their logs; -1. */
int runc_failed(const struct service *s, const char *verb, struct err *e);
/* The first process, by the --pid-file that runc has written to service_dir "runc.pid". */
int runc_pid(const struct service *s, pid_t *pid, struct err *e);
/* file_path("/run/edge/runc"): runc's --root. */
const char *runc_root(void);

/* The verbs of engine.h. */
int runc_dump(struct service *s, struct criu *criu, const char *images, bool tcp_close,
	      int (*at)(void *, const char *), void *ctx, struct err *e);
int runc_restore_arm(struct service *s, struct keeper *k, struct criu *warm, struct err *e);
const char *runc_lazy_dir(const struct service *s, const char *images);
int runc_restore(struct service *s, struct keeper *k, struct criu *warm, const char *images, bool tcp_close, bool lazy,
		 int (*ready)(void *), void *ctx, struct err *e);

#endif
