/* SPDX-License-Identifier: MIT */
#include "lib/move/recover.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/discover/node.h"
#include "lib/discover/registry.h"
#include "lib/engine/engine.h"
#include "lib/engine/net.h"
#include "lib/move/bulk.h"
#include "lib/move/checkpoint.h"
#include "lib/move/decide.h"
#include "lib/move/hold.h"
#include "lib/move/image.h"
#include "lib/move/incoming.h"
#include "lib/move/late.h"
#include "lib/move/lazy.h"
#include "lib/move/outcome.h"
#include "lib/move/remote.h"
#include "lib/move/store.h"
#include "lib/move/wire.h"

#define BEFORE_GO "begun frozen shipped thawed failed refused"
#define KNOWN_MS 3000
#define LATE_CONNECT_MS 5000
#define FORCED_EPOCHS 2 /* the one that the destination may have, and one more */

static bool among(const char *list, const char *word)
{
	const char *at = strstr(list, word);

	return *word && at && (at == list || at[-1] == ' ') && strchr(" ", at[strlen(word)]);
}

/* The instance as this node has it, or NULL. */
static struct service *instance_here(const struct journal_entry *j)
{
	AUTO_SERVICE struct service *s = NULL;

	if (service_load(&s, j->service, NULL) || strcmp(s->id, j->id))
		return NULL;
	return TAKE_PTR(s);
}

/* Does the registry know it elsewhere, by a later epoch? A registry that cannot be asked says nothing. */
static bool fenced(const struct service *s)
{
	AUTO_REGISTRY struct registry *r = NULL;
	char node[256];
	int64_t epoch;

	return !registry_open(&r, NULL, NULL) && !registry_epoch(r, s->id, &epoch, node, NULL) && epoch > s->epoch &&
	       strcmp(node, node_self()) != 0;
}

/* 1: the registry knows a later epoch elsewhere. */
static int publish(const struct service *s)
{
	AUTO_REGISTRY struct registry *r = NULL;
	AUTO_JSON struct json *rec = service_record(s, "running");

	return registry_open(&r, NULL, NULL) ? 0 : registry_put_service(r, rec, NULL);
}

/* Is there a checkpoint of that name that was saved, and is it one that its service is held for? */
static bool saved_checkpoint(const char *id, bool *held)
{
	AUTO_CHECKPOINT struct checkpoint *ck = NULL;
	bool is = !checkpoint_load(&ck, id, NULL);

	*held = is && ck->held;
	return is;
}

static int drop_checkpoint(const char *id, struct err *e)
{
	bool held;

	bulk_forget(id);
	if (saved_checkpoint(id, &held) && !held) /* it is to stay, whatever becomes of this move */
		return 0;
	return file_remove_tree(file_path("/var/lib/edge/checkpoints/%s", id), e);
}

/* ---- the source ---- */

static long epoch_in_journal(const char *move)
{
	AUTO_FREE char *epoch = journal_member(move, "epoch");

	return epoch ? strtol(epoch, NULL, 10) : 0;
}

static int take_forced_epoch(const char *move, struct service *s, struct err *e)
{
	long forced = epoch_in_journal(move);

	if (forced <= s->epoch)
		return 0;
	s->epoch = forced;
	return service_save(s, e);
}

static int thaw(const struct journal_entry *j, struct service *s, const struct recover_options *opt, bool forced,
		struct err *e)
{
	AUTO_JSON struct json *more = json_object();
	char epoch[24];
	bool held;

