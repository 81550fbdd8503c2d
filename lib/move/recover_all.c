/* SPDX-License-Identifier: MIT */
/* All moves of a node's journal, with a record of each. */
#include <string.h>

#include "lib/discover/node.h"
#include "lib/move/checkpoint.h"
#include "lib/move/recover.h"
#include "lib/move/stopped.h"

#define GO_LOCK_MS 10000

static const char *const words[] = {
	[RECOVERY_NONE] = "none",	[RECOVERY_THAW] = "thaw",     [RECOVERY_RETIRE] = "retire", [RECOVERY_UNDO] = "undo",
	[RECOVERY_KEEP] = "keep",	[RECOVERY_FENCE] = "fence",   [RECOVERY_FORGET] = "forget", [RECOVERY_WAIT] = "wait",
};

static struct json *move_record(const struct journal_entry *j, enum recovery what, const char *why, bool done,
				const struct err *e)
{
	const char *peer = j->peer[0] ? j->peer : NULL, *text = e ? e->text : why;
	bool source = !strcmp(j->role, "source");
	struct json *r = json_object();

	json_set_str(r, "kind", "move");
	json_set_str(r, "action", "migrate");
	json_set_str(r, "service", j->service);
	json_set_str(r, "id", j->id);
	json_set_str(r, "from", source ? node_self() : peer);
	json_set_str(r, "to", source ? peer : node_self());
	json_set_str(r, "move", j->move);
	json_set_str(r, "node", node_self());
	json_set_str(r, "step", j->step);
	json_set_str(r, "at", j->at);
	json_set_str(r, "state", what == RECOVERY_NONE ? "under-way" : done && !e ? "recovered" : "interrupted");
	json_set_str(r, "recovery", words[what]);
	json_set_str(r, "why", text[0] ? text : NULL);
	return r;
}

/* Who has the lock stands still (SIGSTOP), and may do so for ever. A session of the destination's is ended: its keeper, or recovery,
 * does what is to be done after the death of one. Others are only named. The lock, or -1. */
static int recover_stopped(const struct journal_entry *j, const struct stopped *by, bool look, enum recovery *what,
			   char why[100], struct err *e)
{
	bool session = !strcmp(by->program, "edge-serve") && !strcmp(j->role, "destination");

	snprintf(why, 100, "held by process %d (%s), which is stopped", (int)by->pid, by->program);
	*what = !session ? RECOVERY_WAIT : strcmp(j->step, "running") ? RECOVERY_UNDO : RECOVERY_KEEP;
	if (look || !session)
		return -1;
	stopped_end(by, j->service);
	return service_lock(j->service, GO_LOCK_MS, e);
}

/* One of them; false: it came to its end meanwhile. *left: it did not now either. */
static bool recover_one(const char *move, const char *service, const struct recover_options *opt, struct json **record,
			bool *left)
{
	enum recovery what = RECOVERY_NONE;
	struct err why_not = { 0 };
	struct journal_entry now, still;
	const char *why = "";
	struct stopped by;
	char who[100];
	int rc = 0;

	/* After "go" it is the guard's for as long as it tries to reach the other node. */
	bool wait = opt->force || !strcmp(journal_last(move), "go");
	AUTO_FD int lock = service_lock(service, wait ? GO_LOCK_MS : 0, &why_not);
	if (journal_entry(move, &now, NULL))
		return false;
	if (lock < 0 && stopped_find(&by, service)) {
		lock = recover_stopped(&now, &by, opt->look, &what, who, &why_not);
		why = who;
		rc = lock < 0 && !opt->look && what != RECOVERY_WAIT ? -1 : 0;
	} else if (lock < 0 && opt->force) {
		rc = -1;
	}
	/* A keeper may have done meanwhile what there was to do. */
	if (lock >= 0 && !journal_entry(move, &still, NULL))
		rc = recover_move(&still, opt, &what, &why, &why_not);
	bool done = !rc && what != RECOVERY_WAIT && what != RECOVERY_NONE && !opt->look;
	*record = move_record(&now, what, why, done, rc ? &why_not : NULL);
	*left = rc || what == RECOVERY_WAIT;
	return true;
}

int recover_all(const char *service, const struct recover_options *opt, int (*each)(void *ctx, const struct json *record),
		void *ctx, struct err *e)
{
	AUTO_FREE struct journal_entry *list = NULL;
	size_t n = 0;
	int all = 0;

	if (!opt->look)
		checkpoint_sweep();
	if (journal_entries(&list, &n, e))
		return -1;
	for (size_t i = 0; i < n; i++) {
		AUTO_JSON struct json *record = NULL;
		bool left;

		if ((service && strcmp(list[i].service, service)) ||
		    !recover_one(list[i].move, list[i].service, opt, &record, &left))
			continue;
		all += left;
		if (each(ctx, record))
			return err_set(e, EX_IOERR, "cannot print");
	}
	return all;
}
