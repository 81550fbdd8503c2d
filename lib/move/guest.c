/* SPDX-License-Identifier: MIT */
#include "lib/move/guest.h"

#include <string.h>
#include <time.h>

#include "lib/base/clock.h"
#include "lib/discover/consent.h"
#include "lib/discover/enlist.h"
#include "lib/discover/grant.h"
#include "lib/discover/node.h"
#include "lib/discover/pubkey.h"
#include "lib/discover/registry.h"
#include "lib/discover/ticket.h"
#include "lib/discover/trust.h"
#include "lib/engine/swarm.h"
#include "lib/move/wire.h"

#define PEERS_MAX 10000

/* ---- whom it knows ---- */

/* A record that somebody else has written is left alone. */
static int enlist_new(const struct json *node, const char *fleet, struct err *e)
{
	AUTO_REGISTRY struct registry *r = NULL;
	AUTO_JSON struct json *old = NULL, *rec = json_object();
	struct registry_version v;
	char key[128];

	snprintf(key, sizeof(key), "node/%.63s", json_str(node, "name"));
	if (registry_open(&r, NULL, e) || registry_get(r, key, &old, &v, e))
		return -1;
	if (old || !json_str(node, "addr"))
		return 0;
	json_set_str(rec, "kind", "node");
	json_set_str(rec, "name", json_str(node, "name"));
	json_set_str(rec, "addr", json_str(node, "addr"));
	json_set(rec, "port", json_get(node, "port"));
	json_set_str(rec, "user", json_str(node, "user"));
	json_set_str(rec, "member", fleet);
	return registry_put(r, key, rec, &v, e) < 0 ? -1 : 0; /* somebody else was quicker */
}

int guest_admit(const struct json *node, const struct json *with, const char *fleet, struct err *e)
{
	static const char *const kept[] = { "addr", "port", "user", "host_keys" };
	const char *name = json_str(node, "name"), *addr = json_str(node, "addr");
	AUTO_JSON struct json *keys = json_get(node, "host_keys"), *names = json_keys(with);
	struct pubkey k;

	if (!name || !pubkey_name_valid(name) || !json_str(node, "key") || pubkey_parse(&k, json_str(node, "key"), NULL))
		return err_set(e, EX_DATAERR, "a node without name or key");
	AUTO_JSON struct json *grant = grant_load(name, NULL);
	if (grant && json_str(grant, "key") && strcmp(json_str(grant, "key"), k.text))
		return err_set(e, EX_NOPERM, "node %s: known here with another key", name);
	if (!grant)
		grant = json_object();
	json_set_str(grant, "name", name);
	json_set_str(grant, "key", k.text);
	for (size_t i = 0; i < sizeof(kept) / sizeof(*kept); i++)
		if (json_has(node, kept[i]))
			json_set(grant, kept[i], json_get(node, kept[i]));
	for (size_t i = 0; i < json_len(names, NULL); i++) {
		AUTO_JSON struct json *member = json_at(names, i);
		json_set(grant, json_value(member), json_get(with, json_value(member)));
	}
	if (addr && keys && json_len(keys, NULL) && trust_pin(addr, (int)json_int(node, "port", 22), keys, e))
		return err_wrap(e, "node %s", name);
	return grant_save(grant, e) || enlist_new(node, fleet, e) ? -1 : 0;
}

/* ---- invite ---- */

/* The owner's yes or no, and what may be granted of what is asked. */
static int consent(const char *who, const struct json *call, unsigned *verbs, struct json **policy, struct err *e)
{
	AUTO_JSON struct json *asked = json_get(call, "verbs");
	struct consent_facts facts;
	unsigned wanted = GRANT_GUEST;

	if (!(*policy = consent_policy(e)))
		return -1;
	consent_facts(&facts, who);
	if (consent_decide(*policy, &facts, who, e) || (asked && grant_verbs(asked, &wanted, e)) ||
	    consent_verbs(*policy, wanted, verbs, e))
		return -1;
	if (asked && *verbs != wanted) {
		AUTO_JSON struct json *lacking = grant_words(wanted & ~*verbs), *first = json_at(lacking, 0);
		return err_set(e, EX_NOPERM, "its owner does not let %s be granted", json_value(first));
	}
	return *verbs ? 0 : err_set(e, EX_NOPERM, "its owner lets nothing be granted");
}

