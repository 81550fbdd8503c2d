/* SPDX-License-Identifier: MIT */
/* A live view of a fleet, and a person at its keys. */
#ifndef EDGE_VIEW_TOP_H
#define EDGE_VIEW_TOP_H

#include <stdbool.h>

#include "lib/base/err.h"

struct top_options {
	char *const *probe; /* the program that says how things are, again and again; NULL: records come on stdin */
	const char *log;    /* a file of records that others write on, such as a log of decisions; NULL: none */
	double red;         /* from 0 to 1 */
	double every_s;     /* how often records come; what says nothing for three times that and ten seconds is silent */
	int moves;          /* how many of the last ones are shown */
	void (*say)(const char *line); /* top_print: what the probe says of what fails */
};

/* Until the person leaves. Keys come from the controlling terminal. */
int top_watch(const struct top_options *o, struct err *e);
/* Takes all records until they end and prints the view once, as text. *status: the probe's. */
int top_print(const struct top_options *o, int *status, struct err *e);

#endif
