/* SPDX-License-Identifier: MIT */
/* edge-probe on a machine that has nothing of ours: sent there with the shared objects and the loader that it needs, for one
 * run. */
#ifndef EDGE_MOVE_BUNDLE_H
#define EDGE_MOVE_BUNDLE_H

#include <stdio.h>

#include "lib/base/json.h"
#include "lib/base/ssh.h"

/* Runs this very program there with `args` (strings of letters, digits, dots and dashes) over OpenSSH's client, with the key
 * and the host keys of lib/base/ssh.h; its records go to `out`, what it says to `say`. It works in a folder of mktemp(1),
 * which is removed afterwards. Gives the program's exit status, or -1: EX_UNAVAILABLE "node NAME: bootstrap: ...", also for
 * another architecture than ours. */
int bundle_run(const struct ssh_target *t, const struct json *args, FILE *out, void (*say)(const char *line), struct err *e);

#endif
