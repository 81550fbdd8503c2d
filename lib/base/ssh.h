/* SPDX-License-Identifier: MIT */
/* SSH sessions over libssh2 that run `edge-serve`, the only command this toolkit ever runs on another node. */
#ifndef EDGE_BASE_SSH_H
#define EDGE_BASE_SSH_H

#include "lib/base/err.h"
#include "lib/base/stream.h"

struct ssh_target {
	char user[64];   /* default "root" */
	char host[256];  /* name or address, IPv6 without brackets */
	int port;        /* default 22 */
	char name[256];  /* the node's name for messages; the host when it has none */
};

/* "ssh://[user@]host[:port]" (IPv6 in brackets); EX_USAGE when it is not of that form. */
int ssh_target_parse(struct ssh_target *t, const char *url, struct err *e);

/* Connects, checks the host key strictly against the known_hosts file (a key that is unknown or has changed is
 * refused: EX_NOPERM), authenticates with a private key, or an agent where SSH_AUTH_SOCK is set, and starts
 * edge-serve. Key and file: EDGE_IDENTITY and EDGE_KNOWN_HOSTS if set, else /etc/edge/key and /etc/edge/known_hosts
 * (under EDGE_ROOT) where these exist, else those of ~/.ssh (id_ed25519, id_ecdsa, id_rsa). known_hosts entries
 * may be plain or hashed, "host" or "[host]:port".
 * Everything is bounded by timeout_ms. Errors: "node NAME: cannot connect: Connection refused" (EX_UNAVAILABLE),
 * "node NAME: host key has changed", "node NAME: key refused" (EX_NOPERM). */
struct stream *ssh_open(const struct ssh_target *t, int timeout_ms, struct err *e);

/* Key or known_hosts as above: the one that the variable names, else that path (under EDGE_ROOT) where it exists, else NULL.
 * ssh_own_file("EDGE_IDENTITY", "/etc/edge/key") */
const char *ssh_own_file(const char *variable, const char *path);
/* Of ~/.ssh, whether it is there or not. */
const char *ssh_home_file(const char *name);

#endif
