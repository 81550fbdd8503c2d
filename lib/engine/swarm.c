/* SPDX-License-Identifier: MIT */
/* Services as tasks of a Docker Swarm, over its API: no secret in an argument, and each change is made to what was read. */
#include "lib/engine/swarm.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/proc.h"
#include "lib/discover/node.h"
#include "lib/engine/docker.h"
#include "lib/engine/engine.h"

#define LOOK_MS  20     /* between two looks at tasks */
#define NODE_MS  1000   /* between two looks at their node */
#define START_MS 600000 /* an image may have to be fetched */
#define DEAF_MS  30000  /* Docker may say nothing for so long while a task comes up */
#define END_MS   15000  /* beyond its own grace */
#define TRIES    100
#define GRACE_S  10     /* Docker's, where the definition says none */

static bool is(const struct json *j, const char *path, const char *word)
{
	const char *v = json_str(j, path);

	return v && !strcmp(v, word);
}

/* ---- what Docker has of it ---- */

/* The service of that name, if it is this instance: *found NULL when there is none, or somebody else's. */
static int look(const struct service *s, struct json **found, struct err *e)
{
	AUTO_JSON struct json *all = NULL;
	char path[256];

	*found = NULL;
	snprintf(path, sizeof(path), "/services?filters=%%7B%%22name%%22%%3A%%5B%%22%s%%22%%5D%%7D", s->name);
	if (docker_get(path, &all, e))
		return -1;
	for (size_t i = 0; i < json_len(all, NULL) && !*found; i++) { /* also those whose names begin so */
		AUTO_JSON struct json *one = json_at(all, i);

		if (is(one, "Spec.Name", s->name) && is(one, "Spec.Labels.edge-id", s->id))
			*found = TAKE_PTR(one);
	}
	return 0;
}

/* All tasks of the service of that id, also those that have ended. */
static int tasks_of(const char *id, struct json **tasks, struct err *e)
{
	char path[256];

	snprintf(path, sizeof(path), "/tasks?filters=%%7B%%22service%%22%%3A%%5B%%22%.63s%%22%%5D%%7D", id);
	return docker_get(path, tasks, e);
}

static bool runs(const struct json *task)
{
	return is(task, "Status.State", "running") && is(task, "DesiredState", "running");
}

/* Its processes are there, or may still be. */
static bool is_up(const struct json *task)
{
	static const char *const up[] = { "preparing", "ready", "starting", "running" };

	for (size_t i = 0; i < sizeof(up) / sizeof(*up); i++)
		if (is(task, "Status.State", up[i]))
			return true;
	return false;
}

static bool has_failed(const struct json *task)
{
	return is(task, "Status.State", "failed") || is(task, "Status.State", "rejected") || is(task, "Status.State", "complete");
}

/* Its state; *task: the one that runs, or NULL. A daemon that does not answer says nothing of what runs at other nodes. */
static const char *look_up(const struct service *s, struct json **task)
{
	AUTO_JSON struct json *svc = NULL, *tasks = NULL;

	*task = NULL;
	if (look(s, &svc, NULL))
		return swarm_none() ? "stopped" : "unknown";
	if (!svc)
		return "stopped";
	if (tasks_of(json_str(svc, "ID"), &tasks, NULL))
		return "unknown";
	for (size_t i = 0; i < json_len(tasks, NULL) && !*task; i++) {
		AUTO_JSON struct json *one = json_at(tasks, i);

		if (runs(one))
			*task = TAKE_PTR(one);
	}
	return *task ? "running" : "exited";
}

static const char *state(const struct service *s)
{
	AUTO_JSON struct json *task = NULL;

	return look_up(s, &task);
}

static pid_t pid(const struct service *s)
{
	AUTO_JSON struct json *task = NULL;

	if (!strcmp(s->at, node_self()))
		look_up(s, &task);
	return task ? (pid_t)json_int(task, "Status.ContainerStatus.PID", 0) : 0;
}

/* ---- waiting ---- */

