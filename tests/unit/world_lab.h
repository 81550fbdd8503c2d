/* SPDX-License-Identifier: MIT */
/* Worlds of few lines, for tests of what is decided in them. */
#ifndef EDGE_TESTS_WORLD_LAB_H
#define EDGE_TESTS_WORLD_LAB_H

#include <stdarg.h>
#include <stdlib.h>

#include "lib/place/world.h"
#include "tests/unit/tap.h"

__attribute__((unused)) static unsigned long draw_seed = 1;

__attribute__((unused)) static unsigned draw(unsigned below)
{
	draw_seed = draw_seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(draw_seed >> 33) % below;
}

/* A record, with ' for ". */
__attribute__((format(printf, 3, 0))) static void quoted(char *line, size_t size, const char *fmt, va_list ap)
{
	vsnprintf(line, size, fmt, ap);
	for (char *p = line; *p; p++)
		if (*p == '\'')
			*p = '"';
}

/* One record, printf-like, with ' for ". What is wrong with it, or "". Static storage. */
__attribute__((format(printf, 2, 3), unused)) static const char *take(struct world *w, const char *fmt, ...)
{
	static struct err e;
	char line[4096];
	va_list ap;

	va_start(ap, fmt);
	quoted(line, sizeof(line), fmt, ap);
	va_end(ap);
	e = (struct err){ 0 };
	return world_take(w, line, strlen(line), NULL, NULL, &e) ? e.text : "";
}

/* Lines as above. */
__attribute__((unused)) static struct world *world_of(const char *lines)
{
	struct world *w = world_new();

	while (*lines) {
		int n = (int)strcspn(lines, "\n");
		const char *wrong = take(w, "%.*s", n, lines);

		if (*wrong)
			printf("# %.*s: %s\n", n, lines, wrong);
		lines += n + (lines[n] == '\n');
	}
	world_index(w);
	return w;
}

__attribute__((unused)) static int node_of(const struct world *w, const char *name)
{
	return world_node(w, world_find(w, name));
}

/* The first instance of that name. */
__attribute__((unused)) static int service_of(const struct world *w, const char *name)
{
	return w->of_app[w->app[world_app(w, world_find(w, name))].first_service];
}

#endif
