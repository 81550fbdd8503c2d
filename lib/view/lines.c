/* SPDX-License-Identifier: MIT */
#include "lib/view/lines.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define BAR 10 /* characters */

void view_lines_release(struct view_lines *v)
{
	free(v->line);
	*v = (struct view_lines){ 0 };
}

/* What others have named is shown, and nothing that a terminal would obey. */
static void tame(char *text)
{
	for (unsigned char *c = (unsigned char *)text; *c; c++) {
		if (*c == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0)
			c[1] = *c = '?';
		if (*c < ' ' || *c == 0x7f)
			*c = '?';
	}
}

static void add(struct view_lines *v, enum tone tone, int service, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static void add(struct view_lines *v, enum tone tone, int service, const char *fmt, ...)
{
	va_list ap;

	if (v->n == v->room) {
		int room = v->room * 2 + 32;
		struct view_line *bigger = realloc(v->line, (size_t)room * sizeof(*bigger));

		if (!bigger)
			return;
		v->line = bigger;
		v->room = room;
	}
	struct view_line *l = &v->line[v->n++];
	l->tone = tone;
	l->service = service;
	va_start(ap, fmt);
	vsnprintf(l->text, sizeof(l->text), fmt, ap);
	va_end(ap);
	tame(l->text);
	for (size_t n = strlen(l->text); n && l->text[n - 1] == ' '; n--)
		l->text[n - 1] = 0;
}

/* "######....  63 %", or a dash. The text is as wide for every number. */
static const char *share(char *buf, size_t size, double part, bool utf8)
{
	int full = isnan(part) ? 0 : (int)lround(fmin(fmax(part, 0), 1) * BAR), n = 0;

	if (isnan(part)) {
		snprintf(buf, size, "%-*s", BAR + 6, "-");
		return buf;
	}
	for (int i = 0; i < BAR; i++)
		n += snprintf(buf + n, size - (size_t)n, "%s", i < full ? (utf8 ? "█" : "#") : (utf8 ? "░" : "."));
	snprintf(buf + n, size - (size_t)n, " %3.0f %%", part * 100);
	return buf;
}

static const char *percent(char buf[16], double part)
{
	if (isnan(part))
		strcpy(buf, "-");
	else
		snprintf(buf, 16, "%.0f %%", part * 100);
	return buf;
}

/* "71 MB", "12 kB/s": powers of 1000. */
static const char *bytes(char buf[16], double n, const char *per)
{
	const char *unit = "kMGT";

	if (isnan(n)) {
		strcpy(buf, "-");
		return buf;
	}
	if (n < 1000) {
		snprintf(buf, 16, "%.0f B%s", n, per);
		return buf;
	}
	for (n /= 1000; n >= 999.5 && unit[1]; unit++)
		n /= 1000;
	snprintf(buf, 16, n < 9.95 ? "%.1f %cB%s" : "%.0f %cB%s", n, *unit, per);
	return buf;
}

static int services_at(const struct board *b, const char *node)
{
	int n = 0;

	for (int i = 0; i < b->n_services; i++)
		n += !strcmp(b->service[i].node, node);
	return n;
}

static void node_line(struct view_lines *v, const struct board *b, const struct board_node *n, double now_s, double silent_s,
		      bool utf8)
{
	char cpu[64], mem[64], gpu[16];
	bool silent = now_s - n->heard_s > silent_s, red = board_red(b, n);

	if (silent) {
		add(v, TONE_DIM, -1, "%-16s silent for %.0f s", n->name, now_s - n->heard_s);
		return;
	}
	add(v, red ? TONE_BAD : TONE_GOOD, -1, "%-16s %-6s %-7s %-12s %s  %s  %6s %9d", n->name, red ? "red" : "green",
	    n->role[0] ? n->role : "-", n->network[0] ? n->network : "-", share(cpu, sizeof(cpu), n->cpu, utf8),
	    share(mem, sizeof(mem), n->mem, utf8), percent(gpu, n->gpu), services_at(b, n->name));
}

static void service_line(struct view_lines *v, const struct board_service *s, int index)
{
	char cpu[16], mem[16], net[16], users[24] = "-", rtt[48] = "-";

	if (s->users)
		snprintf(users, sizeof(users), "%llu", (unsigned long long)s->users);
	if (s->users && !isnan(s->rtt_p50_ms))
		snprintf(rtt, sizeof(rtt), "%.3g / %.3g", s->rtt_p50_ms, s->rtt_p95_ms);
	add(v, strcmp(s->state, "running") ? TONE_DIM : TONE_PLAIN, index, "%-20s %-16s %-8s %-9s %-8s %6s %8s %10s %7s  %s",
	    s->name, s->node, s->state[0] ? s->state : "-", s->type[0] ? s->type : "-", s->engine[0] ? s->engine : "-",
	    percent(cpu, s->cpu), bytes(mem, s->mem_bytes, ""), bytes(net, s->net_bps, "/s"), users, rtt);
}

static void summary(struct view_lines *v, const struct board *b, double now_s, double silent_s)
{
	int red = 0, silent = 0, running = 0;
	uint64_t users = 0;

	for (int i = 0; i < b->n_nodes; i++) {
		bool mute = now_s - b->node[i].heard_s > silent_s;

		silent += mute;
		red += !mute && board_red(b, &b->node[i]);
	}
	for (int i = 0; i < b->n_services; i++) {
		running += !strcmp(b->service[i].state, "running");
		if (!i || strcmp(b->service[i].name, b->service[i - 1].name))
			users += b->service[i].users;
	}
	add(v, TONE_TITLE, -1, "%d nodes: %d green, %d red, %d silent; %d services run, %llu users", b->n_nodes,
	    b->n_nodes - red - silent, red, silent, running, (unsigned long long)users);
}

void view_lines_make(struct view_lines *v, const struct board *b, double now_s, double silent_s, int moves, bool utf8)
{
	v->n = 0;
	summary(v, b, now_s, silent_s);
	add(v, TONE_PLAIN, -1, "%s", "");
	add(v, TONE_HEAD, -1, "%-16s %-6s %-7s %-12s %-*s  %-*s  %6s %9s", "NODE", "STATE", "ROLE", "NETWORK", BAR + 6, "CPU",
	    BAR + 6, "MEMORY", "GPU", "SERVICES");
	for (int i = 0; i < b->n_nodes; i++)
		node_line(v, b, &b->node[i], now_s, silent_s, utf8);
	add(v, TONE_PLAIN, -1, "%s", "");
	add(v, TONE_HEAD, -1, "%-20s %-16s %-8s %-9s %-8s %6s %8s %10s %7s  %s", "SERVICE", "NODE", "STATE", "TYPE", "ENGINE",
	    "CPU", "MEMORY", "NETWORK", "USERS", "RTT ms p50 / p95");
	for (int i = 0; i < b->n_services; i++)
		service_line(v, &b->service[i], i);
	if (!b->n_moves || !moves)
		return;
	add(v, TONE_PLAIN, -1, "%s", "");
	add(v, TONE_HEAD, -1, "%-10s%s", "UTC", "MOVES");
	for (int i = 0; i < b->n_moves && i < moves; i++)
		add(v, TONE_PLAIN, -1, "%-10s%s", b->move[i].when, b->move[i].text);
}
