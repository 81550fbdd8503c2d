/* SPDX-License-Identifier: MIT */
/* Stops services, and removes them where asked to. */
#include <stdio.h>
#include <string.h>

#include "lib/app/up.h"
#include "lib/base/opt.h"
#include "lib/discover/names.h"
#include "lib/discover/node.h"
#include "lib/engine/engine.h"
#include "lib/move/here.h"
#include "lib/move/journal.h"
#include "lib/move/recover.h"
#include "lib/move/remote.h"
#include "lib/move/store.h"

#define GRACE_S 10
#define GRACE_MAX_S 3600
#define LOCK_MS 2000

static bool gone;
static double grace_s = -1;
static const char *on, *compose_file, *app;

static const struct opt opts[] = {
	{ "rm", 0, OPT_FLAG, &gone, NULL, "remove its files and its entry in the registry, too" },
	{ "grace", 'g', OPT_NUM, &grace_s, "SEC", "time to end by itself after SIGTERM (default 10)" },
	{ "on", 0, OPT_STR, &on, "NODE", "stop it on that node" },
	{ "file", 'f', OPT_STR, &compose_file, "FILE", "stop the application of this compose file, wherever its services are" },
	{ "app", 0, OPT_STR, &app, "NAME", "with --file: the application's name" },
	{ "registry", 0, OPT_ENV, "EDGE_REGISTRY", "URL", "where nodes and services are written down" },
	{ 0 },
};

static const struct cmd cmd = {
	.name = "edge-stop",
	.synopsis = "SERVICE... | -",
	.about = "Stops services and prints their records.",
	.opts = opts,
	.notes = "With - it stops what the records on standard input want stopped, and passes the rest on.",
	.example = "edge-stop --rm web",
	.names = names_print,
};

/* As it was told, else as the service's definition says. */
static double grace_of(const struct service *s)
{
	double own = s->about ? json_num(s->about, "stop_s", GRACE_S) : GRACE_S;

	return grace_s >= 0 ? grace_s : own < GRACE_MAX_S ? own : GRACE_MAX_S;
}

static int remove_files(struct service *s, struct err *e)
{
	return service_remove(s, e) || store_forget(s->id, e) ? -1 : 0;
}

/* Before its files go, so that it can be tried again. */
static int tell_registry(struct registry *r, struct service *s, bool rm, const char **state, struct err *e)
{
	AUTO_JSON struct json *rec = service_record(s, *state);
	int rc = rm ? registry_remove_service(r, rec, e) : registry_put_service(r, rec, e);

	if (rc <= 0)
		return rc;
	/* A newer epoch: what was stopped here had been left over, and the instance is another node's. */
	*state = "moved";
	s->moved = true;
	return service_save(s, e);
}

/* It runs elsewhere: only what it left here can go. */
static int stop_moved(struct service *s, bool rm, struct err *e)
{
	if (!rm) {
		err_set(e, EX_UNAVAILABLE, "service %s: has moved away (edge-stop --rm %s removes what it left)", s->name, s->name);
		return here_hint(s->name, s->id, "--on", e);
	}
	AUTO_JSON struct json *rec = service_record(s, "moved");
	return remove_files(s, e) ? -1 : record_print(stdout, rec, e);
}

static int stop_here(const char *name, bool rm, struct err *e)
{
	AUTO_REGISTRY struct registry *r = NULL;
	AUTO_SERVICE struct service *s = NULL;
	const char *state = "stopped";

	if (here_load(&s, name, "--on", e) || registry_open(&r, NULL, e))
		return -1;
	AUTO_FD int lock = journal_lock(s->name, LOCK_MS, e);
	/* One that waits, frozen, to hear whether it runs elsewhere is not ours to end. */
	if (lock < 0 || recover_instance(s->name, s->id, false, e))
		return -1;
	service_free(TAKE_PTR(s)); /* what was true before the lock may not be any more */
	if (service_load(&s, name, e))
		return -1;
	if (s->moved)
		return stop_moved(s, rm, e);
	if (service_stop(s, (int)(grace_of(s) * 1000), e) || tell_registry(r, s, rm, &state, e) || (rm && remove_files(s, e)))
		return -1;
	AUTO_JSON struct json *rec = service_record(s, state);
	return record_print(stdout, rec, e);
}

/* Gives the exit status, an error being told already. */
static int stop(const char *name, const char *node, bool rm)
{
	char grace[32];
	struct err e;
	int rc;

	if (!node || !strcmp(node, node_self()) || engine_governs(name))
		return stop_here(name, rm, &e) ? cmd_fail(&cmd, &e) : 0;
	AUTO_JSON struct json *args = json_array();
	snprintf(grace, sizeof(grace), "%g", grace_s);
	if (rm)
		json_add(args, json_string("--rm"));
	if (grace_s >= 0) {
		json_add(args, json_string("--grace"));
		json_add(args, json_string(grace));
	}
	json_add(args, json_string("--"));
	json_add(args, json_string(name));
	rc = remote_run(node, "edge-stop", args, stdout, cmd_relay, &e);
	return rc < 0 ? cmd_fail(&cmd, &e) : rc;
}

/* A move that the plan wants stopped. */
static int stop_of_move(const struct json *rec)
{
	const char *name = json_str(rec, "service");
	bool terminate = !strcmp(json_str(rec, "action"), "terminate");
	struct err e;

	if (name)
		return stop(name, json_str(rec, "from"), gone || terminate);
	err_set(&e, EX_DATAERR, "move: the record to stop a service does not name it");
	return cmd_fail(&cmd, &e);
}

/* What it left here on its way goes, too. */
static int stop_of_app(const char *name, const char *node)
{
	AUTO_SERVICE struct service *here = NULL;
	int rc = stop(name, node, gone);

	if (!rc && node && gone && !service_load(&here, name, NULL) && here->moved)
		rc = stop(name, NULL, true);
	return rc;
}

static int stop_application(void)
{
	AUTO_COMPOSE struct compose *c = NULL;
	struct err e;
	int rc;

	if (compose_read(&c, compose_file, app, &e) || (rc = down(c, stop_of_app, &e)) < 0)
		return cmd_fail(&cmd, &e);
	return rc ? EX_NO : 0;
}

int main(int argc, char **argv)
{
	int status, rc, worst = 0, first = cmd_parse(&cmd, argc, argv, &status);

	if (first < 0)
		return status;
	if (grace_s > GRACE_MAX_S)
		return cmd_usage(&cmd, "--grace: more than %d seconds: %g", GRACE_MAX_S, grace_s);
	if (compose_file && (first < argc || on))
		return cmd_usage(&cmd, "--file takes no operand and no --on: services are stopped where they are");
	if (compose_file)
		return cmd_done(&cmd, stop_application());
	if (first == argc)
		return cmd_usage(&cmd, "no service named");
	if (argc - first == 1 && !strcmp(argv[first], "-"))
		return cmd_moves(&cmd, (const char *const[]){ "stop", "terminate", NULL }, stop_of_move);
	for (int i = first; i < argc; i++)
		if ((rc = stop(argv[i], on, gone)))
			worst = rc;
	return cmd_done(&cmd, argc - first > 1 && worst ? EX_NO : worst);
}
