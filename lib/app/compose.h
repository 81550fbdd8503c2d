/* SPDX-License-Identifier: MIT */
/* An application as a compose file tells it: docs of the format at compose-spec.io, of x-edge in edge-compose(5). Read from
 * the tree of ytree.h into definitions that service_from_json takes, and a few things about them all. */
#ifndef EDGE_APP_COMPOSE_H
#define EDGE_APP_COMPOSE_H

#include <limits.h>

#include "lib/base/json.h"
#include "lib/engine/service.h"

#define COMPOSE_SERVICES_MAX 256

struct compose_service {
	char key[SERVICE_NAME_MAX + 1]; /* its name in the file */
	unsigned line, column;          /* where it stands there */
	bool lone;                      /* network_mode: none; or no address of its own */
	struct json *spec;              /* owned: the definition; "image", "entrypoint" and "command" are not carried out yet */
	struct json *build;             /* owned: {context, dockerfile, target, args: ["KEY=VALUE"]}, or NULL */
	struct json *depends;           /* owned: [{service: KEY, condition}] */
	struct json *aliases;           /* owned: further names by which the others reach it */
	struct json *named;             /* owned: host folders that are volumes of the application, made when they are missing */
};

struct compose {
	char name[SERVICE_NAME_MAX + 1]; /* of the application */
	char dir[PATH_MAX];              /* of the file: relative paths begin here */
	char addresses[64];              /* "10.77.0.64/27": where services get theirs from; "": not said */
	struct compose_service *services;
	size_t n;                        /* each stands behind those that it depends on */
	struct json *notes;              /* what of the file is not used: an array of "FILE:LINE:COLUMN: ...", each once */
};

/* `name` (or NULL) goes before what the file says. Variables are those of the environment, then of the file .env beside it.
 * EX_DATAERR with line and column; EX_UNAVAILABLE when a file cannot be read. */
int compose_read(struct compose **c, const char *file, const char *name, struct err *e);
/* The same from a text; no file is opened but those that env_file names. For fuzzing: `files` false, and none is. */
int compose_parse(struct compose **c, const char *text, size_t len, const char *file, const char *name, bool files,
		  struct err *e);
void compose_free(struct compose *c);
AUTO_DEFINE(struct compose, compose_free)
#define AUTO_COMPOSE AUTO(compose_free_auto)

struct compose_service *compose_find(const struct compose *c, const char *key);

#endif