/* One that its operator has drained would leave a task pending. */
static int find_active(const char *name, struct swarm_node *n, struct err *e)
{
	if (swarm_find(name, n, e))
		return -1;
	return n->active ? 0 : err_set(e, EX_UNAVAILABLE, "node %s: drained or paused in the swarm", name);
}

struct wait {
	const char *service; /* its id */
	const char *node;    /* where a task is to come up, by name */
	struct swarm_node at;
	struct json *before; /* tasks that were there */
	bool (*stop)(void *ctx);
	void *ctx;
};

static bool was_there(const struct wait *w, const struct json *task)
{
	for (size_t i = 0; w->before && i < json_len(w->before, NULL); i++) {
		AUTO_JSON struct json *one = json_at(w->before, i);

		if (is(one, "ID", json_str(task, "ID")))
			return true;
	}
	return false;
}

/* 1: it runs there; 0: not yet; -1: it will not. */
static int has_come(const struct wait *w, struct err *e)
{
	AUTO_JSON struct json *tasks = NULL;

	if (tasks_of(w->service, &tasks, e))
		return -1;
	for (size_t i = 0; i < json_len(tasks, NULL); i++) {
		AUTO_JSON struct json *one = json_at(tasks, i);

		if (!is(one, "NodeID", w->at.id))
			continue;
		if (runs(one))
			return 1;
		if (!was_there(w, one) && has_failed(one))
			return err_set(e, EX_UNAVAILABLE, "node %s: its task does not come up: %s", w->node,
				       json_str(one, "Status.Err") ? json_str(one, "Status.Err") : "it has ended at once");
	}
	return 0;
}

/* The same, and -1 also when the node does not take it any more. */
static int has_come_or_gone(const struct wait *w, double *look_at, struct err *e)
{
	struct swarm_node now;
	int rc = has_come(w, e);

	if (rc || clock_ms() <= *look_at)
		return rc;
	*look_at = clock_ms() + NODE_MS;
	return find_active(w->node, &now, e);
}

/* A busy Docker that does not answer for a moment says nothing about the task. */
static int await(const struct wait *w, struct err *e)
{
	double end = clock_ms() + START_MS, look_at = clock_ms() + NODE_MS, heard = clock_ms();
	int rc;

	while ((rc = has_come_or_gone(w, &look_at, e)) <= 0) {
		if (!rc)
			heard = clock_ms();
		else if (!docker_silent(e) || clock_ms() > heard + DEAF_MS)
			return -1;
		if (w->stop && w->stop(w->ctx))
			return err_set(e, EX_TEMPFAIL, "interrupted");
		if (clock_ms() > end)
			return err_set(e, EX_TEMPFAIL, "node %s: its task does not come up within %d s", w->node, START_MS / 1000);
		poll(NULL, 0, LOOK_MS);
	}
	return 0;
}

/* Is a task of it up anywhere but at that node, or may be? Docker lists those of a service that is removed only among all. */
static bool is_up_but_at(const char *service, const char *node)
{
	AUTO_JSON struct json *tasks = NULL;

	if (docker_get("/tasks", &tasks, NULL))
		return docker_here();
	for (size_t i = 0; i < json_len(tasks, NULL); i++) {
		AUTO_JSON struct json *one = json_at(tasks, i);

		if (is(one, "ServiceID", service) && is_up(one) && !is(one, "NodeID", node))
			return true;
	}
	return false;
}

/* Until no task is up but at that node ("": nowhere). That it takes longer is no error: it was told to end. */
static void await_end(const char *service, const char *but, double grace_s)
{
	double end = clock_ms() + grace_s * 1e3 + END_MS;

	while (clock_ms() < end && is_up_but_at(service, but))
		poll(NULL, 0, LOOK_MS);
}

static double grace_of(const struct service *s)
{
	return s->about ? json_num(s->about, "stop_s", GRACE_S) : GRACE_S;
}

/* ---- images and networks ---- */