static int on_invite(struct stream *s, const char *who, const struct json *call, struct err *e)
{
	AUTO_JSON struct json *grant = grant_load(who, e), *policy = NULL, *answer = json_object();
	unsigned verbs;

	if (!grant || consent(who, call, &verbs, &policy, e))
		return -1;
	bool once = !json_str(grant, "accept") || strcmp(json_str(grant, "accept"), "always");
	json_set_str(answer, "answer", once && !grant_joined(grant, time(NULL)) ? "token" : "join");
	json_set(answer, "verbs", grant_words(verbs));
	json_set(answer, "quota", json_get(policy, "quota"));
	return wire_send_json(s, FRAME_REPLY, answer, e);
}

/* ---- join ---- */

/* What the inviter tells of itself; where it says no address, the one that it has called from. */
static struct json *inviter_node(const char *who, const struct json *call, const char *key)
{
	struct json *node = json_object();
	const char *from = getenv("SSH_CONNECTION");
	char addr[64] = "";

	if (from && !json_str(call, "addr") && sscanf(from, "%63s", addr) == 1)
		json_set_str(node, "addr", addr);
	else
		json_set_str(node, "addr", json_str(call, "addr"));
	json_set_str(node, "name", who);
	json_set_str(node, "key", key);
	json_set(node, "port", json_get(call, "port"));
	json_set_str(node, "user", json_str(call, "user"));
	json_set(node, "host_keys", json_get(call, "host_keys"));
	return node;
}

/* What the grant says from now on. */
static int terms(const struct json *grant, const struct json *call, struct json *with, struct err *e)
{
	AUTO_JSON struct json *ticket = json_get(call, "ticket"), *policy = NULL, *used = json_object();
	const char *who = json_str(grant, "name"), *accept = json_str(grant, "accept"), *fleet = json_str(call, "fleet");
	time_t now = time(NULL);
	unsigned verbs;
	char at[32];

	if (consent(who, call, &verbs, &policy, e))
		return -1;
	if (!fleet || !pubkey_name_valid(fleet))
		return err_set(e, EX_DATAERR, "fleet %.63s: not a name", fleet ? fleet : "");
	if (!json_str(call, "name") || strcmp(json_str(call, "name"), who))
		return err_set(e, EX_NOPERM, "it is known here as %s, and says that it is %.63s", who,
			       json_str(call, "name") ? json_str(call, "name") : "nobody");
	if (!grant_joined(grant, now) && !(accept && !strcmp(accept, "always"))) {
		if (!ticket)
			return err_set(e, EX_NOPERM, "a token is wanted (edge-invite --ticket)");
		if (ticket_check(ticket, grant, now, e))
			return -1;
		json_set(used, "used", json_get(grant, "used"));
		ticket_burn(used, ticket, now);
		json_set(with, "used", json_get(used, "used"));
	}
	double lease = json_num(policy, "lease_s", 0);
	json_set_str(with, "fleet", fleet);
	json_set(with, "verbs", grant_words(verbs));
	json_set_str(with, "since", json_str(grant, "since") ? json_str(grant, "since") : clock_rfc3339_at(now, at));
	json_set_str(with, "until", lease > 0 ? clock_rfc3339_at(now + (time_t)lease, at) : NULL);
	json_set(with, "quota", json_get(policy, "quota"));
	return 0;
}

