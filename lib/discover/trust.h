/* SPDX-License-Identifier: MIT */
/* Whose key may log in here, and which host keys are believed: the lines of ours in authorized_keys and known_hosts. All that
 * others have written there stays as it is. */
#ifndef EDGE_DISCOVER_TRUST_H
#define EDGE_DISCOVER_TRUST_H

#include <stdbool.h>

#include "lib/base/json.h"

/* This node's own public key, "ssh-ed25519 AAAA..." (new), of the private key that lib/base/ssh.h uses; one is made at
 * /etc/edge/key when there is none. */
char *trust_own_key(struct err *e);
/* The host keys of this machine's sshd, an array of "ssh-ed25519 AAAA...": those of "host_key" in node.json (a file's name), else
 * of /etc/ssh. May be empty. */
struct json *trust_host_keys(void);

/* One line for each name: the key runs "edge-serve --as NAME" and nothing else; without a pty or forwarding. The file is
 * "authorized_keys" of node.json, else that of ~/.ssh. *free_already (may be NULL): a line that is not ours lets that key in. */
int trust_authorize(const char *name, const char *key, bool *free_already, struct err *e);
/* Takes the line away. */
int trust_bar(const char *name, struct err *e);

/* Believes these keys (an array of "ssh-ed25519 AAAA...") of a host from now on. EX_NOPERM when it is known with
 * others: "host key of HOST is known already, and is another". */
int trust_pin(const char *host, int port, const struct json *keys, struct err *e);

#endif