	saved_checkpoint(j->move, &held);
	/* The step carries the new epoch: it counts from the decision on, whatever dies after it. */
	snprintf(epoch, sizeof(epoch), "%ld", s->epoch + FORCED_EPOCHS);
	if (forced)
		json_set_str(more, "epoch", epoch);
	int rc = journal_turn(j->move, among(BEFORE_GO, j->step) ? BEFORE_GO : "go paging", "thawed", more, e);
	/* Before "go", a journal that cannot be written is no reason to let it stand still: nobody else has the lock. */
	if (rc > 0 || (rc < 0 && !among(BEFORE_GO, j->step)))
		return rc < 0 ? -1 : err_set(e, EX_TEMPFAIL, "move %.12s: somebody else has decided it", j->move);
	/* The registry before it runs: a destination that is about to run it looks there first. */
	if (take_forced_epoch(j->move, s, e))
		return -1;
	if (publish(s) == 1 && forced)
		return err_set(e, EX_TEMPFAIL, "service %s: the registry knows it under a later epoch still", s->name);
	AUTO_FREE char *criu = journal_member(j->move, "criu");
	if (criu && j->same_boot && !opt->keep_entry) /* else the program that it works for still lives */
		service_end_dump(atoi(criu));
	if (service_mend(s, e) || drop_checkpoint(j->move, e))
		return -1;
	if (held && j->peer[0] && !opt->force)
		ship_undo(j->peer, j->move);
	return opt->keep_entry ? 0 : journal_forget(j->move, e);
}

static int retire(const struct journal_entry *j, struct service *s, struct stream *there, struct err *e)
{
	if (s && (!s->moved || service_running(s)) && service_retire(s, e))
		return -1;
	if (journal_turn(j->move, "go paging handed-over", "handed-over", NULL, e) < 0 || drop_checkpoint(j->move, e) ||
	    journal_forget(j->move, e))
		return -1;
	if (there)
		outcome_known(there, j->move);
	return 0;
}

static enum outcome ask_there(const struct journal_entry *j, int ask_ms, struct stream **there)
{
	AUTO_REGISTRY struct registry *r = NULL;
	struct ssh_target to;

	if (!j->peer[0] || registry_open(&r, NULL, NULL) || node_target(r, j->peer, &to, NULL))
		return OUTCOME_UNKNOWN;
	return outcome_learn(&to, j->move, ask_ms, there);
}

static enum recovery judge_go(enum outcome outcome, bool alive, bool force, const char **why)
{
	switch (outcome) {
	case OUTCOME_RUNNING:
		*why = "it was committed to the destination";
		return RECOVERY_RETIRE;
	case OUTCOME_NOT:
		*why = alive ? "it never ran at the destination" : "it died with this node, and never ran at the destination";
		return alive ? RECOVERY_THAW : RECOVERY_FORGET;
	default:
		*why = outcome == OUTCOME_DIED ? "it ran at the destination, and died with that node" :
						 "the destination cannot be asked";
		if (!alive && (force || outcome == OUTCOME_DIED))
			return RECOVERY_FORGET;
		return force ? RECOVERY_THAW : RECOVERY_WAIT;
	}
}

/* It runs there, and the rest of its memory is here. */
static enum outcome deliver(const struct journal_entry *j, const struct service *s, int deadline_ms)
{
	AUTO_REGISTRY struct registry *r = NULL;
	AUTO_IMAGE struct image *im = NULL;
	AUTO_LATE struct late *l = NULL;
	enum late_end how = LATE_LOST;
	struct ssh_target to;
	struct err why;

	if (!j->peer[0] || registry_open(&r, NULL, NULL) || node_target(r, j->peer, &to, NULL))
		return OUTCOME_UNKNOWN;
	int rc = late_open(&l, &to, j->move, LATE_CONNECT_MS, &why);
	if (rc)
		return rc > 0 ? outcome_learn(&to, j->move, deadline_ms, NULL) : OUTCOME_UNKNOWN;
	if (!image_open(&im, store_memory_dir(j->id), NULL) && !image_begin(im, NULL) && !late_begin(l, s, im, NULL))
		how = late_deliver(l, deadline_ms, NULL, &why);
	if (im)
		image_save(im, 0, NULL);
	return how == LATE_DONE ? OUTCOME_RUNNING : how == LATE_DIED ? OUTCOME_DIED : OUTCOME_UNKNOWN;
}

static enum recovery judge_paging(enum outcome outcome, bool force, const char **why)
{
	if (outcome == OUTCOME_RUNNING || outcome == OUTCOME_NOT) {
		*why = "it runs at the destination, and needs nothing from here";
		return RECOVERY_RETIRE;
	}
	*why = outcome == OUTCOME_DIED ? "it ran at the destination, and died with that node; here it is as it was before" :
					 "it runs at the destination, which cannot be reached; the rest of its memory is here";
	return force ? RECOVERY_THAW : RECOVERY_WAIT;
}

