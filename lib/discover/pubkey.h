/* SPDX-License-Identifier: MIT */
/* A public key as OpenSSH writes it: "ssh-ed25519 AAAA... name". */
#ifndef EDGE_DISCOVER_PUBKEY_H
#define EDGE_DISCOVER_PUBKEY_H

#include <stdbool.h>

#include "lib/base/err.h"

struct pubkey {
	char text[2048]; /* "ssh-ed25519 AAAA...", nothing behind it */
	char name[64];   /* what stood behind it, if that can be a node's name ("edge1", of "root@edge1" too); else "" */
};

/* Letters, digits and "._-", not beginning with a dot or a dash: no shell and no path takes it for anything else. */
bool pubkey_name_valid(const char *name);
/* One line; EX_DATAERR for what is no public key, a private one or several of them included. */
int pubkey_parse(struct pubkey *k, const char *line, struct err *e);
/* Of a file, or of stdin: "-". */
int pubkey_read(struct pubkey *k, const char *path, struct err *e);

#endif
