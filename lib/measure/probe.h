/* SPDX-License-Identifier: MIT */
/* Active measurement: probes to many targets from one thread, at a rate, by one of the methods icmp, tcp:PORT and
 * http:URL. Answers are matched by the number of the probe, never by a 16-bit field of the protocol. */
#ifndef EDGE_MEASURE_PROBE_H
#define EDGE_MEASURE_PROBE_H

#include <stdbool.h>
#include <stdio.h>

#include "lib/base/auto.h"
#include "lib/base/err.h"

struct probe_plan {
	const char *method; /* "icmp", "tcp:PORT", "http:URL"; "{}" in a URL stands for the target's address */
	long count;         /* probes a target */
	double interval_ms; /* between two probes to one target, at least */
	double timeout_ms;  /* an answer that comes later counts as lost */
	double rate;        /* probes a second, to all targets together, at most */
	double lost_as_ms;  /* what a lost probe counts in the mean; 0: nothing */
};

struct probe;

/* Copies the plan, whose strings must live on. EX_USAGE when it makes no sense. */
int probe_new(struct probe **p, const struct probe_plan *plan, struct err *e);
void probe_free(struct probe *p);
AUTO_DEFINE(struct probe, probe_free)
#define AUTO_PROBE AUTO(probe_free_auto)

/* `name` is what the record says; `host` is an address or a name to look up. Copied. */
void probe_add(struct probe *p, const char *name, const char *host);
size_t probe_targets(const struct probe *p);

/* Looks up names (all at once, 5 s at most), probes, waits for the last answers. A target that cannot be probed is not an
 * error: probe_why() tells. -1: nothing can be measured here at all (EX_NOPERM without the right to open the socket). */
int probe_run(struct probe *p, struct err *e);

const struct probe_plan *probe_plan(const struct probe *p);
const char *probe_name(const struct probe *p, size_t i);
const char *probe_host(const struct probe *p, size_t i);
/* Of target i, after the run: why the last of its probes failed, NULL when none did. Static storage, or p's. */
const char *probe_why(const struct probe *p, size_t i);
/* Has none of its probes been answered? */
bool probe_dead(const struct probe *p, size_t i);
/* Answers that this machine received and had no buffer for; 0 but for a rate beyond its means. */
unsigned long probe_dropped(const struct probe *p);
/* Writes its `latency` record, a line, and does not flush; nothing when its name is not known, so that nothing was sent.
 * *median_ms: of its answers, NAN without any. -1: EX_IOERR. */
int probe_put(const struct probe *p, size_t i, const char *from, double *median_ms, FILE *f, struct err *e);

#endif
