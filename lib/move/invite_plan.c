/* SPDX-License-Identifier: MIT */
#include "lib/move/invite_plan.h"

#include <string.h>

#include "lib/discover/node.h"

struct plan {
	const struct invitation *how;
	char **lines;
	size_t n, room;
	struct json *nodes;  /* of the invitation */
	struct json *ways;   /* name -> ssh://..., by node records */
	struct json *came;   /* name -> member record */
	struct json *why;    /* name -> why it did not come */
};

static bool is_move(const struct json *rec)
{
	const char *kind = json_str(rec, "kind");

	return kind && !strcmp(kind, "move") && json_str(rec, "action") && json_str(rec, "to");
}

static bool is_invitation(const struct json *rec)
{
	return is_move(rec) && !strcmp(json_str(rec, "action"), "invite");
}

/* Names have dots, which are paths for json_set: so arrays of pairs. */
static const struct json *of(const struct json *pairs, const char *name, struct json **found)
{
	for (size_t i = 0; i < json_len(pairs, NULL); i++) {
		struct json *pair = json_at(pairs, i);

		if (!strcmp(json_str(pair, "name"), name))
			return *found = pair;
		json_free(pair);
	}
	return NULL;
}

static void add(struct json *pairs, const char *name, const char *member, struct json *value)
{
	struct json *pair = json_object();

	json_set_str(pair, "name", name);
	json_set(pair, member, value);
	json_add(pairs, pair);
}

/* ---- reading ---- */

static int keep_line(struct plan *p, const char *line, struct err *e)
{
	if (p->n == p->room) {
		size_t room = p->room ? 2 * p->room : 256;
		char **more = realloc(p->lines, room * sizeof(*more));

		if (!more)
			return err_set(e, EX_OSERR, "out of memory");
		p->lines = more;
		p->room = room;
	}
	if (!(p->lines[p->n] = strdup(line)))
		return err_set(e, EX_OSERR, "out of memory");
	p->n++;
	return 0;
}

static void take_node(struct plan *p, const struct json *rec)
{
	const char *name = json_str(rec, "name"), *addr = json_str(rec, "addr"), *user = json_str(rec, "user");
	char url[600];

	if (!name || !addr)
		return;
	snprintf(url, sizeof(url), strchr(addr, ':') ? "ssh://%.63s@[%.255s]:%lld" : "ssh://%.63s@%.255s:%lld", user ? user : "root",
		 addr, (long long)json_int(rec, "port", 22));
	add(p->ways, name, "target", json_string(url));
}

static int read_all(struct plan *p, FILE *in, struct err *e)
{
	AUTO_RECORDS struct records *r = records_open(in, "stdin");
	int rc;

	for (;;) {
		AUTO_JSON struct json *rec = NULL, *known = NULL;
		const char *kind;

		if ((rc = records_next(r, &rec, e)) <= 0)
			return rc;
		if (keep_line(p, records_line(r), e))
			return -1;
		kind = json_str(rec, "kind");
		if (kind && !strcmp(kind, "node"))
			take_node(p, rec);
		if (is_invitation(rec) && !of(p->nodes, json_str(rec, "to"), &known))
			add(p->nodes, json_str(rec, "to"), "target", json_string(json_str(rec, "to")));
	}
}

/* Those that the registry does not have are reached by what was read. */
static int find_ways(struct plan *p, struct json **nodes, struct err *e)
{
	AUTO_REGISTRY struct registry *r = NULL;
	AUTO_JSON struct json *all = json_array();
	struct ssh_target t;

	if (registry_open(&r, NULL, e))
		return -1;
	for (size_t i = 0; i < json_len(p->nodes, NULL); i++) {
		AUTO_JSON struct json *node = json_at(p->nodes, i), *way = NULL;

		if (node_target(r, json_str(node, "name"), &t, NULL) && of(p->ways, json_str(node, "name"), &way))
			json_set_str(node, "target", json_str(way, "target"));
		if (!strncmp(json_str(node, "name"), "ssh://", 6))
			json_remove(node, "name");
		json_add(all, TAKE_PTR(node));
	}
	*nodes = TAKE_PTR(all);
	return 0;
}

/* ---- the answers ---- */

static void answered(void *ctx, size_t i, const struct json *member, const struct err *why)
{
	struct plan *p = ctx;
	AUTO_JSON struct json *node = json_at(p->nodes, i);

	if (member) {
		add(p->came, json_str(node, "name"), "member", json_copy(member));
		return;
	}
	p->how->warn(why);
	add(p->why, json_str(node, "name"), "why", json_string(why->text));
}

/* It is not reached, so that nothing changes. */
static int print_stay(FILE *out, const struct json *rec, const char *why, struct err *e)
{
	AUTO_JSON struct json *stay = json_copy(rec);

	json_set_str(stay, "action", "stay");
	json_set_str(stay, "why", why);
	json_remove(stay, "gain");
	json_remove(stay, "predicted");
	return record_print(out, stay, e);
}

static int print_all(const struct plan *p, FILE *out, struct err *e)
{
	for (size_t i = 0; i < p->n; i++) {
		AUTO_JSON struct json *rec = json_parse(p->lines[i], strlen(p->lines[i]), e), *pair = NULL;
		int rc;

		if (!rec)
			return -1;
		if (is_move(rec) && of(p->why, json_str(rec, "to"), &pair)) {
			rc = print_stay(out, rec, json_str(pair, "why"), e);
		} else if (is_invitation(rec) && of(p->came, json_str(rec, "to"), &pair)) {
			AUTO_JSON struct json *member = json_get(pair, "member");
			rc = record_print(out, member, e);
		} else {
			rc = record_pass(out, p->lines[i], e);
		}
		if (rc)
			return -1;
	}
	return 0;
}

int invite_plan(FILE *in, FILE *out, const struct invitation *how, struct err *e)
{
	AUTO_JSON struct json *asked = json_array(), *ways = json_array(), *came = json_array(), *why = json_array(), *nodes = NULL;
	struct plan p = { .how = how, .nodes = asked, .ways = ways, .came = came, .why = why };
	struct invitation inv = *how;
	int failed = read_all(&p, in, e);

	if (!failed && json_len(asked, NULL)) {
		inv.done = answered;
		inv.ctx = &p;
		failed = find_ways(&p, &nodes, e);
		inv.nodes = nodes;
		if (!failed)
			failed = invite_run(&inv, e);
	}
	if (failed >= 0 && print_all(&p, out, e))
		failed = -1;
	for (size_t i = 0; i < p.n; i++)
		free(p.lines[i]);
	free(p.lines);
	return failed;
}
