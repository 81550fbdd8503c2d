/* SPDX-License-Identifier: MIT */
/* Running other programs, without a shell. */
#ifndef EDGE_BASE_PROC_H
#define EDGE_BASE_PROC_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "lib/base/err.h"

/* Runs argv[0] (looked up in PATH) to its end with stdin from /dev/null. Its stdout goes to *out (NUL-terminated,
 * the caller frees it) unless out is NULL. Returns 0 when it exits 0; else -1 and an error "PROGRAM: last line of its stderr".
 * Killed and reported after timeout_ms (0: no limit). */
int proc_run(const char *const argv[], char **out, int timeout_ms, struct err *e);

/* Where a program of ours that is not on PATH may be: PATH, then /usr/local/lib/edge-criu/criu for "criu".
 * EDGE_CRIU names another criu. Returns a static string, NULL when there is none. */
const char *proc_find(const char *program);

/* The folder that this program is in; "" when that cannot be known. */
void proc_folder(char dir[PATH_MAX]);
/* From now on, and for whom this process starts, programs of that folder (as long as `len` says) are found before those of PATH. */
void proc_prefer(const char *folder, size_t len);
/* The same of this program's own folder: its fellows are found without being installed. */
void proc_fellows(void);

/* Has that thread a seccomp filter? */
bool proc_filtered(pid_t pid, pid_t tid);

/* A process, or a thread (0: this one; it hands that on to those that it starts), comes before other work on this node: somebody
 * stands still until it is done. Only root may. */
void proc_hurry(pid_t pid);
/* This thread, and those that it starts, come after other work. */
void proc_yield(void);
/* It is a thread like any other again. */
void proc_unhurry(void);
/* Takes now page faults that would be met later: what this process may write (smaller mappings, the heap) is there then, and not shared
 * any more with what it has forked before; this thread's stack is deep enough for what is usual here, and so are those of a few threads
 * to come, for what is their own. A fault costs a microsecond, and tens of them in a virtual machine within another one. */
void proc_warm(void);
/* This thread's stack alone. */
void proc_warm_stack(void);

#endif
