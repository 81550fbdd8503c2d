/* SPDX-License-Identifier: MIT */
#include "lib/move/worker.h"

#include <poll.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/discover/node.h"
#include "lib/discover/registry.h"
#include "lib/engine/engine.h"
#include "lib/engine/swarm.h"
#include "lib/move/image_send.h"
#include "lib/move/refusal.h"
#include "lib/move/remote.h"
#include "lib/move/wire.h"

#define LOCK_MS 2000
#define READY_MS 15000 /* until the swarm has heard of one that has joined */
#define LOOK_MS 50

/* ---- the manager ---- */

/* It has joined; that the manager sees it ready takes another moment. */
static int await_ready(const char *name, struct err *e)
{
	double end = clock_ms() + READY_MS;
	struct swarm_node n;

	while (swarm_find(name, &n, e)) {
		if (clock_ms() > end)
			return -1;
		poll(NULL, 0, LOOK_MS);
	}
	return 0;
}

int worker_bring_over(struct stream *s, const char *name, struct err *e)
{
	AUTO_JSON struct json *call = wire_request("swarm"), *answer = NULL;

	if (swarm_invitation(call, e) || !(answer = wire_call(s, TAKE_PTR(call), e)))
		return -1;
	if (!json_str(answer, "id"))
		return err_set(e, EX_DATAERR, "%s: no id in its answer", stream_peer(s));
	return swarm_label(json_str(answer, "id"), name, "active", e) || await_ready(name, e) ? -1 : 0;
}

/* Unless it is there; this node itself manages a swarm from then on. */
static int bring(const char *name, struct err *e)
{
	AUTO_STREAM struct stream *s = NULL;
	struct swarm_node n;

	if (swarm_open(e))
		return -1;
	if (!strcmp(name, node_self()) || !swarm_find(name, &n, NULL))
		return 0;
	return (s = remote_open(name, e)) ? worker_bring_over(s, name, e) : -1;
}

int worker_prepare(const char *name, const struct service *svc, struct err *e)
{
	const struct engine_whole *whole = engine_find(svc->engine)->whole;
	const char *image = svc->about ? json_str(svc->about, "image") : NULL;

	if (bring(name, e))
		return -1;
	return strcmp(name, node_self()) && image && whole->carries(image) ? image_send(name, svc, e) : 0;
}

/* ---- the node ---- */

int worker_serve(struct stream *s, const char *who, const struct json *call, struct err *e)
{
	AUTO_JSON struct json *answer = json_object();
	const char *why = swarm_look.missing();
	char id[SWARM_ID_MAX];

	if (why)
		return err_set(e, EX_UNAVAILABLE, "does not join the swarm: %s", why);
	if (swarm_join(call, who ? who : "", id, e))
		return err_wrap(e, "does not join the swarm");
	json_set_str(answer, "id", id);
	return wire_send_json(s, FRAME_REPLY, answer, e);
}

/* ---- moves ---- */

static struct json *moved(const char *from, const char *to, double started_ms, double total_ms)
{
	struct json *j = json_object();

	json_set_str(j, "from", from);
	json_set_str(j, "to", to);
	json_set_ms(j, "started_ms", started_ms);
	json_set_ms(j, "total_ms", total_ms);
	return j;
}

/* The registry hears of it; one that is gone does not stop a move. */
static void publish(const struct json *record)
{
	AUTO_REGISTRY struct registry *r = NULL;

	if (!registry_open(&r, NULL, NULL))
		registry_put_service(r, record, NULL);
}

static int take_there(struct service *s, const char *to, const struct move_options *opt, struct json **record, struct err *e)
{
	double from = clock_ms(), started, ready;
	char was[sizeof(s->at)];

	snprintf(was, sizeof(was), "%s", s->at);
	if (worker_prepare(to, s, e))
		return err_wrap(e, "service %s: stays at %s", s->name, was);
	ready = clock_ms() - from;
	if (engine_find(s->engine)->whole->assign(s, to, opt->interrupted, opt->ctx, &started, e))
		return -1;
	service_arrive(s, was);
	if (service_save(s, e))
		return -1;
	*record = service_record(s, "running");
	publish(*record);
	json_set(*record, "moved", moved(was, to, ready + started, clock_ms() - from));
	return 0;
}

int migrate_assigned(struct service *given, const char *to, const struct move_options *opt, struct json **record, struct err *e)
{
	AUTO_FD int lock = service_lock(given->name, LOCK_MS, e);
	AUTO_SERVICE struct service *s = NULL;
	struct swarm_node n;

	if (lock < 0 || service_load(&s, given->name, e)) /* what was true before the lock may not be any more */
		return -1;
	if (!strcmp(s->at, to))
		return err_set(e, EX_USAGE, "service %s: is on node %s already", s->name, to);
	if (!strcmp(service_state(s), "stopped")) /* one that has lost its node may come up elsewhere */
		return err_set(e, EX_UNAVAILABLE, "service %s: does not run", s->name);
	if (!opt->dry_run)
		return take_there(s, to, opt, record, e);
	if (strcmp(to, node_self()) && swarm_find(to, &n, e))
		return err_wrap(e, "service %s", s->name);
	*record = refusal_record(s, s->at, to, NULL);
	return 0;
}
