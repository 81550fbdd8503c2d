/* SPDX-License-Identifier: MIT */
/* What the readers of a compose file's parts share. All of them give 0 or -1 with r->e filled. */
#ifndef EDGE_APP_COMPOSE_INT_H
#define EDGE_APP_COMPOSE_INT_H

#include "lib/app/compose.h"
#include "lib/app/ytree.h"

struct compose_reader {
	struct compose *c;
	struct compose_service *s;    /* the one being read */
	const struct ytree *tree;
	const char *file;
	char at[256];                 /* "services.web.deploy": where it is */
	bool files;
	const struct ynode *top;      /* the whole file, for what services refer to */
	struct json *noted;           /* positions that have been named */
	struct err *e;
};

/* One key of a map. take NULL: the specification has it, and it means nothing here: it is named. */
struct compose_key {
	const char *name;
	int (*take)(struct compose_reader *r, const struct ynode *n);
};

/* Gives each member of the map to its key; a key that is not in the table, and does not begin with "x-", is an error. */
int compose_keys(struct compose_reader *r, const struct ynode *map, const struct compose_key *keys);
/* "FILE:LINE:COLUMN: services.web.ports: text"; -1. */
int compose_fail(struct compose_reader *r, const struct ynode *n, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void compose_note(struct compose_reader *r, const struct ynode *n, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* ---- values; compose_value.c ---- */

int value_text(struct compose_reader *r, const struct ynode *n, const char **text);
int value_bool(struct compose_reader *r, const struct ynode *n, bool *v);
int value_number(struct compose_reader *r, const struct ynode *n, double least, double most, double *v);
int value_bytes(struct compose_reader *r, const struct ynode *n, double *v);   /* "64m", "1.5gb" */
int value_seconds(struct compose_reader *r, const struct ynode *n, double *v); /* "1m30s", "500ms" */
/* New arrays of strings: of a list, or of one text. */
struct json *value_strings(struct compose_reader *r, const struct ynode *n);
/* A command: a list, or a text that is cut into words as a shell does. */
struct json *value_words(struct compose_reader *r, const struct ynode *n);
/* Of a map, or of a list of "KEY=VALUE": an array of "KEY=VALUE". A key without a value is taken from the environment if
 * `environment`, and left out when it is not there. */
struct json *value_pairs(struct compose_reader *r, const struct ynode *n, bool environment);
/* Sets a string member of the service's definition, of at most `most` bytes. */
int value_member(struct compose_reader *r, const struct ynode *n, const char *member, size_t most);

/* For keys that are looked at elsewhere, or change nothing. */
int take_nothing(struct compose_reader *r, const struct ynode *n);

/* ---- parts of a service ---- */

int take_address(struct compose_reader *r, const struct ynode *n);
int take_replicas(struct compose_reader *r, const struct ynode *n);

int take_volumes(struct compose_reader *r, const struct ynode *n); /* compose_volumes.c */
int take_tmpfs(struct compose_reader *r, const struct ynode *n);
int take_secrets(struct compose_reader *r, const struct ynode *n);
int take_configs(struct compose_reader *r, const struct ynode *n);
int take_deploy(struct compose_reader *r, const struct ynode *n);  /* compose_deploy.c */
int take_healthcheck(struct compose_reader *r, const struct ynode *n);
/* The machine name of "amd64", "arm64" and so on. */
const char *arch_of(const char *word);
int take_x_edge(struct compose_reader *r, const struct ynode *n);
int take_x_edge_all(struct compose_reader *r, const struct ynode *n); /* the one at the top of the file */
int compose_service_read(struct compose_reader *r, const struct ynode *n); /* compose_service.c */

#endif
