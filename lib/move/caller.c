/* SPDX-License-Identifier: MIT */
#include "lib/move/caller.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/discover/grant.h"
#include "lib/engine/log.h"
#include "lib/move/allow.h"

struct caller {
	char name[64], fleet[256]; /* fleet "": none */
	struct stream *stream;
	_Atomic unsigned needed;   /* verbs, one of which must go on being granted */
	int changes, end;          /* inotify; eventfd */
	pthread_t watcher;
};

/* What it may do now; *until as in grant_now. */
static unsigned verbs_now(const struct caller *c, time_t *until)
{
	AUTO_JSON struct json *grant = grant_load(c->name, NULL);

	*until = 0;
	return grant ? grant_now(grant, time(NULL), until) : 0;
}

static void *watch(void *arg)
{
	struct caller *c = arg;
	char events[4096];

	for (;;) {
		struct pollfd p[2] = { { c->changes, POLLIN, 0 }, { c->end, POLLIN, 0 } };
		time_t now = time(NULL), until;

		if (!(verbs_now(c, &until) & atomic_load(&c->needed))) {
			stream_stop(c->stream);
			return NULL;
		}
		long left = until > now ? (long)(until - now) : until ? 1 : 3600;
		if (poll(p, 2, (int)(left < 3600 ? left : 3600) * 1000) > 0 && p[1].revents)
			return NULL;
		if (p[0].revents)
			(void)!read(c->changes, events, sizeof(events));
	}
}

static void learn_fleet(struct caller *c)
{
	AUTO_JSON struct json *grant = grant_load(c->name, NULL);
	const char *fleet = grant ? grant_fleet(grant) : NULL;

	snprintf(c->fleet, sizeof(c->fleet), "%s", fleet ? fleet : "");
	if (fleet)
		setenv("EDGE_FLEET", fleet, 1);
	else
		unsetenv("EDGE_FLEET");
}

int caller_open(struct caller **out, const char *name, struct stream *s, struct err *e)
{
	struct caller *c = calloc(1, sizeof(*c));

	if (!c)
		return err_set(e, EX_OSERR, "out of memory");
	snprintf(c->name, sizeof(c->name), "%s", name);
	c->stream = s;
	c->needed = ~0u; /* even one who may do nothing is told so, when it calls */
	c->changes = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	c->end = eventfd(0, EFD_CLOEXEC);
	if (file_mkdir_private(file_path("/var/lib/edge/grants"), e))
		goto failed;
	if (c->changes < 0 || c->end < 0 ||
	    inotify_add_watch(c->changes, file_path("/var/lib/edge/grants"), IN_MOVED_TO | IN_DELETE | IN_CLOSE_WRITE) < 0) {
		err_sys(e, "grants: cannot be watched");
		goto failed;
	}
	learn_fleet(c);
	*out = c;
	return 0;
failed:
	caller_close(c);
	return -1;
}

void caller_close(struct caller *c)
{
	if (c->watcher) {
		eventfd_write(c->end, 1);
		pthread_join(c->watcher, NULL);
	}
	if (c->changes >= 0)
		close(c->changes);
	if (c->end >= 0)
		close(c->end);
	free(c);
}

const char *caller_name(const struct caller *c)
{
	return c ? c->name : NULL;
}

/* One line for each call; nobody is kept from working by a full disk. */
static void note(const struct caller *c, const struct json *call, const struct err *refused)
{
	static const char *const told[] = { "program", "move", "service", "peer" };
	AUTO_JSON struct json *line = json_object();
	const char *from = getenv("SSH_CONNECTION");
	char at[32], addr[64] = "";
	struct log log = { .fd = -1 };

	json_set_str(line, "at", clock_rfc3339(at));
	json_set_str(line, "name", c->name);
	if (from && sscanf(from, "%63s", addr) == 1)
		json_set_str(line, "addr", addr);
	json_set_str(line, "call", json_str(call, "verb"));
	for (size_t i = 0; i < sizeof(told) / sizeof(*told); i++)
		if (json_str(call, told[i]) && strlen(json_str(call, told[i])) < 128)
			json_set_str(line, told[i], json_str(call, told[i]));
	json_set_str(line, "refused", refused ? refused->text : NULL);
	AUTO_FREE char *text = json_text(line);
	if (!text)
		return;
	log_open(&log, file_path("/var/lib/edge/grants/log"));
	log_write(&log, text, strlen(text));
	log_write(&log, "\n", 1);
	log_close(&log);
}

static int check(struct caller *c, const struct json *call, struct err *e)
{
	const char *verb = json_str(call, "verb"), *program = json_str(call, "program");
	bool run = verb && !strcmp(verb, "run");
	unsigned needs = allow_needs(call);
	time_t until;

	if (!needs && run)
		return err_set(e, EX_NOPERM, "%.63s: not a program that may be run from elsewhere", program ? program : "nothing");
	if (!needs)
		return 0; /* there is no such call, and the session says so */
	if (!(verbs_now(c, &until) & needs))
		return err_set(e, EX_NOPERM, "%.63s: not granted to %s", run ? program : verb, c->name);
	atomic_store(&c->needed, needs);
	return run ? allow_args(call, *c->fleet ? c->fleet : NULL, e) : 0;
}

int caller_may(struct caller *c, const struct json *call, struct err *e)
{
	struct err why = { 0 };
	int rc;

	if (!c)
		return 0;
	rc = check(c, call, &why);
	note(c, call, rc ? &why : NULL);
	if (rc) {
		*e = why;
		return -1;
	}
	/* Only now: a session is made in a moment, and most need no watch before their first call. */
	if (!c->watcher && pthread_create(&c->watcher, NULL, watch, c)) {
		c->watcher = 0;
		return err_set(e, EX_OSERR, "cannot start a thread");
	}
	return 0;
}
