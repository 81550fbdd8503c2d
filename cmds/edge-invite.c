/* SPDX-License-Identifier: MIT */
/* Members of a fleet: nodes are invited and say yes or no, by their owners' rules; they leave, and their services leave before. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/base/clock.h"
#include "lib/base/opt.h"
#include "lib/discover/grant.h"
#include "lib/discover/names.h"
#include "lib/discover/node.h"
#include "lib/discover/pubkey.h"
#include "lib/discover/ticket.h"
#include "lib/discover/trust.h"
#include "lib/move/drain.h"
#include "lib/move/install.h"
#include "lib/move/invite_plan.h"

#define ONCE_MAX_S 2592000

static const char *accept_from, *name, *verbs;
static bool leaving, expiring, listing, own_key, installing;
static long jobs = 64, once;
static double time_limit = 30;
static struct opt_list ticket_files;

static const struct opt opts[] = {
	{ "grant", 'g', OPT_STR, &verbs, "VERB,...", "ask for these only: probe, latency, run, stop, checkpoint, ship, restore, migrate" },
	{ "ticket", 0, OPT_LIST, &ticket_files, "FILE", "what a node's owner has given (- is standard input); repeatable" },
	{ "install", 0, OPT_FLAG, &installing, NULL, "bring the programs and a CRIU along to nodes that lack them, as root over ssh" },
	{ "leave", 0, OPT_FLAG, &leaving, NULL, "move the services away from the nodes, then let them go; no node: this one leaves" },
	{ "expire", 0, OPT_FLAG, &expiring, NULL, "end it at once with these machines; none: with those whose time is over" },
	{ "list", 'l', OPT_FLAG, &listing, NULL, "show who has invited whom" },
	{ "jobs", 'j', OPT_INT, &jobs, "N", "ask so many nodes at a time (default 64)" },
	{ "timeout", 't', OPT_NUM, &time_limit, "SEC", "of patience with each of them (default 30)" },
	{ "registry", 0, OPT_ENV, "EDGE_REGISTRY", "URL", "where nodes and services are written down" },
	{ "For the owner of a node", 0, OPT_GROUP, NULL, NULL, NULL },
	{ "accept-from", 0, OPT_STR, &accept_from, "FILE", "let the one with that public key invite this node (- is standard input)" },
	{ "name", 'n', OPT_STR, &name, "NAME", "... and call it so (default: what stands behind the key)" },
	{ "once", 0, OPT_INT, &once, "SEC", "... only once, with the ticket that is printed, within so many seconds" },
	{ "key", 0, OPT_FLAG, &own_key, NULL, "print this machine's public key, for --accept-from; makes one where there is none" },
	{ 0 },
};

static bool is_no_filter(void)
{
	return leaving || expiring || listing || own_key || accept_from || ticket_files.n;
}

static const struct cmd cmd = {
	.name = "edge-invite",
	.synopsis = "[NODE...] | -",
	.about = "Invites nodes into this machine's fleet, and lets them go again.",
	.opts = opts,
	.filter = true,
	.source = is_no_filter,
	.notes = "Without operands, or with -, it invites the nodes that the records on standard input want invited, and passes the\n"
		 "rest on. With --ticket and no operands it invites the nodes of the tickets.",
	.example = "edge-invite edge2 edge3",
	.names = names_print,
};

static void warn(const struct err *e)
{
	cmd_fail(&cmd, e);
}

/* ---- the owner ---- */

/* As often as it likes, or until the last of its tickets expires; the one does not take back the other. */
static void set_acceptance(struct json *grant, const char *expires)
{
	const char *was = json_str(grant, "accept");

	if (!expires) {
		json_set_str(grant, "accept", "always");
		json_remove(grant, "accept_until");
	} else if (!was || !strcmp(was, "once")) {
		json_set_str(grant, "accept", "once");
		if (clock_time(json_str(grant, "accept_until")) < clock_time(expires))
			json_set_str(grant, "accept_until", expires);
	}
}

/* The inviter is written down, its key let in, and the ticket printed. */
static int accept_inviter(struct err *e)
{
	AUTO_FD int lock = grant_lock(e);
	AUTO_JSON struct json *grant = NULL, *ticket = NULL;
	bool free_already = false;
	struct pubkey k;

	if (lock < 0 || pubkey_read(&k, accept_from, e))
		return -1;
	if (name)
		snprintf(k.name, sizeof(k.name), "%.63s", name);
	if (!pubkey_name_valid(k.name))
		return err_set(e, EX_USAGE, "%s: the key has no name behind it that could be a node's: give it one with --name", accept_from);
	if (!(grant = grant_load(k.name, NULL)))
		grant = json_object();
	if (json_str(grant, "key") && strcmp(json_str(grant, "key"), k.text))
		return err_set(e, EX_NOPERM, "%s: known here with another key (edge-invite --expire %s forgets it)", k.name, k.name);
	json_set_str(grant, "name", k.name);
	json_set_str(grant, "key", k.text);
	if (!(ticket = ticket_issue(grant, once, e)))
		return -1;
	set_acceptance(grant, json_str(ticket, "expires"));
	if (grant_save(grant, e) || trust_authorize(k.name, k.text, &free_already, e))
		return -1;
	if (free_already) {
		struct err w;

		err_set(&w, EX_NOPERM, "%s: warning: another line of authorized_keys lets that key in without these limits", k.name);
		warn(&w);
	}
	return record_print(stdout, ticket, e);
}

