/* SPDX-License-Identifier: MIT */
/* What an option table looks like for people and for shells; for opt.c alone. `own` are the options that
 * every program has. */
#ifndef EDGE_BASE_OPT_PRINT_H
#define EDGE_BASE_OPT_PRINT_H

#include <stdio.h>

#include "lib/base/opt.h"

/* "Usage: edge-run [OPTION]... SYNOPSIS" and what it does. */
void opt_print_usage(const struct cmd *c, FILE *f);
void opt_print_help(const struct cmd *c, const struct opt *own, FILE *f);
void opt_print_completion(const struct cmd *c, const struct opt *own, const char *shell, FILE *f);

#endif