/* The person has spoken. What can be said of the destination is said. */
static const char *take_by_force(const char *move)
{
	switch (decide(move, DECIDED_THAWED)) {
	case DECIDED_THAWED:
		return "forced: the registry keeps the destination from running it";
	case DECIDED_RUNNING:
		return "forced: by the registry the destination has it: if that is alive, it runs there, too";
	default:
		return "forced: if the destination is alive, it may run there, too";
	}
}

/* What becomes of a move whose destination has the service and not yet all of its memory. */
static enum recovery judge_late(const struct journal_entry *j, const struct service *s, const struct recover_options *opt, bool *forced,
				struct stream **there, const char **why)
{
	if (opt->look || opt->brief) {
		*why = "it runs at the destination, and the rest of its memory is here";
		return RECOVERY_WAIT;
	}
	enum outcome outcome = deliver(j, s, opt->ask_ms);
	enum recovery what = judge_paging(outcome, opt->force, why);

	*forced = what == RECOVERY_THAW;
	if (*forced && outcome == OUTCOME_UNKNOWN)
		*why = take_by_force(j->move);
	if (what == RECOVERY_RETIRE && !*there)
		ask_there(j, opt->ask_ms, there);
	return what;
}

static bool has_late_pages(const char *move)
{
	AUTO_FREE char *late = journal_member(move, "late");

	return late != NULL;
}

/* May "go" have been said? Most moves do not wait until it is on disk: a node that was switched off may have lost it. */
static bool may_have_gone(const struct journal_entry *j)
{
	AUTO_FREE char *unsynced = journal_member(j->move, "unsynced");

	return !strcmp(j->step, "go") || (!strcmp(j->step, "frozen") && !j->same_boot && unsynced && !strcmp(unsynced, "go"));
}

static int recover_source(const struct journal_entry *j, const struct recover_options *opt, enum recovery *what,
			  const char **why, struct err *e)
{
	AUTO_SERVICE struct service *s = instance_here(j);
	AUTO_STREAM struct stream *there = NULL;
	bool alive = s && !s->moved && service_running(s), forced = false;

	*why = "";
	if (!strcmp(j->step, "handed-over")) {
		*what = RECOVERY_RETIRE;
	} else if (!strcmp(j->step, "paging") && !alive) {
		*what = RECOVERY_FORGET;
		*why = "it ran at the destination, and the rest of its memory died with this node";
	} else if (!strcmp(j->step, "paging")) {
		*what = judge_late(j, s, opt, &forced, &there, why);
	} else if (!may_have_gone(j)) {
		*what = alive ? RECOVERY_THAW : RECOVERY_FORGET;
		*why = alive ? "\"go\" was never said" : "it does not run here any more";
	} else if (opt->look) {
		*what = RECOVERY_WAIT;
		*why = "the destination has to be asked";
	} else {
		enum outcome outcome = ask_there(j, opt->ask_ms, &there);
		bool late = outcome == OUTCOME_RUNNING && alive && has_late_pages(j->move);

		if (late && journal_turn(j->move, "go", "paging", NULL, e) < 0)
			return -1;
		*what = late ? judge_late(j, s, opt, &forced, &there, why) : judge_go(outcome, alive, opt->force, why);
		forced |= *what == RECOVERY_THAW && outcome != OUTCOME_NOT;
		if (forced && outcome == OUTCOME_UNKNOWN)
			*why = take_by_force(j->move);
		if (*what == RECOVERY_WAIT && outcome == OUTCOME_UNKNOWN && decided(j->move) == DECIDED_RUNNING)
			*why = "the destination cannot be asked, and by the registry it has it";
	}
	if (*what == RECOVERY_THAW && !forced && fenced(s)) {
		*what = RECOVERY_FENCE;
		*why = "it runs elsewhere, under a later epoch";
	}
	if (opt->look || *what == RECOVERY_WAIT)
		return 0;
	if (*what == RECOVERY_THAW)
		return thaw(j, s, opt, forced, e);
	if (*what == RECOVERY_RETIRE)
		return retire(j, s, there, e);
	if (*what == RECOVERY_FENCE && service_retire(s, e))
		return -1;
	return drop_checkpoint(j->move, e) || journal_forget(j->move, e) ? -1 : 0;
}

