/* SPDX-License-Identifier: MIT */
/* What the engines docker and podman share: container.c runs containers, container_docker.c and container_podman.c have what the
 * two do differently, their checkpoints. */
#ifndef EDGE_ENGINE_CONTAINER_H
#define EDGE_ENGINE_CONTAINER_H

#include "lib/engine/engine.h"

#define CONTAINER_ASK_MS 20000
#define CONTAINER_RUN_MS 120000

/* proc_run with the service in the error, EX_UNAVAILABLE or EX_TEMPFAIL. */
int container_do(const char *const argv[], char **out, int ms, const struct service *s, struct err *e);
/* The same for what must not be left half done, and uses the criu that we would use: the program goes on when we are killed, and who ends the container then waits
 * for its end. */
int container_do_apart(const char *const argv[], const struct service *s, struct err *e);
/* Made, and not started. */
int container_create(const struct service *s, const char *program, struct err *e);
/* What the program's "inspect" says in that format, without a newline (new). */
char *container_ask(const struct service *s, const char *program, const char *format, struct err *e);
/* Sets s->pid; one that does not run is an error. */
int container_pid(struct service *s, const char *program, struct err *e);

extern const struct engine_memory docker_memory, podman_memory;

#endif
