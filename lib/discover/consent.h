/* SPDX-License-Identifier: MIT */
/* Whether this node lets itself be invited, by its owner's rules: "policy" of /etc/edge/node.json, an object. What is absent
 * there is no rule:
 *
 *   free            false: by nobody
 *   inviters        names of those who may, an array
 *   shared          true: also while another one has invited it (else not)
 *   load_max        not from this load on (the mean of a minute, for each core)
 *   processes_max   not with that many processes or more
 *   battery_min     not on battery with less charge, 0 to 1
 *   verbs           what may be granted (grant.h), an array; else all
 *   lease_s         it ends by itself after so many seconds, unless it is renewed by another invitation
 *   quota.cpu, quota.mem_bytes   how much of the machine is offered to all guests together */
#ifndef EDGE_DISCOVER_CONSENT_H
#define EDGE_DISCOVER_CONSENT_H

#include <stdbool.h>

#include "lib/base/json.h"

struct consent_facts { /* NAN: unknown, and then no reason */
	double load;      /* for each core */
	double processes;
	double battery;   /* charge, 0 to 1; NAN on mains, too */
	char member[64];  /* another one that has invited it, or "" */
	bool renewal;     /* it is this inviter's already: its own services are no reason against it */
};

/* The rules: new, empty when there are none. EX_DATAERR when they cannot be read, or one of them is not of this list: a typo is
 * not to open a node. */
struct json *consent_policy(struct err *e);
void consent_facts(struct consent_facts *f, const char *inviter);
/* 0; or EX_UNAVAILABLE (not now), EX_NOPERM (not this one) and the reason. */
int consent_decide(const struct json *policy, const struct consent_facts *f, const char *inviter, struct err *e);
/* What may be granted of these verbs. */
int consent_verbs(const struct json *policy, unsigned asked, unsigned *granted, struct err *e);

#endif
