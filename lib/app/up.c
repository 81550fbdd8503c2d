/* SPDX-License-Identifier: MIT */
#include "lib/app/up.h"

#include <poll.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>
#include <xxhash.h>

#include "lib/app/addresses.h"
#include "lib/app/launch.h"
#include "lib/app/oci.h"
#include "lib/app/where.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/proc.h"
#include "lib/discover/node.h"
#include "lib/engine/engine.h"

#define POLL_MS   50
#define WAIT_MS   600000 /* for one to be healthy, or done */
#define COPY_MS   600000

struct raising {
	struct compose *c;
	const struct up_options *opt;
	struct registry *r;
	bool started[COMPOSE_SERVICES_MAX]; /* by us */
	struct err *e;
};

static const char *name_of(const struct compose_service *s)
{
	return json_str(s->spec, "name");
}

/* It has the address of its node: the others find it by its names in the application's network. One that keeps nothing outside
 * itself may be started elsewhere, if the file does not say otherwise. */
static void name_task(struct compose_service *s)
{
	struct json *names = json_copy(s->aliases);

	if (!json_has(s->spec, "type") && !json_len(s->spec, "volumes"))
		json_set_str(s->spec, "type", "stateless");
	json_add(names, json_string(s->key));
	json_set(s->spec, "aliases", names);
	json_remove(s->spec, "addr");
	s->lone = true;
}

/* What is not of the file itself: the engine, an image that is built, and a name for this very definition. */
static int complete(struct compose *c, const struct up_options *opt, struct err *e)
{
	for (size_t i = 0; i < c->n; i++) {
		struct compose_service *s = &c->services[i];
		char image[2 * SERVICE_NAME_MAX + 16], hex[17];

		if (!json_has(s->spec, "engine"))
			json_set_str(s->spec, "engine", opt->engine ? opt->engine : "process");
		if (!engine_find(json_str(s->spec, "engine")))
			return err_set(e, EX_USAGE, "service %s: engine %s: unknown", name_of(s), json_str(s->spec, "engine"));
		snprintf(image, sizeof(image), "%s-%s:latest", c->name, s->key);
		if (s->build && !json_has(s->spec, "image"))
			json_set_str(s->spec, "image", image);
		if (engine_span(json_str(s->spec, "engine")))
			name_task(s);
		AUTO_FREE char *text = json_text(s->spec);
		if (!text)
			return err_sys(e, "service %s", name_of(s));
		snprintf(hex, sizeof(hex), "%016llx", (unsigned long long)XXH64(text, strlen(text), 0));
		json_set_str(s->spec, "spec_id", hex);
	}
	return 0;
}

/* ---- what must be before a service is started ---- */

/* 1: the condition holds; 0: not yet; -1: it never will. */
static int holds(struct raising *r, const char *name, const char *condition)
{
	AUTO_JSON struct json *rec = NULL, *exit = NULL;

	if (where_is(r->r, name, r->c->name, &rec, r->e))
		return -1;
	const char *state = rec ? json_str(rec, "state") : NULL, *health = rec ? json_str(rec, "health") : NULL;
	if (!strcmp(condition, "service_started"))
		return 1;
	if (state && !strcmp(state, "unknown"))
		return 0;
	if (!strcmp(condition, "service_healthy")) {
		if (!state || strcmp(state, "running"))
			return err_set(r->e, EX_UNAVAILABLE, "service %s: has ended before it was healthy", name);
		if (health && !strcmp(health, "unhealthy"))
			return err_set(r->e, EX_UNAVAILABLE, "service %s: is unhealthy", name);
		if (!health)
			return err_set(r->e, EX_UNAVAILABLE, "service %s: has no healthcheck", name);
		return !strcmp(health, "healthy");
	}
	if (!state || strcmp(state, "exited"))
		return 0;
	if (!(exit = json_read_file(file_path("/var/lib/edge/services/%s/exit", name), NULL)))
		return 0;
	return json_int(exit, "status", -1) ? err_set(r->e, EX_UNAVAILABLE, "service %s: has ended with status %lld", name,
						      (long long)json_int(exit, "status", -1)) : 1;
}

