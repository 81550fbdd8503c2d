/* SPDX-License-Identifier: MIT */
#include "lib/move/survey.h"

#include <string.h>

#include "lib/base/crowd.h"
#include "lib/discover/node.h"
#include "lib/engine/engine.h"
#include "lib/move/bundle.h"
#include "lib/move/remote.h"

struct round {
	const struct survey *s;
	int status;
};

/* What remote_run takes for node i, and what people call it. */
static int name_of(const struct survey *s, size_t i, char target[600], char name[300], struct err *e)
{
	AUTO_JSON struct json *node = json_at(s->nodes, i);
	const char *word = json_value(node), *addr = json_str(node, "addr"), *user = json_str(node, "user");
	const char *its = json_str(node, "name");

	if (!word) {
		snprintf(name, 300, "%.255s", its ? its : addr ? addr : "without a name");
		if (!addr || strlen(addr) > 255 || (user && strlen(user) > 63))
			return err_set(e, EX_DATAERR, "node %s: its record has no usable address", name);
		snprintf(target, 600, strchr(addr, ':') ? "ssh://%s@[%s]:%lld" : "ssh://%s@%s:%lld", user ? user : "root", addr,
			 (long long)json_int(node, "port", 22));
		return 0;
	}
	snprintf(name, 300, "%.255s", word);
	snprintf(target, 600, "%.599s", word);
	return 0;
}

/* It was reached, and has no edge-serve: shells say it so. */
static bool not_installed(const struct err *e)
{
	return e->code == EX_UNAVAILABLE && strstr(e->text, "not found");
}

static int run_bundle(const struct survey *s, const char *target, FILE *out, struct err *e)
{
	AUTO_REGISTRY struct registry *r = NULL;
	struct ssh_target t;

	if (registry_open(&r, NULL, e) || node_target(r, target, &t, e))
		return -1;
	return bundle_run(&t, s->args, out, s->say, e);
}

static int work(void *ctx, size_t i, FILE *out)
{
	struct round *r = ctx;
	char target[600], name[300];
	struct err e = { 0 };
	int rc;

	if (name_of(r->s, i, target, name, &e)) {
		r->s->failed(r->s->ctx, &e);
		return EX_DATAERR;
	}
	rc = remote_run(target, "edge-probe", r->s->args, out, r->s->say, &e);
	if (r->s->bootstrap && not_installed(&e))
		rc = run_bundle(r->s, target, out, &e);
	if (rc >= 0)
		return rc;
	r->s->failed(r->s->ctx, &e);
	return e.code;
}

/* The address at which it answers is better than the one that it takes for its own. */
static void set_address(struct json *rec, const char *target)
{
	AUTO_REGISTRY struct registry *r = NULL;
	struct ssh_target t;

	if (registry_open(&r, NULL, NULL) || node_target(r, target, &t, NULL))
		return;
	json_set_str(rec, "addr", t.host);
	if (t.port != 22)
		json_set_num(rec, "port", t.port);
	if (strcmp(t.user, "root"))
		json_set_str(rec, "user", t.user);
}

/* A task of this node's swarm: there, only its use is known. */
static struct json *complete(struct json *task)
{
	const char *name = json_str(task, "name"), *id = json_str(task, "id");
	AUTO_SERVICE struct service *s = NULL;
	struct json *rec;

	if (!name || !id || service_load(&s, name, NULL) || !engine_span(s->engine) || strcmp(s->id, id))
		return task;
	rec = service_record(s, "running");
	json_set(rec, "usage", json_get(task, "usage"));
	json_free(task);
	return rec;
}

static int line(void *ctx, size_t i, char *text, struct err *e)
{
	struct round *r = ctx;
	struct json *rec = json_parse(text, strlen(text), e);
	char target[600], name[300];
	const char *kind = rec ? json_str(rec, "kind") : NULL;

	if (!rec)
		return -1;
	if (kind && !strcmp(kind, "node") && !name_of(r->s, i, target, name, NULL))
		set_address(rec, target);
	if (kind && !strcmp(kind, "service") && json_str(rec, "engine") && engine_span(json_str(rec, "engine")))
		rec = complete(rec);
	return r->s->record(r->s->ctx, rec, e);
}

static int ended(void *ctx, size_t i, int status, struct err *e)
{
	struct round *r = ctx;
	char target[600], name[300];
	struct err late;

	(void)e;
	if (status)
		r->status = json_len(r->s->nodes, NULL) > 1 ? EX_NO : status == CROWD_LATE ? EX_UNAVAILABLE : status;
	name_of(r->s, i, target, name, NULL);
	if (status == CROWD_LATE) {
		err_set(&late, EX_UNAVAILABLE, "node %s: no answer within %g s", name, r->s->timeout_ms / 1e3);
		r->s->failed(r->s->ctx, &late);
	}
	return 0;
}

int survey_run(const struct survey *s, struct err *e)
{
	struct round r = { .s = s };
	const struct crowd c = {
		.n = json_len(s->nodes, NULL),
		.at_once = s->at_once,
		.timeout_ms = s->timeout_ms,
		.work = work,
		.line = line,
		.ended = ended,
		.ctx = &r,
	};

	return crowd_run(&c, e) ? -1 : r.status;
}