static int print_key(struct err *e)
{
	AUTO_FREE char *key = trust_own_key(e);

	if (!key)
		return -1;
	printf("%s %s\n", key, node_self());
	return 0;
}

static int list(struct err *e)
{
	AUTO_JSON struct json *all = grant_list(e);

	for (size_t i = 0; all && i < json_len(all, NULL); i++) {
		AUTO_JSON struct json *grant = json_at(all, i), *guest = invite_record(grant, false), *host = invite_record(grant, true);

		if ((guest && record_print(stdout, guest, e)) || (host && record_print(stdout, host, e)))
			return -1;
	}
	return all ? 0 : -1;
}

/* ---- the end of it ---- */

static int expire_one(const char *who, struct err *e)
{
	return invite_end(who, warn, e);
}

/* Grants whose time is over, and the tickets that nobody has used in time. */
static int expire_old(struct err *e)
{
	AUTO_FD int lock = grant_lock(e);
	AUTO_JSON struct json *all = lock < 0 ? NULL : grant_list(e);
	time_t now = time(NULL);

	for (size_t i = 0; all && i < json_len(all, NULL); i++) {
		AUTO_JSON struct json *grant = json_at(all, i);
		const char *until = json_str(grant, "accept_until"), *member_until = json_str(grant, "member.until");
		bool guest = json_str(grant, "since") && !grant_joined(grant, now);

		if (until && clock_time(until) <= now) {
			json_remove(grant, "accept");
			json_remove(grant, "accept_until");
			if (grant_save(grant, e))
				return -1;
		}
		if (grant_end(json_str(grant, "name"), guest, member_until && clock_time(member_until) <= now, e))
			return -1;
	}
	return all ? 0 : -1;
}

/* First the services, then the grant. */
static int leave_one(const char *node, struct err *e)
{
	const struct drain d = { .out = stdout, .at_once = (int)jobs, .timeout_ms = (int)(time_limit * 1e3), .say = cmd_relay,
				 .failed = warn };
	AUTO_JSON struct json *grant = grant_load(node, e);
	int left;

	if (!grant)
		return -1;
	if (!json_has(grant, "member"))
		return err_set(e, EX_UNAVAILABLE, "node %s: not a member of this machine's fleet", node);
	left = drain_member(node, &d, e);
	if (left > 0)
		return err_set(e, EX_UNAVAILABLE, "node %s: does not leave: %d of its services found no other place", node, left);
	return left < 0 ? -1 : invite_end(node, warn, e);
}

static int leave_here(struct err *e)
{
	const struct drain d = { .out = stdout, .say = cmd_relay, .failed = warn };
	AUTO_JSON struct json *all = grant_list(e);
	int status = 0;

	for (size_t i = 0; all && i < json_len(all, NULL); i++) {
		AUTO_JSON struct json *grant = json_at(all, i);
		const char *who = json_str(grant, "name");
		int left = json_str(grant, "since") ? drain_self(who, &d, e) : 0;

		if (left < 0)
			return -1;
		if (left > 0) {
			err_set(e, EX_UNAVAILABLE, "fleet %s: not left: %d of its services found no other place", json_str(grant, "fleet"),
				left);
			warn(e);
			status = EX_NO;
		} else if (json_str(grant, "since") && invite_end(who, warn, e)) {
			return -1;
		}
	}
	return all ? status : -1;
}

/* An exit status, or -1. */
static int each(char **operands, int n, int (*end)(const char *, struct err *), struct err *e)
{
	int status = 0;

	for (int i = 0; i < n; i++)
		if (end(operands[i], e)) {
			if (n == 1)
				return -1;
			warn(e);
			status = EX_NO;
		}
	return status;
}

/* ---- the inviter ---- */

struct outcome {
	const struct json *nodes;
	int code; /* of a single one that did not come */
};

static void done(void *ctx, size_t i, const struct json *member, const struct err *why)
{
	struct outcome *o = ctx;
	AUTO_JSON struct json *node = json_at(o->nodes, i), *refused = NULL;
	struct err e;

	if (!member) {
		const char *its = json_str(node, "name") ? json_str(node, "name") : json_str(node, "target");

		refused = json_object();
		json_set_str(refused, "kind", "member");
		json_set_str(refused, "node", its);
		json_set_str(refused, "inviter", node_self());
		json_set_str(refused, "fleet", node_fleet());
		json_set_str(refused, "state", "refused");
		json_set_str(refused, "why", why->text);
		o->code = why->code;
		warn(why);
	}
	if (record_print(stdout, member ? member : refused, &e))
		warn(&e);
}