static int wait_for(struct raising *r, const struct compose_service *s)
{
	for (size_t i = 0; i < json_len(s->depends, NULL); i++) {
		AUTO_JSON struct json *d = json_at(s->depends, i);
		const struct compose_service *other = compose_find(r->c, json_str(d, "service"));
		double end = clock_ms() + WAIT_MS;
		int rc;

		while (!(rc = holds(r, name_of(other), json_str(d, "condition")))) {
			if (clock_ms() > end)
				return err_set(r->e, EX_TEMPFAIL, "service %s: %s is not %s after %d s", name_of(s), name_of(other),
					       json_str(d, "condition") + 8, WAIT_MS / 1000);
			poll(NULL, 0, POLL_MS);
		}
		if (rc < 0)
			return err_wrap(r->e, "service %s: waits for %s", name_of(s), name_of(other));
	}
	return 0;
}

/* Folders of named volumes are made when they are first used, with what the image has in their place. */
static int make_volumes(const struct compose_service *s, struct err *e)
{
	for (size_t i = 0; i < json_len(s->named, NULL); i++) {
		AUTO_JSON struct json *host = json_at(s->named, i), *volumes = json_get(s->spec, "volumes");
		struct oci o = { .ref = "" };
		char from[2 * PATH_MAX] = "";

		if (!access(json_value(host), F_OK))
			continue;
		if (file_mkdir_private(file_path("/var/lib/edge/volumes"), e) || file_mkdirs(json_value(host), 0755, e))
			return -1;
		if (!json_has(s->spec, "image") || strcmp(json_str(s->spec, "engine"), "process") ||
		    oci_get(&o, json_str(s->spec, "image"), NULL))
			continue;
		oci_clear(&o);
		for (size_t k = 0; k < json_len(volumes, NULL); k++) {
			AUTO_JSON struct json *v = json_at(volumes, k);

			if (!strcmp(json_str(v, "host"), json_value(host)))
				snprintf(from, sizeof(from), "%s%s/.", file_path("/var/lib/edge/store/layers/%s", o.layer),
					 json_str(v, "path"));
		}
		if (!access(from, F_OK) &&
		    proc_run((const char *const[]){ "cp", "-a", from, json_value(host), NULL }, NULL, COPY_MS, e))
			return -1;
	}
	return 0;
}

/* ---- one service ---- */

static const char *node_of(const struct raising *r, const struct compose_service *s)
{
	const char *node = r->opt->on ? r->opt->on : json_str(s->spec, "needs.node");

	return node && strcmp(node, node_self()) ? node : NULL;
}

/* One that was to end, and has: it did what it is for. */
static bool is_done(const struct json *rec, const struct compose_service *s)
{
	const char *policy = json_str(s->spec, "restart"), *is = json_str(rec, "spec_id");
	AUTO_JSON struct json *exit = json_read_file(file_path("/var/lib/edge/services/%s/exit", name_of(s)), NULL);

	return !strcmp(json_str(rec, "state"), "exited") && is && !strcmp(is, json_str(s->spec, "spec_id")) && exit &&
	       json_int(exit, "status", -1) == 0 && (!policy || !strcmp(policy, "no") || !strncmp(policy, "on-failure", 10));
}

/* 1: it is there as it should be; its record was printed. */
static int is_there(struct raising *r, const struct compose_service *s)
{
	AUTO_JSON struct json *rec = NULL;
	AUTO_SERVICE struct service *old = NULL;

	if (where_is(r->r, name_of(s), r->c->name, &rec, r->e))
		return -1;
	if (!rec)
		return 0;
	if (!strcmp(json_str(rec, "state"), "moved"))
		return err_set(r->e, EX_UNAVAILABLE, "service %s: has moved away, and the registry does not know where it runs",
			       name_of(s));
	if (!strcmp(json_str(rec, "state"), "running")) {
		const char *is = json_str(rec, "spec_id");

		if (is && strcmp(is, json_str(s->spec, "spec_id")))
			return err_set(r->e, EX_UNAVAILABLE, "service %s: runs by another definition (edge-stop --rm -f ends it)",
				       name_of(s));
		return record_print(r->opt->out, rec, r->e) ? -1 : 1;
	}
	if (!strcmp(json_str(rec, "state"), "unknown"))
		return err_set(r->e, EX_TEMPFAIL, "service %s: its engine does not say whether it runs", name_of(s));
	if (is_done(rec, s))
		return record_print(r->opt->out, rec, r->e) ? -1 : 1;
	/* It has ended, or was stopped: a new one takes its place. */
	AUTO_FD int lock = service_lock(name_of(s), 2000, r->e);
	if (lock < 0 || service_load(&old, name_of(s), r->e))
		return -1;
	/* what its engine still has of it, too */
	return service_stop(old, 0, r->e) || registry_remove_service(r->r, rec, r->e) < 0 || service_remove(old, r->e) ? -1 : 0;
}

