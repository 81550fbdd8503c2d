/* SPDX-License-Identifier: MIT */
/* All programs, what they need of shared objects, their loader and a CRIU with its own, on machines of the same architecture that
 * have none of these: below /usr/local/lib/edgetools, with short scripts in /usr/local/bin. As root, over OpenSSH. */
#ifndef EDGE_MOVE_INSTALL_H
#define EDGE_MOVE_INSTALL_H

#include "lib/base/json.h"

/* On all of these at the same time ({target, name}, as in lib/move/invite.h): sends the files of which a node has no copy,
 * neither there nor where this machine has it, by their SHA-256; each is checked there before it takes its place. Then the owner's
 * yes is said there (edge-invite --accept-from), and the tickets are added to `tickets`. What fails at a node is told through
 * warn(). -1: nothing can be done. */
int install_all(const struct json *nodes, struct json *tickets, int at_once, void (*warn)(const struct err *e), struct err *e);

#endif