static int read_tickets(struct json *tickets, struct err *e)
{
	for (int i = 0; i < ticket_files.n; i++) {
		struct json *t = ticket_read(ticket_files.items[i], e);

		if (!t)
			return -1;
		json_add(tickets, t);
	}
	return 0;
}

static int read_verbs(struct json **words, struct err *e)
{
	AUTO_FREE char *text = strdup(verbs ? verbs : "");
	char *rest = text;
	unsigned known;

	if (!verbs)
		return 0;
	*words = json_array();
	for (char *word; text && (word = strsep(&rest, ",")); json_add(*words, json_string(word)))
		;
	if (!grant_verbs(*words, &known, e))
		return 0;
	err_wrap(e, "--grant");
	e->code = EX_USAGE;
	return -1;
}

/* The operands, else the nodes of the tickets. */
static struct json *named(char **operands, int n, const struct json *tickets)
{
	struct json *nodes = json_array();

	for (size_t i = 0; i < (n ? (size_t)n : json_len(tickets, NULL)); i++) {
		AUTO_JSON struct json *t = n ? NULL : json_at(tickets, i), *node = json_object();
		const char *its = n ? operands[i] : json_str(t, "node");

		json_set_str(node, "target", its);
		if (strncmp(its, "ssh://", 6))
			json_set_str(node, "name", its);
		json_add(nodes, TAKE_PTR(node));
	}
	return nodes;
}

static int invite(char **operands, int n, struct err *e)
{
	AUTO_JSON struct json *tickets = json_array(), *words = NULL, *nodes = NULL;
	struct outcome o = { 0 };
	struct invitation inv = { .tickets = tickets, .at_once = (int)jobs, .timeout_ms = (int)(time_limit * 1e3), .done = done,
				  .ctx = &o, .warn = warn };
	int failed;

	if (read_tickets(tickets, e) || read_verbs(&words, e))
		return -1;
	inv.verbs = words;
	if ((n == 1 && !strcmp(operands[0], "-")) || (!n && !ticket_files.n)) {
		failed = invite_plan(stdin, stdout, &inv, e);
		return failed > 0 ? EX_NO : failed;
	}
	o.nodes = inv.nodes = nodes = named(operands, n, tickets);
	if (installing && install_all(nodes, tickets, (int)jobs, warn, e))
		return -1;
	failed = invite_run(&inv, e);
	return failed > 0 ? (json_len(nodes, NULL) > 1 ? EX_NO : o.code) : failed;
}

static int check_use(int n)
{
	int modes = leaving + expiring + listing + own_key + (accept_from != NULL);

	if (modes > 1)
		return cmd_usage(&cmd, "one of --leave, --expire, --list, --key and --accept-from at a time");
	if (n && (listing || own_key || accept_from))
		return cmd_usage(&cmd, "--%s: takes no operand", listing ? "list" : own_key ? "key" : "accept-from");
	if ((once || name) && !accept_from)
		return cmd_usage(&cmd, "--%s is for --accept-from", once ? "once" : "name");
	if (once > ONCE_MAX_S)
		return cmd_usage(&cmd, "--once %ld: more than 30 days", once);
	if ((verbs || ticket_files.n || installing) && modes)
		return cmd_usage(&cmd, "--%s is for inviting", verbs ? "grant" : installing ? "install" : "ticket");
	if (installing && !n && !ticket_files.n)
		return cmd_usage(&cmd, "--install: no node named");
	if (jobs < 1 || jobs > 1000)
		return cmd_usage(&cmd, "--jobs %ld: not between 1 and 1000", jobs);
	if (!(time_limit >= 0.1 && time_limit <= 86400))
		return cmd_usage(&cmd, "--timeout %g: not between 0.1 and 86400 seconds", time_limit);
	return 0;
}

int main(int argc, char **argv)
{
	int status = 0, first = cmd_parse(&cmd, argc, argv, &status), n = argc - first;
	char **operands = argv + first;
	struct err e = { 0 };

	if (first < 0)
		return status;
	signal(SIGPIPE, SIG_IGN);
	if ((status = check_use(n)))
		return status;
	if (accept_from)
		status = accept_inviter(&e);
	else if (own_key)
		status = print_key(&e);
	else if (listing)
		status = list(&e);
	else if (expiring)
		status = n ? each(operands, n, expire_one, &e) : expire_old(&e);
	else if (leaving)
		status = n ? each(operands, n, leave_one, &e) : leave_here(&e);
	else
		status = invite(operands, n, &e);
	if (status < 0)
		status = e.code == EX_USAGE ? cmd_usage(&cmd, "%s", e.text) : cmd_fail(&cmd, &e);
	return cmd_done(&cmd, status);
}
