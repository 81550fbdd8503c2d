/* SPDX-License-Identifier: MIT */
#include "lib/engine/health.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/engine/cgroup.h"
#include "lib/engine/process.h"

#define START_MS 1000 /* between two tests of one that is starting, at most */

static const char *const words[] = { NULL, "starting", "healthy", "unhealthy" };

static void set(struct health *h, enum health_state state)
{
	if (h->state == state)
		return;
	h->state = state;
	file_write(service_dir(h->s, "health"), words[state], strlen(words[state]), 0600, NULL);
}

const char *health_of(const struct service *s)
{
	AUTO_FREE char *text = s->about && json_has(s->about, "healthcheck") ?
				       file_slurp(service_dir(s, "health"), NULL, NULL) : NULL;

	for (size_t i = 1; text && i < sizeof(words) / sizeof(*words); i++)
		if (!strcmp(text, words[i]))
			return words[i];
	return NULL;
}

void health_start(struct health *h, const struct service *s)
{
	AUTO_JSON struct json *test = s->about ? json_get(s->about, "healthcheck.test") : NULL;
	size_t n = test ? json_len(test, NULL) : 0;

	*h = (struct health){ .s = s };
	if (!n || json_bool(s->about, "healthcheck.disable", false) || !(h->argv = service_strings_of(test)))
		return;
	h->interval_ms = 1000 * json_num(s->about, "healthcheck.interval_s", 30);
	if (h->interval_ms < 10)
		h->interval_ms = 10;
	h->timeout_ms = 1000 * json_num(s->about, "healthcheck.timeout_s", 30);
	h->retries = (int)json_num(s->about, "healthcheck.retries", 3);
	h->fail_at = clock_ms() + 1000 * json_num(s->about, "healthcheck.start_s", 0) + h->retries * h->interval_ms;
	h->next = clock_ms();
	set(h, HEALTH_STARTING);
}

int health_wait_ms(const struct health *h)
{
	double left = h->next - clock_ms();

	return !h->argv ? -1 : left < 0 ? 0 : left > 3600e3 ? 3600000 : (int)left + 1;
}

static void wait_for_next(struct health *h)
{
	bool soon = h->state == HEALTH_STARTING && h->interval_ms > START_MS;

	h->pid = 0;
	h->next = clock_ms() + (soon ? START_MS : h->interval_ms);
}

static void failed(struct health *h)
{
	h->failures++;
	if (h->state == HEALTH_STARTING ? clock_ms() >= h->fail_at : h->failures >= h->retries)
		set(h, HEALTH_UNHEALTHY);
	wait_for_next(h);
}

void health_step(struct health *h, int (*netns)(void *ctx), void *ctx)
{
	if (!h->argv || clock_ms() < h->next)
		return;
	if (h->pid) { /* too slow; its end is told by health_ended */
		kill(h->pid, SIGKILL);
		h->next = clock_ms() + h->timeout_ms;
		return;
	}
	if (cgroup_frozen(h->s->name)) { /* it is being moved, or was told to stand still */
		wait_for_next(h);
		return;
	}
	AUTO_FD int net = netns(ctx);
	if (net < 0 || process_spawn(h->s, h->argv, net, -1, &h->pid, NULL)) {
		failed(h);
		return;
	}
	h->next = clock_ms() + h->timeout_ms;
}

bool health_ended(struct health *h, pid_t pid, int status)
{
	if (!h->pid || pid != h->pid)
		return false;
	if (WIFEXITED(status) && !WEXITSTATUS(status)) {
		h->failures = 0;
		set(h, HEALTH_HEALTHY);
		wait_for_next(h);
	} else {
		failed(h);
	}
	return true;
}

void health_stop(struct health *h)
{
	if (h->pid)
		kill(h->pid, SIGKILL);
	for (char **a = h->argv; a && *a; a++)
		free(*a);
	free(TAKE_PTR(h->argv));
	h->pid = 0;
}
