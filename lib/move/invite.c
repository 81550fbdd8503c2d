/* SPDX-License-Identifier: MIT */
#include "lib/move/invite.h"

#include <string.h>
#include <time.h>

#include "lib/base/clock.h"
#include "lib/base/crowd.h"
#include "lib/discover/enlist.h"
#include "lib/discover/grant.h"
#include "lib/discover/node.h"
#include "lib/discover/trust.h"
#include "lib/engine/swarm.h"
#include "lib/move/guest.h"
#include "lib/move/remote.h"
#include "lib/move/wire.h"
#include "lib/move/worker.h"

struct round {
	const struct invitation *inv;
	struct json *own;     /* what this node tells of itself: members of the call "join" */
	struct json *joined;  /* names of those that came */
	size_t at;            /* which one is spoken of */
	bool *told;           /* [nodes]: done() was called */
	int failed;
};

/* ---- in the process of one node ---- */

static const struct json *ticket_for(const struct json *tickets, const char *node, struct json **found)
{
	for (size_t i = 0; i < json_len(tickets, NULL); i++) {
		struct json *t = json_at(tickets, i);

		if (!strcmp(json_str(t, "node"), node))
			return *found = t;
		json_free(t);
	}
	return NULL;
}

/* The way to it: by the ticket, which its owner has written, else as it was named. */
static int way_to(const struct json *node, const struct json *ticket, struct ssh_target *t, struct err *e)
{
	AUTO_REGISTRY struct registry *r = NULL;
	const char *addr = ticket ? json_str(ticket, "addr") : NULL, *user = ticket ? json_str(ticket, "user") : NULL;
	char url[600];

	if (!addr) {
		if (registry_open(&r, NULL, e) || node_target(r, json_str(node, "target"), t, e))
			return -1;
		if (json_str(node, "name"))
			snprintf(t->name, sizeof(t->name), "%s", json_str(node, "name"));
		return 0;
	}
	snprintf(url, sizeof(url), strchr(addr, ':') ? "ssh://%.63s@[%.255s]:%lld" : "ssh://%.63s@%.255s:%lld", user ? user : "root",
		 addr, (long long)json_int(ticket, "port", 22));
	if (ssh_target_parse(t, url, e))
		return -1;
	snprintf(t->name, sizeof(t->name), "%s", json_str(ticket, "node"));
	return 0;
}

/* Invitation, token, join: gives what the node has answered to the last. */
static struct json *speak(struct stream *s, const struct round *r, const struct json *ticket, struct err *e)
{
	struct json *ask = wire_request("invite"), *join = json_copy(r->own);
	AUTO_JSON struct json *answer = NULL;

	json_set_str(join, "verb", "join");
	json_set_str(ask, "fleet", json_str(join, "fleet"));
	if (r->inv->verbs) {
		json_set(ask, "verbs", json_copy(r->inv->verbs));
		json_set(join, "verbs", json_copy(r->inv->verbs));
	}
	answer = wire_call(s, ask, e);
	if (answer && json_str(answer, "answer") && !strcmp(json_str(answer, "answer"), "token")) {
		AUTO_JSON struct json *token = json_object();

		if (!ticket || !json_str(ticket, "token")) {
			err_set(e, EX_NOPERM, "%s: a token is wanted (edge-invite --ticket)", stream_peer(s));
			json_free(join);
			return NULL;
		}
		json_set_str(token, "nonce", json_str(ticket, "nonce"));
		json_set_str(token, "expires", json_str(ticket, "expires"));
		json_set_str(token, "token", json_str(ticket, "token"));
		json_set(join, "ticket", TAKE_PTR(token));
	}
	if (!answer) {
		json_free(join);
		return NULL;
	}
	return wire_call(s, join, e);
}

/* One that lets services be started there becomes a worker of this node's swarm, where there is one. That it does not is no
 * reason against the rest. */
static void offer_swarm(struct stream *s, const char *name, struct json *answer)
{
	AUTO_JSON struct json *words = json_get(answer, "verbs");
	struct err why = { 0 };
	unsigned verbs = 0;

	if (!words || grant_verbs(words, &verbs, NULL) || !(verbs & GRANT_RUN) || !swarm_managed())
		return;
	if (worker_bring_over(s, name, &why))
		json_set_str(answer, "swarm_why", why.text);
	else
		json_set_bool(answer, "swarm", true);
}

