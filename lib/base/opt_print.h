/* SPDX-License-Identifier: MIT */
/* What an option table looks like for people (opt_print.c) and for shells (opt_shell.c); for opt.c alone. `own` are the
 * options that every program has. */
#ifndef EDGE_BASE_OPT_PRINT_H
#define EDGE_BASE_OPT_PRINT_H

#include <stdio.h>

#include "lib/base/opt.h"

/* "Usage: edge-run --name NAME [OPTION]... SYNOPSIS", a line for each alternative of the synopsis, and what it does. */
void opt_print_usage(const struct cmd *c, FILE *f);
void opt_print_help(const struct cmd *c, const struct opt *own, FILE *f);
void opt_print_completion(const struct cmd *c, const struct opt *own, const char *shell, FILE *f);

#endif
