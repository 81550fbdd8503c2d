/* SPDX-License-Identifier: MIT */
/* How fast one core is. A single kind of work misleads, so there are four: integers, floating point, memory, branches. */
#ifndef EDGE_MEASURE_CPUSCORE_H
#define EDGE_MEASURE_CPUSCORE_H

#include "lib/base/json.h"

/* Measures for about 0.7 s of this thread's processor time. The result has "integer", "float", "memory" and "branch", each
 * 1000 where a core does what one of an AMD EPYC of 2021 (Zen 3, in a virtual machine, gcc -O2) does, and their geometric
 * mean "score". The best of several rounds counts, in processor time: other work on the machine changes it little.
 * NULL: out of memory. */
struct json *cpuscore_measure(void);

/* Scores by the processors' names, such as PassMark's single-thread marks: lines "name, mark", the name perhaps in quotes;
 * a first line whose mark is no number is a heading. EX_DATAERR "FILE: line N: ...". */
struct cpuscore_table;
int cpuscore_table_open(struct cpuscore_table **t, const char *path, struct err *e);
void cpuscore_table_close(struct cpuscore_table *t);
AUTO_DEFINE(struct cpuscore_table, cpuscore_table_close)
#define AUTO_CPUSCORE_TABLE AUTO(cpuscore_table_close_auto)
/* By name, without regard to case, trademark signs, blanks, "CPU", "Processor", "N-Core" and the clock behind an @.
 * NAN: not in the table. */
double cpuscore_table_find(const struct cpuscore_table *t, const char *model);

#endif
