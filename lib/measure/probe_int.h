/* SPDX-License-Identifier: MIT */
/* What the methods of lib/measure/probe.c share. */
#ifndef EDGE_MEASURE_PROBE_INT_H
#define EDGE_MEASURE_PROBE_INT_H

#include <netinet/in.h>

#include "lib/measure/probe.h"

union address {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

static inline socklen_t address_len(const union address *a)
{
	return a->sa.sa_family == AF_INET ? sizeof(a->in) : sizeof(a->in6);
}

struct target {
	char *name, *host;
	union address addr; /* family AF_UNSPEC: unknown */
	const char *why;
	unsigned sent, received;
	double phases[4];   /* http: sums over the answers, in ms, of name, connect, tls, first byte */
};

/* Probe number `i` of 0..n*count is the one of round i / n to target i % n. */
struct probe {
	struct probe_plan plan;
	const struct probe_method *method;
	const char *arg;        /* behind "tcp:" or "http:" */
	void *self;             /* the method's own */
	struct target *t;
	size_t n, room;
	double *rtt;            /* [target * count + round] in ms; NAN: no answer */
	size_t next, done;      /* probes launched; answered or known to be lost */
	double start, last;     /* clock_ms() of the first and of the last launch */
	double gap, period;     /* ms between two probes; between two rounds */
	unsigned long dropped;
};

struct probe_method {
	const char *name;
	int (*open)(struct probe *p, struct err *e);
	/* Launches probes from p->next on, at most `n`: how many, 0 when there is no room until more has been collected. */
	size_t (*launch)(struct probe *p, size_t n);
	/* Takes in what has come, waiting for it for at most that long; `rest`: nothing more will be launched. */
	void (*collect)(struct probe *p, double wait_ms, bool rest);
	void (*close)(struct probe *p);
};

extern const struct probe_method probe_icmp, probe_tcp, probe_http;

static inline struct target *probe_target(const struct probe *p, size_t i)
{
	return &p->t[i % p->n];
}

static inline double *probe_rtt(const struct probe *p, size_t i)
{
	return &p->rtt[i % p->n * (size_t)p->plan.count + i / p->n];
}

/* An answer, in time or not; a second one to the same probe changes nothing. */
void probe_answer(struct probe *p, size_t i, double rtt_ms);
/* A probe that is known to have failed; why NULL: nothing came. */
void probe_lost(struct probe *p, size_t i, const char *why);

/* Fills in t->addr of all targets: numbers first, names by the resolver, all at once. */
void probe_resolve(struct probe *p);

#endif
