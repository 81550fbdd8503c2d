/* SPDX-License-Identifier: MIT */
/* A YAML document as a tree whose nodes know where they stand; the only door to libyaml. Anchors, aliases and merge keys
 * (<<) are resolved. A hostile text costs at most about 50 MB and a second: 1 MB of text, 32 levels, 100,000 nodes with
 * all aliases written out. Refused, too: what is not UTF-8, a key twice in a map, a second document, tags of an application. */
#ifndef EDGE_APP_YTREE_H
#define EDGE_APP_YTREE_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/auto.h"
#include "lib/base/err.h"

#define YTREE_TEXT_MAX (1u << 20)

enum ykind { YTREE_TEXT, YTREE_LIST, YTREE_MAP };

struct ynode {
	enum ykind kind;
	unsigned line, column;  /* from 1; of an alias those of its anchor */
	bool plain;             /* a text without quotes or tag: null, true and 5 may be meant as such */
	bool is_key;            /* of a map */
	char *text;             /* of a text */
	struct ynode **items;   /* of a list, and the values of a map */
	struct ynode **keys;    /* of a map: all texts, each once; else NULL */
	size_t n;
	size_t weight;          /* nodes below and including it, each alias counted as what it stands for */
};

struct ytree;

/* `name` stands before line and column in messages: "compose.yaml:3:5: ...". EX_DATAERR. */
int ytree_parse(struct ytree **t, const char *text, size_t len, const char *name, struct err *e);
void ytree_free(struct ytree *t);
AUTO_DEFINE(struct ytree, ytree_free)
#define AUTO_YTREE AUTO(ytree_free_auto)

/* NULL: the document is empty. Nodes live as long as their tree. */
const struct ynode *ytree_root(const struct ytree *t);
/* Puts what `change` makes of each text (malloc'ed; NULL: an error) in its place, keys aside. */
int ytree_replace(struct ytree *t, char *(*change)(void *ctx, const char *text, struct err *e), void *ctx, struct err *e);
/* The member of a map, or NULL. */
const struct ynode *ynode_get(const struct ynode *map, const char *key);
/* Nothing was written there: "key:" or "key: null". */
bool ynode_null(const struct ynode *n);
/* EX_DATAERR and "NAME:LINE:COLUMN: ..."; -1. */
int ytree_fail(const struct ytree *t, const struct ynode *n, struct err *e, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

#endif
