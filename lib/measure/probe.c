/* SPDX-License-Identifier: MIT */
#include "lib/measure/probe.h"

#include <math.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/measure/probe_int.h"

#define SAMPLES_MAX (1u << 27) /* 1 GB */
#define TICK_MS 2.0            /* shorter pauses cost more than they smooth */

static const struct probe_method *const methods[] = { &probe_icmp, &probe_tcp, &probe_http };

static int choose_method(struct probe *p, struct err *e)
{
	const char *m = p->plan.method;

	for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++) {
		size_t n = strlen(methods[i]->name);

		if (strncmp(m, methods[i]->name, n) || (m[n] && m[n] != ':'))
			continue;
		p->method = methods[i];
		p->arg = m[n] ? m + n + 1 : "";
		return 0;
	}
	return err_set(e, EX_USAGE, "method %s: not one of icmp, tcp:PORT, http:URL", m);
}

int probe_new(struct probe **out, const struct probe_plan *plan, struct err *e)
{
	AUTO_PROBE struct probe *p = calloc(1, sizeof(*p));

	if (!p)
		return err_sys(e, "probe");
	p->plan = *plan;
	if (plan->count < 1 || plan->count > 100000)
		return err_set(e, EX_USAGE, "count %ld: not between 1 and 100000", plan->count);
	if (!(plan->rate > 0) || plan->rate > 1e7)
		return err_set(e, EX_USAGE, "rate %g: not between 0 and 10000000 a second", plan->rate);
	if (!(plan->timeout_ms > 0) || plan->timeout_ms > 3600e3 || plan->interval_ms > 3600e3)
		return err_set(e, EX_USAGE, "interval and timeout: not between 0 and an hour");
	if (choose_method(p, e))
		return -1;
	*out = TAKE_PTR(p);
	return 0;
}

void probe_free(struct probe *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->n; i++) {
		free(p->t[i].name);
		free(p->t[i].host);
	}
	free(p->t);
	free(p->rtt);
	free(p);
}

void probe_add(struct probe *p, const char *name, const char *host)
{
	if (p->n == p->room) {
		p->room = p->room ? 2 * p->room : 64;
		p->t = realloc(p->t, p->room * sizeof(*p->t));
		if (!p->t)
			abort();
	}
	p->t[p->n] = (struct target){ .name = strdup(name), .host = strdup(host) };
	if (!p->t[p->n].name || !p->t[p->n].host)
		abort();
	p->n++;
}

size_t probe_targets(const struct probe *p)
{
	return p->n;
}

void probe_answer(struct probe *p, size_t i, double rtt_ms)
{
	double *rtt = probe_rtt(p, i);

	if (!isnan(*rtt))
		return;
	p->done++;
	if (rtt_ms > p->plan.timeout_ms)
		return;
	*rtt = rtt_ms > 0 ? rtt_ms : 0;
	probe_target(p, i)->received++;
}

void probe_lost(struct probe *p, size_t i, const char *why)
{
	if (why)
		probe_target(p, i)->why = why;
	p->done++;
}

/* How many probes should have been launched by now. */
static size_t due(const struct probe *p, double now)
{
	double since = now - p->start, round = floor(since / p->period), in = (since - round * p->period) / p->gap;

	if (round >= (double)p->plan.count)
		return p->n * (size_t)p->plan.count;
	return (size_t)round * p->n + (in + 1 > (double)p->n ? p->n : (size_t)in + 1);
}

static double due_at(const struct probe *p, size_t i)
{
	size_t round = i / p->n, in = i % p->n;

	return p->start + (double)round * p->period + (double)in * p->gap;
}

static void run(struct probe *p)
{
	size_t total = p->n * (size_t)p->plan.count;

	p->gap = 1e3 / p->plan.rate;
	p->period = fmax(p->plan.interval_ms, p->gap * (double)p->n);
	p->start = p->last = clock_ms();
	while (p->done < total) {
		double now = clock_ms(), wait = p->last + p->plan.timeout_ms - now;
		size_t want = due(p, now) - p->next;
		bool late = false;

		if (p->next == total && wait < 0)
			break;
		if (want) {
			size_t n = p->method->launch(p, want);

			for (size_t i = p->next; i < p->next + n; i++)
				probe_target(p, i)->sent++;
			p->next += n;
			p->last = clock_ms();
			late = n && n < want;
		}
		if (p->next < total)
			wait = late ? 0 : fmax(due_at(p, p->next) - clock_ms(), TICK_MS);
		p->method->collect(p, wait, p->next == total);
	}
}

int probe_run(struct probe *p, struct err *e)
{
	size_t samples = p->n * (size_t)p->plan.count;
	int rc;

	if (!p->n)
		return 0;
	if (samples > SAMPLES_MAX)
		return err_set(e, EX_USAGE, "%zu targets and %ld probes each: too many", p->n, p->plan.count);
	p->rtt = malloc(samples * sizeof(*p->rtt));
	if (!p->rtt)
		return err_sys(e, "probe");
	for (size_t i = 0; i < samples; i++)
		p->rtt[i] = NAN;
	probe_resolve(p);
	rc = p->method->open(p, e);
	if (!rc)
		run(p);
	p->method->close(p);
	return rc;
}

const struct probe_plan *probe_plan(const struct probe *p)
{
	return &p->plan;
}

const char *probe_host(const struct probe *p, size_t i)
{
	return p->t[i].host;
}

const char *probe_name(const struct probe *p, size_t i)
{
	return p->t[i].name;
}

const char *probe_why(const struct probe *p, size_t i)
{
	const struct target *t = &p->t[i];

	return t->received == t->sent && t->sent ? NULL : t->why ? t->why : "no answer";
}

bool probe_dead(const struct probe *p, size_t i)
{
	return !p->t[i].received;
}

unsigned long probe_dropped(const struct probe *p)
{
	return p->dropped;
}