/* ---- the destination ---- */

static int forget_here(const char *move, struct err *e)
{
	if (drop_checkpoint(move, e))
		return -1;
	decide_forget(move);
	return journal_forget(move, e);
}

static int undo(const struct journal_entry *j, struct err *e)
{
	struct service bare = { 0 };

	snprintf(bare.name, sizeof(bare.name), "%.63s", j->service);
	snprintf(bare.id, sizeof(bare.id), "%.16s", j->id);
	AUTO_SERVICE struct service *s = instance_here(j);

	if (service_kill(s ? s : &bare, e) || service_clear(s ? s : &bare, e))
		return -1;
	incoming_unclaim(bare.id);
	/* What has come of its files is there for the next try. */
	if (s && (j->was_here || s->moved) && service_retire(s, e))
		return -1;
	if (s && !j->was_here && !s->moved && service_remove(s, e))
		return -1;
	/* What came of its files before there was a service.json. */
	if (!s && !j->was_here && access(service_dir(&bare, "service.json"), F_OK) &&
	    file_remove_tree(service_dir(&bare, NULL), e))
		return -1;
	return forget_here(j->move, e);
}

/* Does the source still have to hear of it? 1 yes, 0 no, -1 it does not answer. *epoch: the instance's there. */
static int source_waits(const struct journal_entry *j, int64_t *epoch)
{
	AUTO_STREAM struct stream *s = j->peer[0] ? remote_open(j->peer, NULL) : NULL;
	AUTO_JSON struct json *call = wire_request("settle"), *answer = NULL;

	*epoch = 0;
	json_set_str(call, "move", j->move);
	json_set_str(call, "service", j->service);
	json_set_str(call, "id", j->id);
	if (!s || wire_ask(s, TAKE_PTR(call), &answer, NULL))
		return -1;
	*epoch = json_int(answer, "epoch", 0);
	return json_bool(answer, "known", true);
}

/* A source that comes back after all must still hear that it runs here: the entry stays, and is in nobody's way any more. */
static int set_aside(const char *move, struct err *e)
{
	AUTO_JSON struct json *more = json_object();

	json_set_str(more, "forced", "yes");
	return journal_turn(move, "running", "running", more, e) < 0 ? -1 : 0;
}

/* Its node was switched off when "running" was on disk and service.json was not: that has it as a cache still, and not as what is left
 * of the one that died. */
static int take_committed(const struct journal_entry *j, struct service *s, struct err *e)
{
	long epoch = epoch_in_journal(j->move);

	if (j->same_boot || !s || !s->moved || s->epoch >= epoch)
		return 0;
	s->epoch = epoch;
	s->moved = false;
	return service_save(s, e);
}

static int recover_destination(const struct journal_entry *j, const struct recover_options *opt, enum recovery *what,
			       const char **why, struct err *e)
{
	AUTO_SERVICE struct service *s = instance_here(j);
	bool alive = s && !s->moved && service_running(s);
	int64_t epoch = 0;
	char next[64];

	if (strcmp(j->step, "running")) {
		*what = RECOVERY_UNDO;
		*why = "it was never committed to this node";
		return opt->look ? 0 : undo(j, e);
	}
	*what = alive ? RECOVERY_KEEP : RECOVERY_FORGET;
	*why = alive ? "it was committed to this node" : "it has ended since";
	if (alive && lazy_note(s))
		*why = lazy_note(s);
	if (opt->look)
		return 0;
	if (take_committed(j, s, e))
		return -1;
	int waits = source_waits(j, &epoch);
	if (alive && (epoch > s->epoch || fenced(s))) {
		*what = RECOVERY_FENCE;
		*why = "it was forced to run elsewhere";
		if (service_retire(s, e) || forget_here(j->move, e))
			return -1;
		source_waits(j, &epoch); /* frames for it must find their way there again */
		return 0;
	}
	/* One that is on its way to a third node already is not to be touched. */
	if (alive && !journal_find("source", j->id, next) && service_mend(s, e))
		return -1;
	if (alive)
		publish(s);
	if (waits == 0)
		return forget_here(j->move, e);
	if (opt->force)
		return drop_checkpoint(j->move, e) || set_aside(j->move, e) ? -1 : 0;
	/* It runs; only the source has yet to hear of it. */
	if (!lazy_note(s))
		*why = waits < 0 ? "the source cannot be told yet" : "the source is just being told";
	return 0;
}

