/* SPDX-License-Identifier: MIT */
/* The `latency` record of a target, written piece by piece: there may be a hundred thousand of them. */
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/base/json_put.h"
#include "lib/measure/probe_int.h"
#include "lib/measure/stats.h"

/* Three digits behind the point: nobody's clock is better than a microsecond. */
static void put_ms(FILE *f, const char *name, double ms)
{
	fputs_unlocked(name, f);
	json_put_number(f, round(ms * 1e3) / 1e3, 13);
}

static void put_word(FILE *f, const char *name, const char *s)
{
	fputs_unlocked(name, f);
	json_put_string(f, s);
}

/* The times of its answers, in the order of their probes; how many. */
static size_t answers(const struct probe *p, size_t i, double *v)
{
	const double *rtt = &p->rtt[i * (size_t)p->plan.count];
	size_t n = 0;

	for (long k = 0; k < p->plan.count; k++)
		if (!isnan(rtt[k]))
			v[n++] = rtt[k];
	return n;
}

static void put_times(const struct probe *p, const struct target *t, const struct stats *s, FILE *f)
{
	double n = (double)s->n, lost = t->sent - n, as = p->plan.lost_as_ms;

	put_ms(f, ",\"rtt_ms\":{\"mean\":", as > 0 ? (s->mean * n + lost * as) / t->sent : s->mean);
	if (s->n) {
		put_ms(f, ",\"min\":", s->min);
		put_ms(f, ",\"p50\":", s->p50);
		put_ms(f, ",\"p95\":", s->p95);
		put_ms(f, ",\"p99\":", s->p99);
		put_ms(f, ",\"max\":", s->max);
		put_ms(f, ",\"stddev\":", s->stddev);
		put_ms(f, ",\"jitter\":", s->jitter);
	}
	putc_unlocked('}', f);
}

static void put_phases(const struct target *t, FILE *f)
{
	static const char *const names[] = { "\"name_ms\":", "\"connect_ms\":", "\"tls_ms\":", "\"first_byte_ms\":" };
	bool any = false;

	for (size_t i = 0; i < 4; i++)
		if (t->phases[i] > 0) {
			fputs_unlocked(any ? "," : ",\"phases\":{", f);
			put_ms(f, names[i], t->phases[i] / t->received);
			any = true;
		}
	fputs_unlocked(any ? "}" : "", f);
}

int probe_put(const struct probe *p, size_t i, const char *from, double *median_ms, FILE *f, struct err *e)
{
	const struct target *t = &p->t[i];
	char text[INET6_ADDRSTRLEN], seen[32];
	struct stats s;

	*median_ms = NAN;
	if (t->addr.sa.sa_family == AF_UNSPEC)
		return 0;
	AUTO_FREE double *v = malloc((size_t)p->plan.count * sizeof(*v));
	if (!v)
		abort();
	stats_of(v, answers(p, i, v), &s);
	*median_ms = s.n ? s.p50 : NAN;
	put_word(f, "{\"kind\":\"latency\",\"from\":", from);
	put_word(f, ",\"to\":", t->name);
	put_word(f, ",\"addr\":", inet_ntop(t->addr.sa.sa_family, t->addr.sa.sa_family == AF_INET ?
			 (const void *)&t->addr.in.sin_addr : (const void *)&t->addr.in6.sin6_addr, text, sizeof(text)));
	put_word(f, ",\"method\":", p->plan.method);
	fprintf(f, ",\"sent\":%u,\"received\":%zu,\"loss\":", t->sent, s.n);
	json_put_number(f, round((1 - (double)s.n / t->sent) * 1e4) / 1e4, 5);
	if (s.n || p->plan.lost_as_ms > 0)
		put_times(p, t, &s, f);
	put_phases(t, f);
	if (probe_why(p, i))
		put_word(f, ",\"why\":", probe_why(p, i));
	put_word(f, ",\"seen\":", clock_rfc3339(seen));
	if (fputs_unlocked("}\n", f) != EOF && !ferror_unlocked(f))
		return 0;
	err_sys(e, "cannot write");
	if (e)
		e->code = EX_IOERR;
	return -1;
}
