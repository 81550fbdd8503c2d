/* SPDX-License-Identifier: MIT */
#include "lib/engine/again.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define AGAIN_MS   100   /* twice as long after each time, if it has not */
#define LASTED_MS  10000 /* lasted for so long */
#define DOUBLE_MAX 9

int again_after_ms(const struct service *s, int status, double lasted_ms)
{
	const char *policy = s->about ? json_str(s->about, "restart") : NULL, *most = policy ? strchr(policy, ':') : NULL;
	int64_t times = s->about ? json_int(s->about, "restarts", 0) : 0;
	bool well = status >= 0 && WIFEXITED(status) && !WEXITSTATUS(status);

	if (!policy || !strcmp(policy, "no") || (!strncmp(policy, "on-failure", 10) && well))
		return -1;
	if (most && times >= strtol(most + 1, NULL, 10))
		return -1;
	return lasted_ms > LASTED_MS ? AGAIN_MS : AGAIN_MS << (times < 0 ? 0 : times < DOUBLE_MAX ? times : DOUBLE_MAX);
}