static int on_join(struct stream *s, const char *who, const struct json *call, struct err *e)
{
	static const char *const told[] = { "verbs", "since", "until", "quota" };
	AUTO_FREE char *key = trust_own_key(e); /* may take a moment */
	AUTO_FD int lock = key ? grant_lock(e) : -1;
	AUTO_JSON struct json *grant = lock < 0 ? NULL : grant_load(who, e);
	AUTO_JSON struct json *with = json_object(), *answer = json_object(), *node = NULL;

	if (!grant || terms(grant, call, with, e))
		return -1;
	node = inviter_node(who, call, json_str(grant, "key"));
	if (guest_admit(node, with, json_str(with, "fleet"), e))
		return -1;
	close(TAKE_FD(lock));
	setenv("EDGE_FLEET", json_str(with, "fleet"), 1);
	json_set(answer, "node", node_describe());
	json_set_str(answer, "key", key);
	json_set(answer, "host_keys", trust_host_keys());
	for (size_t i = 0; i < sizeof(told) / sizeof(*told); i++)
		json_set(answer, told[i], json_get(with, told[i]));
	return wire_send_json(s, FRAME_REPLY, answer, e);
}

/* ---- meet and part ---- */

static int on_meet(struct stream *s, const char *who, const struct json *call, struct err *e)
{
	AUTO_FD int lock = grant_lock(e);
	AUTO_JSON struct json *grant = lock < 0 ? NULL : grant_load(who, e);
	AUTO_JSON struct json *peers = json_get(call, "peers"), *with = json_object(), *answer = json_object();

	if (!grant)
		return -1;
	if (!grant_joined(grant, time(NULL)))
		return err_set(e, EX_NOPERM, "not a member of %s", who);
	if (peers && json_len(peers, NULL) > PEERS_MAX)
		return err_set(e, EX_DATAERR, "more than %d peers", PEERS_MAX);
	json_set_str(with, "by", who);
	for (size_t i = 0; peers && i < json_len(peers, NULL); i++) {
		AUTO_JSON struct json *peer = json_at(peers, i);
		const char *name = json_str(peer, "name");

		if (name && (!strcmp(name, node_self()) || !strcmp(name, who)))
			continue;
		if (guest_admit(peer, with, json_str(grant, "fleet"), e))
			return -1;
	}
	return wire_send_json(s, FRAME_REPLY, answer, e);
}

static int on_part(struct stream *s, const char *who, const struct json *call, struct err *e)
{
	AUTO_FD int lock = grant_lock(e);
	const char *peer = json_str(call, "peer");
	AUTO_JSON struct json *grant = lock < 0 ? NULL : grant_load(peer ? peer : who, e), *answer = json_object();

	if (!grant)
		return -1;
	if (peer && (!json_str(grant, "by") || strcmp(json_str(grant, "by"), who)))
		return err_set(e, EX_NOPERM, "node %s: it was not you who brought it", peer);
	json_remove(grant, "by"); /* who is known here by others only, and goes, takes that along */
	if (grant_save(grant, e) || (peer ? grant_end(peer, false, false, e) : grant_end(who, true, true, e)))
		return -1;
	if (!peer && swarm_leave(who, e))
		return -1;
	AUTO_REGISTRY struct registry *r = NULL;
	if (json_has(grant, "member") && !peer && (registry_open(&r, NULL, e) || enlist_leaves(r, who, node_fleet(), e)))
		return -1;
	return wire_send_json(s, FRAME_REPLY, answer, e);
}

static const struct {
	const char *verb;
	int (*serve)(struct stream *, const char *, const struct json *, struct err *);
} calls[] = { { "invite", on_invite }, { "join", on_join }, { "meet", on_meet }, { "part", on_part } };

#define N_CALLS (sizeof(calls) / sizeof(*calls))

bool guest_knows(const char *verb)
{
	for (size_t i = 0; i < N_CALLS; i++)
		if (!strcmp(verb, calls[i].verb))
			return true;
	return false;
}

int guest_serve(struct stream *s, const char *who, const struct json *call, struct err *e)
{
	const char *verb = json_str(call, "verb");

	if (!who)
		return err_set(e, EX_NOPERM, "%s: another line of authorized_keys than that of edge-invite lets this key in", verb);
	for (size_t i = 0; i < N_CALLS; i++)
		if (!strcmp(verb, calls[i].verb))
			return calls[i].serve(s, who, call, e);
	return err_set(e, EX_SOFTWARE, "%s", verb);
}
