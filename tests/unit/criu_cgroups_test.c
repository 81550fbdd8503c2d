/* SPDX-License-Identifier: MIT */
/* The image that makes criu's restore start a process goes where that process would have nothing to do. */
#include "lib/engine/criu_cgroups.h"

#include <stdlib.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/file.h"
#include "tests/unit/tap.h"

static char folder[] = "/tmp/criu_cgroups_test.XXXXXX";

static void image(const void *text, size_t n)
{
	static const char head[12] = "\x19\x43\x56\x54\x30\x33\x38\x59";
	char path[64], all[64];

	memcpy(all, head, sizeof(head));
	memcpy(all + sizeof(head), text, n);
	snprintf(path, sizeof(path), "%s/cgroup.img", folder);
	file_write(path, all, sizeof(head) + n, 0600, NULL);
}

static bool there(void)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/cgroup.img", folder);
	return !access(path, F_OK);
}

int main(void)
{
	struct err e = { 0 };

	if (!mkdtemp(folder))
		return 1;
	ok(criu_drop_cgroups(folder, &e) == 0, "no image: nothing to do");
	image("\x0a\x02\x08\x02\x12\x04\x0a\x00\x18\x00", 10);
	ok(there() && criu_drop_cgroups(folder, &e) == 0 && !there(), "one set: it goes");
	image("", 0);
	ok(there() && criu_drop_cgroups(folder, &e) == 0 && !there(), "none: it goes");
	image("\x0a\x02\x08\x02\x12\x40\x0a\x00\x18\x00", 10);
	ok(criu_drop_cgroups(folder, &e) == 0 && there(), "one that is cut off stays");
	image("\x0a\x02\x08\x02\x0f\x00\x00", 7);
	ok(criu_drop_cgroups(folder, &e) == 0 && there(), "... and one that nobody understands");
	image("\x0a\x02\x08\x02\x0a\x02\x08\x03\x12\x04\x0a\x00\x18\x00", 14);
	ok(criu_drop_cgroups(folder, &e) == 0 && there(), "two sets: it stays");
	file_remove_tree(folder, NULL);
	return done();
}
