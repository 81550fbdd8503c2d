/* SPDX-License-Identifier: MIT */
#include "lib/place/simulate_text.h"

#include <time.h>

#include "lib/base/json_put.h"

#define DIGITS 6

void simulate_time(double seconds, char text[32])
{
	time_t whole = (time_t)seconds;
	struct tm tm;

	gmtime_r(&whole, &tm);
	strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

static void put_number(FILE *f, const char *name, double v)
{
	if (!isfinite(v))
		return;
	fprintf(f, ",\"%s\":", name);
	json_put_number(f, v, DIGITS);
}

static double hours(const struct simulate_totals *t)
{
	return (t->end - t->begin) / 3600;
}

/* All that edge-migrate, edge-run and edge-stop would have to do. */
static int acts(const struct simulate_totals *t)
{
	return t->moves + t->starts + t->replicas + t->terminated;
}

void simulate_put(FILE *f, const struct simulate_totals *t, const char *policy)
{
	char begin[32], end[32];

	simulate_time(t->begin, begin);
	simulate_time(t->end, end);
	fprintf(f, "{\"kind\":\"simulation\",\"policy\":\"%s\",\"begin\":\"%s\",\"end\":\"%s\"", policy, begin, end);
	fprintf(f, ",\"decisions\":%d,\"moves\":%d,\"returns\":%d,\"starts\":%d,\"replicas\":%d,\"terminated\":%d,\"redirects\":%d",
		t->decisions, t->moves, t->returns, t->starts, t->replicas, t->terminated, t->redirects);
	put_number(f, "moves_per_hour", acts(t) / hours(t));
	put_number(f, "pause_ms", t->pause_ms);
	fprintf(f, ",\"bytes\":%.0f", t->bytes);
	put_number(f, "rtt_ms", t->ms_s / t->felt_s);
	put_number(f, "user_s", t->user_s);
	put_number(f, "over_bound_s", t->over_s);
	put_number(f, "unserved_s", t->unserved_s);
	put_number(f, "overload_s", t->overload_s);
	put_number(f, "down_s", t->down_s);
	put_number(f, "awake_s", t->awake_s);
	put_number(f, "energy_wh", t->joules / 3600);
	fputs("}\n", f);
}

static double percent(double part, double all)
{
	return all > 0 ? 100 * part / all : 0;
}

void simulate_show(FILE *f, const struct simulate_totals *t, const char *policy)
{
	fprintf(f, "%s: %.4g hours: %d moves, %d starts, %d replicas, %d ended (%.3g an hour; %d back where they came from), %d redirects", policy,
		hours(t), t->moves, t->starts, t->replicas, t->terminated, acts(t) / hours(t), t->returns, t->redirects);
	if (t->felt_s > 0)
		fprintf(f, "; users wait %.4g ms", t->ms_s / t->felt_s);
	fprintf(f, "; %.3g %% of their time over the bound, %.3g %% not served", percent(t->over_s, t->user_s),
		percent(t->unserved_s, t->user_s));
	fprintf(f, "; %.4g nodes awake", t->awake_s / (t->end - t->begin));
	if (!isnan(t->joules))
		fprintf(f, ", %.4g Wh", t->joules / 3600);
	fprintf(f, "; %.4g s with too much on a node, %.4g s without a node\n", t->overload_s, t->down_s);
}
