/* SPDX-License-Identifier: MIT */
/* Nodes: this one, and how to reach the others. */
#ifndef EDGE_DISCOVER_NODE_H
#define EDGE_DISCOVER_NODE_H

#include "lib/base/json.h"
#include "lib/base/ssh.h"
#include "lib/discover/registry.h"

/* This node's name: "name" of /etc/edge/node.json, else the host name. Static storage. */
const char *node_self(void);
/* /etc/edge/node.json; NULL when there is none. Static storage. */
const struct json *node_settings(void);
/* One of its members as a string ("bridge"), NULL when absent. Static storage. */
const char *node_setting(const char *member);
/* The fleet that it invites others to: "member" of node.json, else its name. Static storage. */
const char *node_fleet(void);
/* This machine's node record (name, addr, arch, kernel, cpu cores, mem, disk of /var/lib/edge, criu version, engines, seen). */
struct json *node_describe(void);
/* "NAME" in the registry (its addr, port, user) or "ssh://[user@]host[:port]". EX_NO's sibling for a name that
 * nobody knows: EX_UNAVAILABLE "node NAME: not in the registry". */
int node_target(struct registry *r, const char *node, struct ssh_target *t, struct err *e);

#endif
