/* SPDX-License-Identifier: MIT */
/* Traces of few lines, for tests of what a simulation makes of them. */
#ifndef EDGE_TESTS_TRACE_LAB_H
#define EDGE_TESTS_TRACE_LAB_H

#include "lib/place/simulate.h"
#include "tests/unit/world_lab.h"

/* A record with ' for ", into the simulation; what is wrong with it, or "". Static storage. */
__attribute__((format(printf, 2, 3), unused)) static const char *tell(struct simulation *s, const char *fmt, ...)
{
	static struct err e;
	char line[1024];
	va_list ap;

	va_start(ap, fmt);
	quoted(line, sizeof(line), fmt, ap);
	va_end(ap);
	e = (struct err){ 0 };
	return simulation_take(s, line, strlen(line), &e) ? e.text : "";
}

/* "h:mm:ss" of a day, for `at`. Static storage. */
__attribute__((unused)) static const char *at(int second)
{
	static char text[32];

	snprintf(text, sizeof(text), "2026-01-%02dT%02d:%02d:%02dZ", 1 + second / 86400, second / 3600 % 24, second / 60 % 60, second % 60);
	return text;
}

#endif