/* One that came from a registry has the digest that this has for it. */
static bool carries(const char *ref)
{
	AUTO_JSON struct json *image = NULL;
	char path[512];

	docker_path(path, "/images/", ref, "/json");
	return !docker_get(path, &image, NULL) && !json_len(image, "RepoDigests");
}

/* How tasks are to name it: by digest or id, so that all nodes run the same and ask no registry for what they have. */
static void name_image(const char *ref, char name[512])
{
	AUTO_JSON struct json *image = NULL, *digests = NULL, *first = NULL;
	char path[512];

	snprintf(name, 512, "%s", ref);
	docker_path(path, "/images/", ref, "/json");
	if (docker_get(path, &image, NULL))
		return;
	digests = json_get(image, "RepoDigests");
	first = digests ? json_at(digests, 0) : NULL;
	snprintf(name, 512, "%s", first && json_value(first) ? json_value(first) : json_str(image, "Id"));
}

/* The overlay of its application, by which its services find one another; *id "" for a service of none. */
static int join_network(const struct service *s, char id[SWARM_ID_MAX], struct err *e)
{
	const char *app = s->about ? json_str(s->about, "app") : NULL;
	AUTO_JSON struct json *net = NULL;
	char path[512];

	id[0] = '\0';
	if (!app)
		return 0;
	docker_path(path, "/networks/", app, "");
	if (docker_get(path, &net, NULL)) {
		struct json *how = json_object();

		json_set_str(how, "Name", app);
		json_set_str(how, "Driver", "overlay");
		json_set_bool(how, "CheckDuplicate", true);
		json_set_str(how, "Labels.edge-app", app);
		if (docker_post("/networks/create", how, &net, e))
			return -1;
	} else if (!is(net, "Driver", "overlay") || !is(net, "Scope", "swarm")) {
		return err_set(e, EX_UNAVAILABLE, "network %s: Docker has another one of that name", app);
	}
	snprintf(id, SWARM_ID_MAX, "%.63s", json_str(net, "Id"));
	return 0;
}

/* With the last of its services; while there are others, Docker refuses. */
static void leave_network(const struct service *s)
{
	const char *app = s->about ? json_str(s->about, "app") : NULL;
	AUTO_JSON struct json *net = NULL;
	char path[512];

	if (!app)
		return;
	docker_path(path, "/networks/", app, "");
	if (!docker_get(path, &net, NULL) && is(net, "Labels.edge-app", app))
		docker_delete(path, NULL);
}

/* ---- verbs ---- */

static const char *missing(void)
{
	return geteuid() ? "it needs root" : !docker_here() ? "there is no Docker daemon" : !proc_find("docker") ? "there is no docker" : NULL;
}

static int check(struct service *s, struct err *e)
{
	if (s->addr[0])
		return err_set(e, EX_USAGE, "service %s: engine swarm: it has the address of its node, not one of its own", s->name);
	return 0;
}

static int create(struct service *s, struct err *e)
{
	AUTO_JSON struct json *made = NULL;
	char image[512], network[SWARM_ID_MAX];
	struct wait w = { .node = s->at };

	if (find_active(s->at, &w.at, e) || join_network(s, network, e))
		return -1;
	snprintf(s->at_addr, sizeof(s->at_addr), "%s", w.at.addr);
	name_image(json_str(s->about, "image"), image);
	if (docker_post("/services/create", swarm_spec(s, image, network[0] ? network : NULL), &made, e))
		return -1;
	w.service = json_str(made, "ID");
	return await(&w, e);
}

static int run(struct service *s, struct err *e)
{
	if (!s->at[0])
		snprintf(s->at, sizeof(s->at), "%.63s", node_self());
	return swarm_open(e) || create(s, e) ? err_wrap(e, "service %s", s->name) : 0;
}