static int invite_one(const struct round *r, size_t i, struct json *line, struct err *e)
{
	AUTO_JSON struct json *node = json_at(r->inv->nodes, i), *found = NULL, *answer = NULL, *told = NULL;
	const char *name = json_str(node, "name");
	const struct json *ticket = name ? ticket_for(r->inv->tickets, name, &found) : NULL;
	AUTO_STREAM struct stream *s = NULL;
	struct ssh_target t;

	if (way_to(node, ticket, &t, e) || !(s = remote_open_target(&t, e)) || !(answer = speak(s, r, ticket, e)))
		return -1;
	told = json_get(answer, "node");
	const char *is = told ? json_str(told, "name") : NULL;
	if (!is || (name && strcmp(is, name)))
		return err_set(e, EX_DATAERR, "%s: calls itself %.63s", stream_peer(s), is ? is : "nothing");
	json_set_str(told, "addr", t.host);
	json_set_num(told, "port", t.port);
	json_set_str(told, "user", t.user);
	offer_swarm(s, is, answer);
	json_set(answer, "node", TAKE_PTR(told));
	json_set(line, "answer", TAKE_PTR(answer));
	return 0;
}

static int work(void *ctx, size_t i, FILE *out)
{
	AUTO_JSON struct json *line = json_object();
	struct err e = { 0 };

	if (invite_one(ctx, i, line, &e)) {
		json_set_str(line, "why", e.text);
		json_set_num(line, "code", e.code);
	}
	return record_print(out, line, NULL) ? EX_IOERR : 0;
}

/* ---- in ours ---- */

/* It may bring services here, and everybody finds it. */
static int admit(struct round *r, const struct json *answer, struct json **record, struct err *e)
{
	AUTO_JSON struct json *rec = json_get(answer, "node"), *with = json_object(), *node = json_copy(rec);
	AUTO_REGISTRY struct registry *reg = NULL;
	AUTO_FD int lock = grant_lock(e);
	const char *fleet = json_str(r->own, "fleet");

	if (lock < 0)
		return -1;
	json_set_str(node, "key", json_str(answer, "key"));
	json_set(node, "host_keys", json_get(answer, "host_keys"));
	json_set(with, "member.verbs", json_get(answer, "verbs"));
	json_set_str(with, "member.since", json_str(answer, "since"));
	json_set_str(with, "member.until", json_str(answer, "until"));
	json_set(with, "member.quota", json_get(answer, "quota"));
	if (guest_admit(node, with, fleet, e))
		return -1;
	json_set_str(rec, "member", fleet);
	if (registry_open(&reg, NULL, e) || enlist(reg, rec, e))
		return -1;
	AUTO_JSON struct json *grant = grant_load(json_str(rec, "name"), e);
	*record = grant ? invite_record(grant, true) : NULL;
	if (!*record)
		return -1;
	json_set(*record, "swarm", json_get(answer, "swarm"));
	return 0;
}

static void tell(struct round *r, size_t i, const struct json *member, const struct err *why)
{
	if (r->told[i])
		return;
	r->told[i] = true;
	r->failed += !member;
	r->inv->done(r->inv->ctx, i, member, why);
}

static int line(void *ctx, size_t i, char *text, struct err *e)
{
	AUTO_JSON struct json *said = json_parse(text, strlen(text), e), *answer = said ? json_get(said, "answer") : NULL, *record = NULL;
	struct round *r = ctx;
	struct err why = { 0 };

	if (!said)
		return -1;
	if (!answer)
		err_set(&why, (int)json_int(said, "code", EX_UNAVAILABLE), "%s", json_str(said, "why"));
	else if (!admit(r, answer, &record, &why))
		json_add(r->joined, json_string(json_str(record, "node")));
	if (record && json_str(answer, "swarm_why")) {
		err_set(&why, EX_UNAVAILABLE, "%s", json_str(answer, "swarm_why"));
		r->inv->warn(&why);
	}
	tell(r, i, record, &why);
	return 0;
}

