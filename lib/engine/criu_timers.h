/* SPDX-License-Identifier: MIT */
/* A mend to CRIU's images. A timerfd that repeats, has expired and was not read yet, shows no time to its next expiry: the
 * kernel sets it going again at the next read. CRIU (4.2) writes that down and restores it as a timer that is off, which
 * never expires again. In the freeze of a move most of a service's short timers come to this. */
#ifndef EDGE_ENGINE_CRIU_TIMERS_H
#define EDGE_ENGINE_CRIU_TIMERS_H

#include "lib/base/err.h"

/* Lets such timers in the folder's images expire one interval after their restore, beside what has expired already. */
int criu_mend_timers(const char *images, struct err *e);

#endif
