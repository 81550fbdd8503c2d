/* SPDX-License-Identifier: MIT */
#include "lib/move/stateless.h"

#include <string.h>

#include "lib/base/clock.h"
#include "lib/discover/node.h"
#include "lib/discover/registry.h"
#include "lib/engine/engine.h"
#include "lib/engine/net.h"
#include "lib/move/check.h"
#include "lib/move/refusal.h"
#include "lib/move/wire.h"

#define LOCK_MS 2000
#define GRACE_MS 10000

/* ---- the source ---- */

static struct stream *connect_to(const struct ssh_target *t, int timeout_ms, struct err *e)
{
	AUTO_STREAM struct stream *s = ssh_open(t, timeout_ms, e);

	return s && !wire_greet(s, e) ? TAKE_PTR(s) : NULL;
}

static struct json *start_call(const struct service *s, bool dry_run, struct err *e)
{
	AUTO_JSON struct json *call = wire_request("start");

	if (check_facts(s, NULL, 0, call, e))
		return NULL;
	json_set_bool(call, "dry_run", dry_run);
	json_set(call, "service", service_to_json(s));
	return TAKE_PTR(call);
}

/* The old instance goes, its requests under way having their time. */
static int end_here(struct service *s, struct err *e)
{
	if (net_hold(s, e) || service_stop(s, GRACE_MS, e))
		return -1;
	s->moved = true;
	return service_save(s, e);
}

int migrate_stateless(struct service *s, const char *to, const struct ssh_target *t, const struct move_options *opt,
		      struct json **record, struct err *e)
{
	AUTO_JSON struct json *call = NULL, *answer = NULL, *refusals = NULL, *moved = NULL;
	AUTO_STREAM struct stream *stream = NULL;
	AUTO_FD int lock = service_lock(s->name, LOCK_MS, e);
	double start = clock_ms(), there;

	if (lock < 0)
		return -1;
	if (!service_running(s))
		return err_set(e, EX_UNAVAILABLE, "service %s: does not run here", s->name);
	if (!(call = start_call(s, opt->dry_run, e)) || !(stream = connect_to(t, opt->connect_ms, e)) ||
	    !(answer = wire_call(stream, TAKE_PTR(call), e)))
		return -1;
	refusals = json_get(answer, "refusals");
	bool stay = refusals && json_len(refusals, NULL);
	if (stay)
		refusal_error(to, refusals, e);
	if (stay || opt->dry_run) {
		*record = refusal_record(s, node_self(), to, TAKE_PTR(refusals));
		return stay && !opt->dry_run ? -1 : 0;
	}
	*record = json_get(answer, "service");
	if (!*record)
		return err_set(e, EX_DATAERR, "node %s: no service in its answer", to);
	there = clock_ms() - start;
	if (end_here(s, e))
		return -1;
	moved = json_object();
	json_set_str(moved, "from", node_self());
	json_set_str(moved, "to", to);
	json_set_num(moved, "started_ms", (double)(long long)(there * 1000) / 1000);
	json_set_num(moved, "total_ms", (double)(long long)((clock_ms() - start) * 1000) / 1000);
	json_set(*record, "moved", TAKE_PTR(moved));
	return 0;
}

/* ---- the destination ---- */

static int start_here(struct service *s, struct json *answer, struct err *e)
{
	AUTO_REGISTRY struct registry *r = NULL;
	AUTO_FD int lock = service_lock(s->name, LOCK_MS, e);
	char key[64];

	if (lock < 0)
		return -1;
	s->pid = 0;
	s->epoch++;
	if (service_start(s, e))
		return -1;
	AUTO_JSON struct json *rec = service_record(s, "running");
	snprintf(key, sizeof(key), "service/%s", s->id);
	if (!registry_open(&r, NULL, NULL))
		registry_put(r, key, rec, NULL, NULL);
	json_set(answer, "service", TAKE_PTR(rec));
	return 0;
}

int stateless_serve(struct stream *ctl, const struct json *call, struct err *e)
{
	AUTO_JSON struct json *spec = json_get(call, "service"), *answer = json_object(), *wanted = json_array();
	AUTO_JSON struct json *refusals = NULL;
	AUTO_SERVICE struct service *s = NULL;

	if (!spec || service_from_json(&s, spec, e))
		return spec ? -1 : err_set(e, EX_DATAERR, "no service in the call");
	refusals = check_here(s, call, wanted);
	bool stop = json_len(refusals, NULL) > 0;
	json_set(answer, "refusals", TAKE_PTR(refusals));
	if (!stop && !json_bool(call, "dry_run", false) && start_here(s, answer, e))
		return -1;
	return wire_send_json(ctl, FRAME_REPLY, answer, e);
}
