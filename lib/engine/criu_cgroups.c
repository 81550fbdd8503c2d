/* SPDX-License-Identifier: MIT */
#include "lib/engine/criu_cgroups.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/file.h"
#include "lib/engine/message.h"

#define HEAD 12 /* two magic numbers, the message's length */

/* criu's images/cgroup.proto. */
enum { CGROUP_SET = 1 };

int criu_drop_cgroups(const char *images, struct err *e)
{
	char path[PATH_MAX];
	struct field f;
	int sets = 0;
	size_t n;

	if (snprintf(path, sizeof(path), "%s/cgroup.img", images) >= (int)sizeof(path))
		return err_set(e, EX_DATAERR, "%s: path too long", images);
	if (access(path, F_OK) && errno == ENOENT)
		return 0;
	AUTO_FREE char *data = file_slurp(path, &n, e);
	if (!data)
		return -1;
	const uint8_t *p = (uint8_t *)data + HEAD, *end = (uint8_t *)data + n;
	while (n > HEAD && field_next(&p, end, &f))
		sets += f.number == CGROUP_SET;
	return p == end && sets <= 1 && unlink(path) ? err_sys(e, "%s", path) : 0;
}
