/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "lib/base/clock.h"
#include "lib/engine/cgroup.h"
#include "lib/engine/net.h"
#include "lib/engine/service.h"
#include "lib/measure/containers.h"
#include "lib/measure/usage.h"
#include "lib/measure/watch.h"

#define LOOK_MS 1000.0  /* for services that have come or gone, ... */
#define ASK_MS 10000.0  /* ... and for containers, about which their engines have to be asked */

struct entry {
	char name[SERVICE_NAME_MAX + 1];
	uint64_t start_time; /* of the instance's first process: another one is another service */
	pid_t other; /* that process, if it is a container's that somebody else has started */
	double asked;
	struct watch *w;
	uint64_t missed;
	bool told;
	struct entry *next;
};

struct run {
	const struct watch_plan *plan;
	const struct watch_calls *calls;
	struct entry *entries;
	int blind; /* services that cannot be watched */
};

static void tell(struct run *r, const struct err *e)
{
	r->calls->note(r->calls->ctx, e);
}

static struct entry *entry_of(struct run *r, const char *name)
{
	struct entry **at = &r->entries;

	while (*at && strcmp((*at)->name, name))
		at = &(*at)->next;
	if (!*at) {
		*at = calloc(1, sizeof(**at));
		if (!*at)
			abort();
		snprintf((*at)->name, sizeof((*at)->name), "%s", name);
	}
	return *at;
}

/* A service that is not what it was has a last window. */
static int leave(struct run *r, struct entry *n, struct err *e)
{
	AUTO_WATCH struct watch *w = TAKE_PTR(n->w);

	n->start_time = 0;
	return w ? watch_window(w, r->calls->user, r->calls->ctx, e) : 0;
}

static void enter(struct run *r, struct entry *n, uint64_t start_time, int ns, const char *cgroup, struct err *why)
{
	struct err e = *why;
	int rc = ns < 0 ? -1 : watch_open(&n->w, n->name, ns, cgroup, r->plan->poll, &e);

	n->missed = 0;
	n->start_time = start_time;
	if (rc > 0)
		err_wrap(&e, "service %s: looking at its sockets once a window", n->name);
	else if (rc < 0)
		err_wrap(&e, "service %s: cannot be watched", n->name);
	r->blind += rc < 0;
	if (rc)
		tell(r, &e);
}

static void enter_own(struct run *r, struct entry *n, const struct service *s)
{
	struct err e = { 0 };
	AUTO_FD int ns = net_open(s, &e);

	enter(r, n, s->start_time, ns, cgroup_v2_dir(s->name), &e);
}

/* A container that somebody else has started? Whether it is watched now. */
static bool enter_other(struct run *r, struct entry *n)
{
	AUTO_FREE char *id = NULL;
	char cgroup[PATH_MAX];
	struct err e = { 0 };
	double now = clock_ms();

	if (n->asked && now - n->asked < ASK_MS)
		return false;
	n->asked = now;
	n->other = containers_find(n->name, &id);
	uint64_t start_time = n->other ? service_start_time(n->other) : 0;
	if (!start_time)
		return false;
	AUTO_FD int ns = usage_network(n->other, &e);
	enter(r, n, start_time, ns, usage_cgroup(n->other, id, cgroup) ? cgroup : NULL, &e);
	return true;
}

static int look_at(struct run *r, const char *name, struct err *e)
{
	AUTO_SERVICE struct service *s = NULL;
	struct entry *n = entry_of(r, name);
	struct err why;
	bool here = !service_load(&s, name, &why) && service_running(s);
	uint64_t start_time = here ? s->start_time : n->other ? service_start_time(n->other) : 0;

	if (n->start_time && start_time != n->start_time) {
		n->other = 0;
		if (leave(r, n, e))
			return -1;
	}
	if (here && !n->start_time)
		enter_own(r, n, s);
	if (!here && (n->start_time || (r->plan->n && !s && enter_other(r, n))))
		return 0;
	if (!here && !n->told && r->plan->n) { /* it may come: by a move, say */
		if (s)
			err_set(&why, EX_UNAVAILABLE, "service %s: does not run on this node", name);
		tell(r, &why);
	}
	n->told = true;
	return 0;
}

static int look_around(struct run *r, struct err *e)
{
	for (int i = 0; i < r->plan->n; i++)
		if (look_at(r, r->plan->services[i], e))
			return -1;
	if (r->plan->n)
		return 0;
	AUTO_JSON struct json *all = service_list(e);
	if (!all)
		return -1;
	for (size_t i = 0; i < json_len(all, NULL); i++) {
		AUTO_JSON struct json *s = json_at(all, i);
		const char *name = json_str(s, "name");

		if (name && look_at(r, name, e))
			return -1;
	}
	return 0;
}

static int end_window(struct run *r, struct err *e)
{
	for (struct entry *n = r->entries; n; n = n->next) {
		if (!n->w)
			continue;
		if (watch_window(n->w, r->calls->user, r->calls->ctx, e))
			return -1;
		if (watch_missed(n->w) > n->missed) {
			struct err why;

			err_set(&why, EX_TEMPFAIL, "service %s: %llu samples found no room; a shorter --every has more of it",
				n->name, (unsigned long long)(watch_missed(n->w) - n->missed));
			n->missed = watch_missed(n->w);
			tell(r, &why);
		}
	}
	return r->calls->windowed(r->calls->ctx, e);
}

static void sleep_until(double ms)
{
	struct timespec ts = { (time_t)(ms / 1e3), (long)(fmod(ms, 1e3) * 1e6) };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
		;
}

int watch_run(const struct watch_plan *plan, const struct watch_calls *calls, struct err *e)
{
	struct run r = { .plan = plan, .calls = calls };
	double next = clock_ms() + plan->every_s * 1e3;
	int rc = look_around(&r, e);

	for (long done = 0; !rc && (!plan->windows || done < plan->windows);) {
		sleep_until(fmin(next, clock_ms() + LOOK_MS));
		rc = look_around(&r, e);
		if (!rc && clock_ms() >= next) {
			rc = end_window(&r, e);
			done++;
			next += plan->every_s * 1e3;
		}
	}
	while (r.entries) {
		struct entry *n = r.entries;

		r.entries = n->next;
		watch_free(n->w);
		free(n);
	}
	return rc ? -1 : r.blind;
}
