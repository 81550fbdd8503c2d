/* SPDX-License-Identifier: MIT */
#include "lib/engine/announce.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/engine/cgroup.h"
#include "lib/engine/net.h"

#define FIRST_MS 500.0
#define LAST_MS 32000.0 /* between two of them, which become twice as rare each time */

void announce_start(struct announce *a, const struct service *s)
{
	const char *dir = s->addr[0] ? cgroup_v2_dir(s->name) : NULL;
	char path[PATH_MAX];

	*a = (struct announce){ .s = s, .events = -1 };
	if (!dir)
		return;
	snprintf(path, sizeof(path), "%.4000s/cgroup.events", dir);
	a->events = open(path, O_RDONLY | O_CLOEXEC);
	a->frozen = a->events >= 0 && cgroup_events_frozen(a->events) > 0;
}

void announce_heard(struct announce *a)
{
	int now = cgroup_events_frozen(a->events);
	bool before = a->frozen;

	if (now < 0)
		announce_stop(a);
	a->frozen = now > 0;
	if (a->frozen)
		a->next = 0;
	if (!before || now)
		return;
	a->step = FIRST_MS;
	a->next = clock_ms() + a->step;
}

int announce_wait_ms(const struct announce *a)
{
	double left = a->next - clock_ms();

	return !a->next ? -1 : left < 0 ? 0 : (int)left + 1;
}

void announce_step(struct announce *a, int (*netns)(void *ctx), void *ctx)
{
	if (!a->next || clock_ms() < a->next)
		return;
	AUTO_FD int ns = netns(ctx);
	if (ns >= 0)
		net_announce(a->s, ns, NULL);
	a->step *= 2;
	a->next = a->step > LAST_MS ? 0 : clock_ms() + a->step;
}

void announce_stop(struct announce *a)
{
	if (a->events >= 0)
		close(a->events);
	a->events = -1;
	a->next = 0;
}