static int start_one(struct raising *r, size_t i)
{
	struct compose_service *s = &r->c->services[i];
	const char *node = node_of(r, s);
	AUTO_SERVICE struct service *def = NULL;
	AUTO_JSON struct json *rec = NULL;
	int rc = is_there(r, s);

	if (rc)
		return rc < 0 ? -1 : 0;
	if (wait_for(r, s))
		return -1;
	if (s->build && oci_build(json_str(s->spec, "image"), s->build, r->c->dir, r->e))
		return err_wrap(r->e, "service %s", name_of(s));
	if (launch_definition(&def, s->spec, r->e))
		return -1;
	if (node) {
		rc = launch_there(node, def, r->opt->out, r->opt->say, r->e);
		if (rc > 0)
			err_set(r->e, rc, "service %s: could not be started at node %s", name_of(s), node);
	} else {
		rc = make_volumes(s, r->e) || launch_here(def, &rec, r->e) || record_print(r->opt->out, rec, r->e) ? -1 : 0;
	}
	r->started[i] = !rc;
	return rc ? -1 : 0;
}

static void take_down(struct raising *r)
{
	for (size_t i = r->c->n; i-- > 0;) {
		AUTO_SERVICE struct service *s = NULL;
		AUTO_JSON struct json *rec = NULL;

		if (!r->started[i] || service_load(&s, name_of(&r->c->services[i]), NULL))
			continue;
		AUTO_FD int lock = service_lock(s->name, 2000, NULL);
		rec = service_record(s, "stopped");
		if (lock >= 0 && !service_stop(s, 1000, NULL) && registry_remove_service(r->r, rec, NULL) >= 0)
			service_remove(s, NULL);
	}
}

int up(struct compose *c, const struct up_options *opt, struct err *e)
{
	AUTO_REGISTRY struct registry *reg = NULL;
	struct raising r = { .c = c, .opt = opt, .e = e };

	if (registry_open(&reg, NULL, e) || complete(c, opt, e) || addresses_give(c, reg, e))
		return -1;
	r.r = reg;
	for (size_t i = 0; i < c->n; i++)
		if (start_one(&r, i)) {
			take_down(&r);
			return -1;
		}
	return 0;
}

/* ---- records, and the end ---- */

static struct json *wanted(const struct compose_service *s)
{
	static const char *const shown[] = { "name", "engine", "type", "addr", "ports", "profile", "needs", "wants", "labels",
					     "app", "image", "alive_s", "spec_id" };
	struct json *rec = json_object();
	uint64_t random;
	char id[17];

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		random = (uint64_t)clock_ms();
	snprintf(id, sizeof(id), "%016llx", (unsigned long long)random);
	json_set_str(rec, "kind", "service");
	json_set_str(rec, "id", id);
	json_set_str(rec, "state", "wanted");
	for (size_t i = 0; i < sizeof(shown) / sizeof(*shown); i++)
		json_set(rec, shown[i], json_get(s->spec, shown[i]));
	if (!json_has(rec, "type"))
		json_set_str(rec, "type", "stateful");
	json_set(rec, "service_spec", json_copy(s->spec));
	return rec;
}

int up_emit(struct compose *c, const struct up_options *opt, struct err *e)
{
	AUTO_REGISTRY struct registry *r = NULL;

	if (registry_open(&r, NULL, e) || complete(c, opt, e))
		return -1;
	/* Where there is no bridge, nobody knows which addresses are free. */
	if (addresses_give(c, r, e) && e->code != EX_UNAVAILABLE)
		return -1;
	for (size_t i = 0; i < c->n; i++) {
		AUTO_JSON struct json *rec = wanted(&c->services[i]);

		if (record_print(opt->out, rec, e))
			return -1;
	}
	return 0;
}

int down(struct compose *c, int (*stop)(const char *name, const char *node), struct err *e)
{
	AUTO_REGISTRY struct registry *r = NULL;
	int worst = 0, rc;

	if (registry_open(&r, NULL, e))
		return -1;
	for (size_t i = c->n; i-- > 0;) {
		const struct compose_service *s = &c->services[i];
		AUTO_JSON struct json *rec = NULL;

		if (where_is(r, name_of(s), c->name, &rec, e))
			return -1;
		const char *node = rec ? json_str(rec, "node") : NULL;
		if (rec && (rc = stop(name_of(s), node && strcmp(node, node_self()) ? node : NULL)))
			worst = rc;
	}
	return worst;
}
