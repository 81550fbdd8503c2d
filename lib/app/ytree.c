/* SPDX-License-Identifier: MIT */
#include "lib/app/ytree.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define DEPTH_MAX   32
#define WEIGHT_MAX  100000
#define SLOTS_MAX   400000 /* places in lists and maps, merged ones included */
#define KEYS_MAX    4096   /* of one map: they are compared with each other */
#define ANCHORS_MAX 1000

struct ytree {
	char *name;
	struct ynode *root;
	struct ynode **all; /* each once, whoever else points to it */
	size_t n_all, slots;
};

struct reader {
	struct ytree *t;
	yaml_parser_t parser;
	struct {
		char *name;
		struct ynode *node;
	} anchors[ANCHORS_MAX];
	size_t n_anchors;
	int depth;
	struct err *e;
};

static void node_free(struct ynode *n)
{
	free(n->text);
	free(n->items);
	free(n->keys);
	free(n);
}

void ytree_free(struct ytree *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n_all; i++)
		node_free(t->all[i]);
	free(t->all);
	free(t->name);
	free(t);
}

const struct ynode *ytree_root(const struct ytree *t)
{
	return t->root;
}

int ytree_fail(const struct ytree *t, const struct ynode *n, struct err *e, const char *fmt, ...)
{
	char text[sizeof(e->text)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return err_set(e, EX_DATAERR, "%s:%u:%u: %s", t->name, n->line, n->column, text);
}

static int fail_at(struct reader *r, yaml_mark_t at, const char *problem)
{
	return err_set(r->e, EX_DATAERR, "%s:%zu:%zu: %s", r->t->name, at.line + 1, at.column + 1, problem);
}

static int no_memory(struct reader *r)
{
	return err_set(r->e, EX_OSERR, "%s: out of memory", r->t->name);
}

/* ---- nodes ---- */

static struct ynode *node_make(struct reader *r, enum ykind kind, yaml_mark_t at)
{
	struct ytree *t = r->t;
	struct ynode *n = NULL;

	if (t->n_all >= WEIGHT_MAX) {
		fail_at(r, at, "too many nodes");
		return NULL;
	}
	if (!(t->n_all & (t->n_all + 1))) { /* 0, 1, 3, 7 ...: all places are taken */
		struct ynode **more = realloc(t->all, (2 * t->n_all + 1) * sizeof(struct ynode *));

		if (!more) {
			no_memory(r);
			return NULL;
		}
		t->all = more;
	}
	if (!(n = calloc(1, sizeof(*n)))) {
		no_memory(r);
		return NULL;
	}
	*n = (struct ynode){ .kind = kind, .line = (unsigned)at.line + 1, .column = (unsigned)at.column + 1, .weight = 1 };
	t->all[t->n_all++] = n;
	return n;
}

static int node_add(struct reader *r, struct ynode *to, struct ynode *key, struct ynode *item, yaml_mark_t at)
{
	if (!(to->n & (to->n + 1))) {
		size_t room = (2 * to->n + 1) * sizeof(struct ynode *);
		struct ynode **items = realloc(to->items, room), **keys = NULL;

		if (items)
			to->items = items;
		if (items && key && (keys = realloc(to->keys, room)))
			to->keys = keys;
		if (!items || (key && !keys))
			return no_memory(r);
	}
	if (key)
		to->keys[to->n] = key;
	to->items[to->n++] = item;
	to->weight += item->weight + (key ? 1 : 0);
	if (to->weight > WEIGHT_MAX || ++r->t->slots > SLOTS_MAX)
		return fail_at(r, at, "too large with all its aliases written out");
	return 0;
}

const struct ynode *ynode_get(const struct ynode *map, const char *key)
{
	if (!map || map->kind != YTREE_MAP)
		return NULL;
	for (size_t i = 0; i < map->n; i++)
		if (!strcmp(map->keys[i]->text, key))
			return map->items[i];
	return NULL;
}

bool ynode_null(const struct ynode *n)
{
	return n->kind == YTREE_TEXT && n->plain &&
	       (!*n->text || !strcmp(n->text, "~") || !strcmp(n->text, "null") || !strcmp(n->text, "Null"));
}

/* ---- events ---- */

static struct ynode *read_node(struct reader *r, yaml_event_t *ev);

static int next(struct reader *r, yaml_event_t *ev)
{
	const yaml_parser_t *p = &r->parser;

	if (yaml_parser_parse(&r->parser, ev))
		return 0;
	if (p->error == YAML_READER_ERROR)
		return err_set(r->e, EX_DATAERR, "%s: byte %zu: %s", r->t->name, p->problem_offset, p->problem);
	return fail_at(r, p->problem_mark, p->problem ? p->problem : "out of memory");
}

static int anchor_set(struct reader *r, const yaml_char_t *name, struct ynode *n, yaml_mark_t at)
{
	if (!name)
		return 0;
	for (size_t i = 0; i < r->n_anchors; i++)
		if (!strcmp(r->anchors[i].name, (const char *)name)) { /* set anew, as YAML allows */
			r->anchors[i].node = n;
			return 0;
		}
	if (r->n_anchors == ANCHORS_MAX)
		return fail_at(r, at, "too many anchors");
	if (!(r->anchors[r->n_anchors].name = strdup((const char *)name)))
		return no_memory(r);
	r->anchors[r->n_anchors++].node = n;
	return 0;
}

/* The anchor of a list or map is known when all of it has been read: no alias can lead into itself. */
static struct ynode *read_alias(struct reader *r, const yaml_event_t *ev)
{
	for (size_t i = 0; i < r->n_anchors; i++)
		if (!strcmp(r->anchors[i].name, (const char *)ev->data.alias.anchor))
			return r->anchors[i].node;
	fail_at(r, ev->start_mark, "this alias has no anchor before it");
	return NULL;
}

static struct ynode *read_text(struct reader *r, const yaml_event_t *ev)
{
	const char *tag = (const char *)ev->data.scalar.tag;
	struct ynode *n;

	if (tag && strncmp(tag, "tag:yaml.org,2002:", 18)) {
		fail_at(r, ev->start_mark, "a tag that is not of YAML itself");
		return NULL;
	}
	if (strlen((const char *)ev->data.scalar.value) != ev->data.scalar.length) {
		fail_at(r, ev->start_mark, "a NUL character");
		return NULL;
	}
	if (!(n = node_make(r, YTREE_TEXT, ev->start_mark)))
		return NULL;
	n->plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !tag;
	if (!(n->text = strdup((const char *)ev->data.scalar.value)))
		no_memory(r);
	return n->text && !anchor_set(r, ev->data.scalar.anchor, n, ev->start_mark) ? n : NULL;
}

static int merge_one(struct reader *r, struct ynode *map, const struct ynode *from, yaml_mark_t at)
{
	if (from->kind != YTREE_MAP)
		return fail_at(r, at, "<<: what is merged is not a map");
	for (size_t i = 0; i < from->n; i++) {
		if (ynode_get(map, from->keys[i]->text))
			continue;
		if (map->n == KEYS_MAX)
			return fail_at(r, at, "too many keys in one map");
		if (node_add(r, map, from->keys[i], from->items[i], at))
			return -1;
	}
	return 0;
}

/* What stands in the map itself goes before what is merged into it. */
static int merge(struct reader *r, struct ynode *map, const struct ynode *from, yaml_mark_t at)
{
	if (from->kind != YTREE_LIST)
		return merge_one(r, map, from, at);
	for (size_t i = 0; i < from->n; i++)
		if (merge_one(r, map, from->items[i], at))
			return -1;
	return 0;
}

/* One key and its value. What is to be merged is kept until the end of the map. */
static int read_pair(struct reader *r, struct ynode *map, yaml_event_t *first, struct ynode **merged)
{
	struct ynode *key = read_node(r, first), *value;
	yaml_mark_t at = first->start_mark;
	yaml_event_t ev;

	if (!key || next(r, &ev))
		return -1;
	value = read_node(r, &ev);
	yaml_event_delete(&ev);
	if (!value)
		return -1;
	if (key->kind != YTREE_TEXT)
		return fail_at(r, at, "a key that is not a text");
	key->is_key = true;
	if (key->plain && !strcmp(key->text, "<<")) {
		if (*merged)
			return fail_at(r, at, "<<: a second time");
		*merged = value;
		return 0;
	}
	if (ynode_get(map, key->text))
		return ytree_fail(r->t, key, r->e, "%.64s: a second time", key->text);
	if (map->n == KEYS_MAX)
		return fail_at(r, at, "too many keys in one map");
	return node_add(r, map, key, value, at);
}

static int read_members(struct reader *r, struct ynode *n)
{
	bool list = n->kind == YTREE_LIST;
	struct ynode *merged = NULL;
	int rc = 0;

	for (bool end = false; !rc && !end;) {
		yaml_event_t ev;

		if (next(r, &ev))
			return -1;
		end = ev.type == YAML_SEQUENCE_END_EVENT || ev.type == YAML_MAPPING_END_EVENT;
		if (end) {
			rc = merged ? merge(r, n, merged, ev.start_mark) : 0;
		} else if (list) {
			struct ynode *item = read_node(r, &ev);

			rc = item ? node_add(r, n, NULL, item, ev.start_mark) : -1;
		} else {
			rc = read_pair(r, n, &ev, &merged);
		}
		yaml_event_delete(&ev);
	}
	return rc;
}

static struct ynode *read_group(struct reader *r, const yaml_event_t *ev)
{
	bool list = ev->type == YAML_SEQUENCE_START_EVENT;
	const yaml_char_t *anchor = list ? ev->data.sequence_start.anchor : ev->data.mapping_start.anchor;
	const char *tag = (const char *)(list ? ev->data.sequence_start.tag : ev->data.mapping_start.tag);
	struct ynode *n;

	if (tag && strncmp(tag, "tag:yaml.org,2002:", 18)) {
		fail_at(r, ev->start_mark, "a tag that is not of YAML itself");
		return NULL;
	}
	if (r->depth == DEPTH_MAX) {
		fail_at(r, ev->start_mark, "nested too deeply");
		return NULL;
	}
	if (!(n = node_make(r, list ? YTREE_LIST : YTREE_MAP, ev->start_mark)))
		return NULL;
	r->depth++;
	int rc = read_members(r, n);
	r->depth--;
	return rc || anchor_set(r, anchor, n, ev->start_mark) ? NULL : n;
}

static struct ynode *read_node(struct reader *r, yaml_event_t *ev)
{
	switch (ev->type) {
	case YAML_ALIAS_EVENT:
		return read_alias(r, ev);
	case YAML_SCALAR_EVENT:
		return read_text(r, ev);
	case YAML_SEQUENCE_START_EVENT:
	case YAML_MAPPING_START_EVENT:
		return read_group(r, ev);
	default:
		fail_at(r, ev->start_mark, "something else is missing here");
		return NULL;
	}
}

static int read_document(struct reader *r)
{
	bool seen = false;
	int rc = 0;

	for (bool end = false; !rc && !end;) {
		yaml_event_t ev;

		if (next(r, &ev))
			return -1;
		if (ev.type == YAML_STREAM_END_EVENT) {
			end = true;
		} else if (ev.type == YAML_DOCUMENT_START_EVENT) {
			rc = seen ? fail_at(r, ev.start_mark, "a second document") : 0;
			seen = true;
		} else if (ev.type != YAML_STREAM_START_EVENT && ev.type != YAML_DOCUMENT_END_EVENT) {
			rc = (r->t->root = read_node(r, &ev)) ? 0 : -1;
		}
		yaml_event_delete(&ev);
	}
	return rc;
}

int ytree_parse(struct ytree **out, const char *text, size_t len, const char *name, struct err *e)
{
	AUTO_YTREE struct ytree *t = calloc(1, sizeof(*t));
	AUTO_FREE struct reader *r = calloc(1, sizeof(*r));

	if (len > YTREE_TEXT_MAX)
		return err_set(e, EX_DATAERR, "%s: larger than %u bytes", name, YTREE_TEXT_MAX);
	if (!t || !r || !(t->name = strdup(name)) || !yaml_parser_initialize(&r->parser))
		return err_set(e, EX_OSERR, "%s: out of memory", name);
	r->t = t;
	r->e = e;
	yaml_parser_set_input_string(&r->parser, (const unsigned char *)text, len);
	yaml_parser_set_encoding(&r->parser, YAML_UTF8_ENCODING);
	int rc = read_document(r);
	yaml_parser_delete(&r->parser);
	for (size_t i = 0; i < r->n_anchors; i++)
		free(r->anchors[i].name);
	if (rc)
		return -1;
	if (t->root && ynode_null(t->root))
		t->root = NULL;
	*out = TAKE_PTR(t);
	return 0;
}

int ytree_replace(struct ytree *t, char *(*change)(void *ctx, const char *text, struct err *e), void *ctx, struct err *e)
{
	for (size_t i = 0; i < t->n_all; i++) {
		struct ynode *n = t->all[i];
		struct err why;
		char *text;

		if (n->kind != YTREE_TEXT || n->is_key)
			continue;
		if (!(text = change(ctx, n->text, &why)))
			return ytree_fail(t, n, e, "%s", why.text);
		free(n->text);
		n->text = text;
	}
	return 0;
}
