/* SPDX-License-Identifier: MIT */
/* One table of options per command feeds parsing, --help, --version and the completions. */
#ifndef EDGE_BASE_OPT_H
#define EDGE_BASE_OPT_H

#include <stdbool.h>
#include <stdio.h>

#include "lib/base/err.h"

enum opt_type {
	OPT_FLAG, /* bool: set to true */
	OPT_STR,  /* const char *: points into argv */
	OPT_INT,  /* long, decimal, not negative */
	OPT_NUM,  /* double, not negative */
	OPT_SIZE, /* uint64_t bytes: 64M, 1.5G, 4096; powers of 1024 */
	OPT_LIST, /* struct opt_list: may be given several times */
	OPT_ENV,  /* the name of a variable of the environment, which is set: what a library or a child reads there */
	OPT_GROUP, /* no option: what follows stands under the heading `name` in help */
	OPT_REQUIRED = 0x100, /* joined to one of the above: marked so in help; whether it is there, the command checks */
};
#define OPT_TYPE(o) ((enum opt_type)((o)->type & ~OPT_REQUIRED))

struct opt_list {
	const char **items; /* point into argv */
	int n;
};

struct opt {
	const char *name; /* long name without dashes; NULL ends the table */
	char letter;      /* or 0 */
	enum opt_type type;
	void *value;      /* of the type that `type` names */
	/* The argument's name in help; NULL for a flag. A list of words is "a|b|c". What shells offer for it follows from the
	 * name: NODE, SERVICE, CHECKPOINT, DIR, HOSTDIR:PATH, FILE, USER, COMMAND; nothing for others. */
	const char *arg;
	const char *help; /* one line, lower case */
};

struct cmd {
	const char *name;     /* "edge-run" */
	const char *synopsis; /* operands only: "SERVICE... | -"; the options come from the table, what shells offer as above */
	const char *about;    /* one sentence: what it does */
	const struct opt *opts;
	bool filter;          /* reads records from stdin when it has no operands: then a terminal gets short help */
	bool (*source)(void); /* NULL, or: do its options say that it does not? */
	const char *notes;    /* behind the options in help: lines, or NULL */
	const char *example;  /* a command line for help, or NULL */
	/* Prints the names that shells offer for NODE ("nodes"), SERVICE ("services@NODE", "services@" for this node),
	 * CHECKPOINT ("checkpoints") or PROGRAM ("programs"), one a line; -1 for what it does not know. Usually names_print of
	 * lib/discover/names.h; NULL: none are offered. */
	int (*names)(const char *what, FILE *f);
};

/* Parses argv, options and operands in any order up to "--"; operands are moved to the end.
 * Returns the index of the first operand in argv. Returns -1 when main should return *status at once:
 * --help and --version were printed to stdout (0), a usage error to stderr (64),
 * `--completion bash|zsh|fish` printed a completion script (0), `--completion nodes` and the like the names that it offers.
 * A "--" ends the options and is not an operand; everything behind it is. */
int cmd_parse(const struct cmd *c, int argc, char **argv, int *status);
/* Prints "edge-run: text (see edge-run --help)" to stderr and returns EX_USAGE: for options and operands that are wrong. */
int cmd_usage(const struct cmd *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Prints "edge-run: text" to stderr and returns the code. */
int cmd_fail(const struct cmd *c, const struct err *e);
/* A message of another program, with its name before it already, to stderr as it is. */
void cmd_relay(const char *line);
/* Flushes stdout and checks it: `status`, or EX_IOERR and a line on stderr if something could not be written. */
int cmd_done(const struct cmd *c, int status);

struct json;
/* What "-" means to a program that carries out plans: each `move` record on stdin whose action is among `actions`
 * (NULL-terminated) goes to act, which tells its own failures and then returns non-zero; the rest is passed on to stdout,
 * unchanged and in order. The exit status for main: EX_NO when an act failed. */
int cmd_moves(const struct cmd *c, const char *const actions[], int (*act)(const struct json *rec));

#endif