/* How long it has to end by itself was said when it was made. */
static int end(const struct service *s, int grace_ms, struct err *e)
{
	AUTO_JSON struct json *svc = NULL;
	char path[128];
	int manages;

	(void)grace_ms;
	if (!docker_here() || !(manages = swarm_manages(e)))
		return 0;
	if (manages < 0 || look(s, &svc, e))
		return err_wrap(e, "service %s", s->name);
	if (!svc)
		return 0;
	snprintf(path, sizeof(path), "/services/%.63s", json_str(svc, "ID"));
	if (docker_delete(path, e))
		return err_wrap(e, "service %s", s->name);
	await_end(json_str(svc, "ID"), "", grace_of(s));
	leave_network(s);
	return 0;
}

static int pin_once(const struct service *s, const char *node, struct err *e)
{
	AUTO_JSON struct json *svc = NULL;
	char path[256];

	if (look(s, &svc, e))
		return -1;
	if (!svc)
		return err_set(e, EX_UNAVAILABLE, "it is not in the swarm");
	struct json *spec = json_get(svc, "Spec");
	swarm_pin(spec, node);
	snprintf(path, sizeof(path), "/services/%.63s/update?version=%lld", json_str(svc, "ID"),
		 (long long)json_int(svc, "Version.Index", 0));
	return docker_post(path, spec, NULL, e);
}

/* The swarm itself changes services, too, as their tasks come and go. */
static int pin(const struct service *s, const char *node, struct err *e)
{
	int rc = -1;

	for (int i = 0; i < TRIES && (rc = pin_once(s, node, e)) && docker_raced(e); i++)
		poll(NULL, 0, LOOK_MS);
	return rc;
}

/* What has begun is taken back; the old task was never told to end. */
static int stay(const struct service *s, const struct err *why, struct err *e)
{
	struct err also = { 0 };

	if (pin(s, s->at, &also))
		return err_set(e, why->code, "service %s: %.400s; and it cannot be told to stay at %s: %.400s", s->name, why->text, s->at,
			       also.text);
	return err_set(e, why->code, "service %s: %.800s; it goes on at %s", s->name, why->text, s->at);
}

static int assign(struct service *s, const char *node, bool (*stop)(void *), void *ctx, double *started_ms, struct err *e)
{
	AUTO_JSON struct json *svc = NULL, *before = NULL;
	struct wait w = { .node = node, .stop = stop, .ctx = ctx };
	double from = clock_ms();
	struct swarm_node old;
	struct err why = { 0 };

	if (look(s, &svc, e) || (svc && tasks_of(json_str(svc, "ID"), &before, e)))
		return err_wrap(e, "service %s", s->name);
	if (!svc)
		return err_set(e, EX_UNAVAILABLE, "service %s: it is not in the swarm", s->name);
	w.service = json_str(svc, "ID");
	w.before = before;
	if (find_active(node, &w.at, e))
		return err_wrap(e, "service %s", s->name);
	if (pin(s, node, &why) || await(&w, &why))
		return stay(s, &why, e);
	*started_ms = clock_ms() - from;
	bool reached = !swarm_find(s->at, &old, NULL); /* else nobody hears of its end */
	snprintf(s->at, sizeof(s->at), "%.63s", node);
	snprintf(s->at_addr, sizeof(s->at_addr), "%s", w.at.addr);
	if (reached)
		await_end(w.service, w.at.id, grace_of(s));
	return 0;
}

static int image_id(const char *ref, char id[80], struct err *e)
{
	return engine_docker.whole->image_id(ref, id, e);
}

static int image_save(const char *ref, const char *file, struct err *e)
{
	return engine_docker.whole->image_save(ref, file, e);
}

static int image_load(const char *file, struct err *e)
{
	return engine_docker.whole->image_load(file, e);
}

static const struct engine_span span = { .state = state, .pid = pid };
static const struct engine_whole whole = { .run = run, .end = end, .image_id = image_id, .image_save = image_save,
					   .image_load = image_load, .assign = assign, .carries = carries };
const struct engine_look swarm_look = { .name = "swarm", .missing = missing, .span = &span };
const struct engine engine_swarm = { .look = &swarm_look, .whole = &whole, .check = check };
