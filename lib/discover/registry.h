/* SPDX-License-Identifier: MIT */
/* The registry: nodes and service instances as records, behind a small table of verbs, so that a new kind of
 * registry is one new file. A URL names it: "dir:/path" (or a bare path), "etcd://[user@]host:port[,host:port].../prefix", "etcds://..." with
 * TLS; "ldap://host/base" (RFC 4516) and "ldaps://..." only list nodes. */
#ifndef EDGE_DISCOVER_REGISTRY_H
#define EDGE_DISCOVER_REGISTRY_H

#include "lib/base/auto.h"
#include "lib/base/err.h"
#include "lib/base/json.h"

struct registry;

/* url NULL: EDGE_REGISTRY, else dir:/var/lib/edge/registry under EDGE_ROOT. */
int registry_open(struct registry **r, const char *url, struct err *e);
void registry_close(struct registry *r);
AUTO_DEFINE(struct registry, registry_close)
#define AUTO_REGISTRY AUTO(registry_close_auto)

/* Keys are "node/NAME" and "service/ID"; a part is letters, digits and "._-", not starting with a dot.
 * `version` names the state of a value: it changes with each put, and is "" for a key that does not exist. */
struct registry_version {
	char text[64];
};

/* A new array of records whose keys start with "prefix/", ordered by key. */
int registry_list(struct registry *r, const char *prefix, struct json **array, struct err *e);
/* 0 with *rec, or with *rec NULL when there is none; *v (may be NULL) its version. */
int registry_get(struct registry *r, const char *key, struct json **rec, struct registry_version *v, struct err *e);
/* Compare-and-swap: 0 done; 1 the version is no longer `expect` (nothing was written); -1 error.
 * expect NULL: unconditionally. */
int registry_put(struct registry *r, const char *key, const struct json *rec, const struct registry_version *expect,
		 struct err *e);
/* Does ahead what it can of putting that record under a key that does not exist yet: connects, writes what will have to be on
 * disk. Nobody sees anything of it; the put is to come from the same handle. */
int registry_stage(struct registry *r, const char *key, const struct json *rec, struct err *e);
/* As registry_put, removing. A missing key is no error when expect is NULL. */
int registry_remove(struct registry *r, const char *key, const struct registry_version *expect, struct err *e);
/* Blocks until something under the prefix changes or timeout_ms ends: 1 changed, 0 timeout, -1 error. */
int registry_watch(struct registry *r, const char *prefix, int timeout_ms, struct err *e);
/* Records that are put from now on vanish unless they are put again within that time. EX_UNAVAILABLE where a registry
 * cannot do that. */
int registry_lease(struct registry *r, int seconds, struct err *e);

/* Service records ("service/ID") by these only: the epoch of an instance, which grows with each move of it, never goes back
 * there, and the first node that writes an epoch has it. 0 done; 1 fenced: the registry knows a newer epoch, or this one at
 * another node, so the instance is not ours (any more), and nothing was written; -1 error. Both take id, epoch and node from
 * the record; removing what is not there is done. */
int registry_put_service(struct registry *r, const struct json *record, struct err *e);
int registry_remove_service(struct registry *r, const struct json *record, struct err *e);
/* It does not run at that node: an entry that says so says "stopped" from now on; any other one is left alone. */
int registry_stop_service(struct registry *r, const char *id, const char *node, struct err *e);
/* The epoch and node ("" when it does not say) that the registry knows for an instance: 0 found; 1 unknown; -1 error. */
int registry_epoch(struct registry *r, const char *id, int64_t *epoch, char node[256], struct err *e);

#endif