static int ended(void *ctx, size_t i, int status, struct err *e)
{
	struct round *r = ctx;
	AUTO_JSON struct json *node = json_at(r->inv->nodes, i);
	const char *name = json_str(node, "name") ? json_str(node, "name") : json_str(node, "target");
	struct err why;

	(void)e;
	if (status == CROWD_LATE)
		err_set(&why, EX_UNAVAILABLE, "node %s: no answer within %g s", name, r->inv->timeout_ms / 1e3);
	else
		err_set(&why, EX_SOFTWARE, "node %s: ended without an answer", name);
	tell(r, i, NULL, &why);
	return 0;
}

/* ---- making members known to one another ---- */

struct meeting {
	const struct invitation *inv;
	struct json *members; /* grants */
	const struct json *joined;
};

static bool is_among(const struct json *names, const char *name)
{
	for (size_t i = 0; i < json_len(names, NULL); i++) {
		AUTO_JSON struct json *one = json_at(names, i);

		if (!strcmp(json_value(one), name))
			return true;
	}
	return false;
}

/* A new one hears of all, an old one of the new ones. */
static struct json *peers_of(const struct meeting *m, const char *name)
{
	static const char *const told[] = { "name", "key", "addr", "port", "user", "host_keys" };
	struct json *peers = json_array();
	bool is_new = is_among(m->joined, name);

	for (size_t i = 0; i < json_len(m->members, NULL); i++) {
		AUTO_JSON struct json *one = json_at(m->members, i), *peer = json_object();

		if (!strcmp(json_str(one, "name"), name) || (!is_new && !is_among(m->joined, json_str(one, "name"))))
			continue;
		for (size_t k = 0; k < sizeof(told) / sizeof(*told); k++)
			json_set(peer, told[k], json_get(one, told[k]));
		json_add(peers, TAKE_PTR(peer));
	}
	return peers;
}

static int call_member(const char *name, struct json *call, struct err *e)
{
	AUTO_STREAM struct stream *s = remote_open(name, e);
	AUTO_JSON struct json *answer = s ? wire_call(s, call, e) : (json_free(call), NULL);

	return answer ? 0 : -1;
}

static int meet(void *ctx, size_t i, FILE *out)
{
	const struct meeting *m = ctx;
	AUTO_JSON struct json *member = json_at(m->members, i), *peers = peers_of(m, json_str(member, "name"));
	struct json *call;
	struct err e = { 0 };

	if (!json_len(peers, NULL))
		return 0;
	call = wire_request("meet");
	json_set(call, "peers", TAKE_PTR(peers));
	if (call_member(json_str(member, "name"), call, &e))
		fprintf(out, "%s\n", e.text);
	return 0;
}

static int met(void *ctx, size_t i, char *text, struct err *e)
{
	const struct meeting *m = ctx;
	struct err why;

	(void)i;
	(void)e;
	err_set(&why, EX_UNAVAILABLE, "%s (it does not know the other members)", text);
	m->inv->warn(&why);
	return 0;
}

static int meeting_over(void *ctx, size_t i, int status, struct err *e)
{
	const struct meeting *m = ctx;
	AUTO_JSON struct json *member = json_at(m->members, i);
	char text[200];

	snprintf(text, sizeof(text), "node %s: no answer within %g s", json_str(member, "name"), m->inv->timeout_ms / 1e3);
	return status == CROWD_LATE ? met(ctx, i, text, e) : 0;
}

static struct json *list_members(struct err *e)
{
	AUTO_JSON struct json *all = grant_list(e);
	struct json *members = json_array();

	for (size_t i = 0; all && i < json_len(all, NULL); i++) {
		struct json *one = json_at(all, i);

		if (json_has(one, "member"))
			json_add(members, one);
		else
			json_free(one);
	}
	return members;
}

static int meet_all(const struct round *r, struct err *e)
{
	AUTO_JSON struct json *members = list_members(e);
	struct meeting m = { .inv = r->inv, .members = members, .joined = r->joined };
	const struct crowd c = {
		.n = json_len(members, NULL),
		.at_once = r->inv->at_once,
		.timeout_ms = r->inv->timeout_ms,
		.work = meet,
		.line = met,
		.ended = meeting_over,
		.ctx = &m,
	};

	return json_len(r->joined, NULL) && c.n > 1 ? crowd_run(&c, e) : 0;
}

/* ---- the whole ---- */

