/* SPDX-License-Identifier: MIT */
/* What a kind of registry provides. The verbs mean what registry.h says; keys are valid when they arrive here. */
#ifndef EDGE_DISCOVER_REGISTRY_KIND_H
#define EDGE_DISCOVER_REGISTRY_KIND_H

#include "lib/discover/registry.h"

struct registry_kind {
	const char *scheme; /* "dir" */
	/* `rest` is the URL behind the scheme's colon. */
	int (*open)(void **self, const char *rest, struct err *e);
	void (*close)(void *self);
	int (*list)(void *self, const char *prefix, struct json **array, struct err *e);
	int (*get)(void *self, const char *key, struct json **rec, struct registry_version *v, struct err *e);
	/* rec NULL removes. */
	int (*put)(void *self, const char *key, const struct json *rec, const struct registry_version *expect, struct err *e);
	/* NULL: a get is as good, as it connects. */
	int (*stage)(void *self, const char *key, const struct json *rec, struct err *e);
	int (*watch)(void *self, const char *prefix, int timeout_ms, struct err *e);
	int (*lease)(void *self, int seconds, struct err *e); /* NULL: it has none */
};

extern const struct registry_kind registry_dir, registry_etcd, registry_etcds, registry_ldap, registry_ldaps;

/* Files with which a registry over the network is reached, where they are: registry.password (its first line, which the
 * caller frees), registry.ca, registry.cert and registry.key in /etc/edge. */
struct registry_secrets {
	char *password, *ca, *cert, *key; /* NULL: no such file */
};
int registry_secrets_load(struct registry_secrets *s, struct err *e);
void registry_secrets_free(struct registry_secrets *s);

#endif
