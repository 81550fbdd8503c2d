/* SPDX-License-Identifier: MIT */
/* One at a time in the whole fleet: a lock in the registry, "lock/NAME", taken by compare-and-swap. Its holder renews it; that of one
 * that has died ends by itself. etcd counts that time. In a directory who wants it next does: the record says that it is over, and has
 * not changed for as long as it holds, so that clocks that differ, or are set, take it from nobody. It keeps away others that ask for
 * it, and nothing else. */
#ifndef EDGE_DISCOVER_LEASE_H
#define EDGE_DISCOVER_LEASE_H

#include <stdbool.h>

#include "lib/discover/registry.h"

#define LEASE_PREFIX "lock"

struct lease {
	struct registry *r;   /* the caller's; its records have the lease, too */
	char key[256];
	char token[17];       /* ours */
	int seconds;          /* how long it is ours without being renewed */
	bool forgets;         /* the registry ends it by itself */
	double until;         /* clock_ms(): until then nobody else has it */
	struct registry_version seen; /* another one's record */
	double seen_ms;       /* clock_ms(): since when it is as it is */
	double over_ms;       /* clock_ms(): its own time is over, and we will know then; 0: it is not over */
};

int lease_init(struct lease *l, struct registry *r, const char *name, int seconds, struct err *e);
/* 0: it is ours; 1: another one has it, by its record *holder (new): to be tried again, `over_ms` says when, if it is known;
 * -1: EX_DATAERR for a name that cannot be a key. */
int lease_take(struct lease *l, struct json **holder, struct err *e);
/* 0: for so many seconds more; 1: it is another one's, or nobody's, by now; -1: not known, try again before `until`. */
int lease_renew(struct lease *l, struct err *e);
/* Nothing is done where it is not ours any more. */
int lease_release(struct lease *l, struct err *e);

#endif