static int pin_tickets(const struct json *tickets, struct err *e)
{
	for (size_t i = 0; i < json_len(tickets, NULL); i++) {
		AUTO_JSON struct json *t = json_at(tickets, i), *keys = json_get(t, "host_keys");

		if (json_str(t, "addr") && trust_pin(json_str(t, "addr"), (int)json_int(t, "port", 22), keys, e))
			return err_wrap(e, "node %s", json_str(t, "node"));
	}
	return 0;
}

static struct json *describe_self(struct err *e)
{
	struct json *own = json_object();
	AUTO_FREE char *key = trust_own_key(e);
	AUTO_JSON struct json *node = key ? node_describe() : NULL;

	if (!node) {
		json_free(own);
		return NULL;
	}
	json_set_str(own, "name", node_self());
	json_set_str(own, "fleet", node_fleet());
	json_set_str(own, "addr", json_str(node, "addr"));
	json_set(own, "port", json_get(node, "port"));
	json_set_str(own, "user", json_str(node, "user"));
	json_set(own, "host_keys", trust_host_keys());
	return own;
}

int invite_run(const struct invitation *inv, struct err *e)
{
	size_t n = json_len(inv->nodes, NULL);
	AUTO_FREE bool *told = calloc(n + 1, sizeof(*told));
	AUTO_JSON struct json *own = describe_self(e), *joined = json_array();
	struct round r = { .inv = inv, .own = own, .joined = joined, .told = told };
	const struct crowd c = {
		.n = n,
		.at_once = inv->at_once,
		.timeout_ms = inv->timeout_ms,
		.work = work,
		.line = line,
		.ended = ended,
		.ctx = &r,
	};

	if (!told || !own || pin_tickets(inv->tickets, e) || crowd_run(&c, e) || meet_all(&r, e))
		return -1;
	return r.failed;
}

/* ---- the end of it ---- */

/* What else runs there by the swarm is moved by that; ours has left before. */
static void leave_swarm(const char *name, int (*step)(const char *, struct err *), void (*warn)(const struct err *))
{
	struct err why;

	if (swarm_managed() && step(name, &why)) {
		err_wrap(&why, "node %s", name);
		warn(&why);
	}
}

int invite_end(const char *name, void (*warn)(const struct err *), struct err *e)
{
	AUTO_REGISTRY struct registry *r = NULL;
	AUTO_JSON struct json *grant = grant_load(name, e), *all = grant ? grant_list(e) : NULL;
	struct err why = { 0 };

	if (!all)
		return -1;
	/* Here first: from now on it may do nothing more, whatever comes. */
	AUTO_FD int lock = grant_lock(e);
	if (lock < 0 || grant_end(name, true, true, e))
		return -1;
	close(TAKE_FD(lock));
	if (json_has(grant, "member") && (registry_open(&r, NULL, e) || enlist_leaves(r, name, node_fleet(), e)))
		return -1;
	if (json_has(grant, "member"))
		leave_swarm(name, swarm_drain, warn);
	if (call_member(name, wire_request("part"), &why))
		warn(&why);
	if (json_has(grant, "member"))
		leave_swarm(name, swarm_remove, warn);
	for (size_t i = 0; i < json_len(all, NULL); i++) {
		AUTO_JSON struct json *one = json_at(all, i);
		const char *other = json_str(one, "name"), *by = json_str(one, "by");
		struct json *call;

		if (!other || !strcmp(other, name) || !(json_has(one, "member") || (by && !strcmp(by, name))))
			continue;
		call = wire_request("part");
		json_set_str(call, "peer", by ? NULL : name);
		if (call_member(other, call, &why))
			warn(&why);
	}
	return 0;
}

struct json *invite_record(const struct json *grant, bool member)
{
	static const char *const told[] = { "verbs", "since", "until", "quota" };
	AUTO_JSON struct json *rec = json_object(), *terms = member ? json_get(grant, "member") : json_copy(grant);

	if (!terms || !json_str(terms, "since"))
		return NULL;
	json_set_str(rec, "kind", "member");
	json_set_str(rec, "node", member ? json_str(grant, "name") : node_self());
	json_set_str(rec, "inviter", member ? node_self() : json_str(grant, "name"));
	json_set_str(rec, "fleet", member ? node_fleet() : json_str(grant, "fleet"));
	json_set_str(rec, "state", "joined");
	for (size_t i = 0; i < sizeof(told) / sizeof(*told); i++)
		json_set(rec, told[i], json_get(terms, told[i]));
	return TAKE_PTR(rec);
}
