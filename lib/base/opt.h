/* SPDX-License-Identifier: MIT */
/* One table of options per command feeds parsing, --help, --version and the completions. */
#ifndef EDGE_BASE_OPT_H
#define EDGE_BASE_OPT_H

#include <stdbool.h>

#include "lib/base/err.h"

enum opt_type {
	OPT_FLAG, /* bool: set to true */
	OPT_STR,  /* const char *: points into argv */
	OPT_INT,  /* long, decimal, not negative */
	OPT_NUM,  /* double, not negative */
	OPT_SIZE, /* uint64_t bytes: 64M, 1.5G, 4096; powers of 1024 */
	OPT_LIST, /* struct opt_list: may be given several times */
};

struct opt_list {
	const char **items; /* point into argv */
	int n;
};

struct opt {
	const char *name; /* long name without dashes; NULL ends the table */
	char letter;      /* or 0 */
	enum opt_type type;
	void *value;      /* of the type that `type` names */
	const char *arg;  /* the argument's name in help, as "NODE"; NULL for a flag; a list of words is "a|b|c" */
	const char *help; /* one line, lower case */
};

struct cmd {
	const char *name;     /* "edge-run" */
	const char *synopsis; /* operands only: "NAME | -"; the options come from the table */
	const char *about;    /* one sentence: what it does */
	const struct opt *opts;
	bool filter;          /* reads records from stdin when it has no operands: then a terminal gets short help */
	const bool *source;   /* NULL, or a flag with which it does not */
};

/* Parses argv, options and operands in any order up to "--"; operands are moved to the end.
 * Returns the index of the first operand in argv. Returns -1 when main should return *status at once:
 * --help and --version were printed to stdout (0), a usage error to stderr (64),
 * `--completion bash|zsh|fish` printed a completion script (0).
 * A "--" ends the options and is not an operand; everything behind it is. */
int cmd_parse(const struct cmd *c, int argc, char **argv, int *status);
/* Prints "edge-run: text" to stderr and returns the code. */
int cmd_fail(const struct cmd *c, const struct err *e);
/* Flushes stdout and checks it: `status`, or EX_IOERR and a line on stderr if something could not be written. */
int cmd_done(const struct cmd *c, int status);

#endif