/* ---- all ---- */

int recover_move(const struct journal_entry *j, const struct recover_options *opt, enum recovery *what, const char **why,
		 struct err *e)
{
	*why = "";
	return strcmp(j->role, "source") ? recover_destination(j, opt, what, why, e) : recover_source(j, opt, what, why, e);
}

int recover_instance(const char *service, const char *id, bool leaves, struct err *e)
{
	const struct recover_options opt = { .ask_ms = 5000 };
	AUTO_FREE struct journal_entry *list = NULL;
	size_t n = 0;

	if (journal_entries(&list, &n, e))
		return -1;
	for (size_t i = 0; i < n; i++) {
		enum recovery what;
		const char *why;

		if (strcmp(list[i].service, service) || (id && strcmp(list[i].id, id)))
			continue;
		if (recover_move(&list[i], &opt, &what, &why, e))
			return -1;
		if (leaves && what == RECOVERY_KEEP && !list[i].forced && *journal_last(list[i].move))
			return err_set(e, EX_TEMPFAIL, "service %s: node %s has yet to hear that it came here: %s (edge-migrate "
				       "--recover)", service, list[i].peer, why);
		if (what == RECOVERY_WAIT)
			return err_set(e, EX_TEMPFAIL, "service %s: frozen: its move to %s waits: %s (edge-migrate --recover)",
				       service, list[i].peer, why);
	}
	return 0;
}

int recover_known(struct stream *s, const struct json *call, struct err *e)
{
	const char *move = json_str(call, "move");
	AUTO_JSON struct json *answer = json_object();
	struct journal_entry j;

	if (!move)
		return err_set(e, EX_DATAERR, "no move in the call");
	if (!journal_entry(move, &j, NULL) && !strcmp(j.role, "destination") && !strcmp(j.step, "running")) {
		/* Whoever has the lock is just letting it run; then the entry is left to recovery. */
		AUTO_FD int lock = service_lock(j.service, KNOWN_MS, NULL);
		AUTO_SERVICE struct service *here = instance_here(&j);

		if (lock >= 0 && here && service_running(here) && service_mend(here, e))
			return -1;
		if (lock >= 0 && here && service_running(here))
			publish(here);
		if (lock >= 0 && forget_here(move, e))
			return -1;
	}
	return wire_send_json(s, FRAME_REPLY, answer, e);
}

int recover_serve(struct stream *s, const struct json *call, struct err *e)
{
	const char *move = json_str(call, "move"), *name = json_str(call, "service"), *id = json_str(call, "id");
	const struct recover_options opt = { .ask_ms = 1000, .brief = true };
	AUTO_JSON struct json *answer = json_object();
	AUTO_SERVICE struct service *here = NULL;
	struct journal_entry j;
	enum recovery what;
	const char *why;

	if (!move || !name || !id || !service_name_valid(name))
		return err_set(e, EX_DATAERR, "no move or service in the call");
	/* Only what this node itself knows is believed, and locked. */
	bool ours = !journal_entry(move, &j, NULL) && !strcmp(j.role, "source") && !strcmp(j.service, name) &&
		    !strcmp(j.id, id);
	bool is_here = !service_load(&here, name, NULL) && !strcmp(here->id, id);
	AUTO_FD int lock = ours || is_here ? service_lock(name, 0, NULL) : -1;
	if (lock >= 0 && ours && !journal_entry(move, &j, NULL))
		recover_move(&j, &opt, &what, &why, NULL);
	bool known = journal_has(move);
	json_set_bool(answer, "known", known);
	if (is_here) {
		json_set_num(answer, "epoch", (double)here->epoch);
		if (lock >= 0 && !known && !here->moved && service_running(here))
			net_attach(here, NULL); /* it was forced to run here: its neighbours hear so again */
	}
	return wire_send_json(s, FRAME_REPLY, answer, e);
}
