/* SPDX-License-Identifier: MIT */
#include "lib/engine/aside.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/file.h"
#include "lib/engine/cgroup.h"

#define NAME "edge-aside-"
#define V1_SHARES 1024 /* are a weight of 100 */

static int poke(const char *dir, const char *file, int value)
{
	char path[PATH_MAX + 64], text[24];

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	snprintf(text, sizeof(text), "%d", value);
	return file_poke(path, text, NULL);
}

/* Those that are in use cannot be removed. */
static void sweep(const char *top)
{
	char path[PATH_MAX];
	DIR *d = opendir(top);

	if (!d)
		return;
	for (struct dirent *entry; (entry = readdir(d));)
		if (!strncmp(entry->d_name, NAME, strlen(NAME)) &&
		    snprintf(path, sizeof(path), "%s/%s", top, entry->d_name) < (int)sizeof(path))
			rmdir(path);
	closedir(d);
}

void aside_take(struct aside *a)
{
	char top[PATH_MAX], own[PATH_MAX];

	*a = (struct aside){ 0 };
	if (cgroup_weighed(getpid(), top, own, &a->v1, NULL))
		return;
	sweep(top);
	if (snprintf(a->before, sizeof(a->before), "%s%s", top, own) >= PATH_MAX ||
	    snprintf(a->dir, sizeof(a->dir), "%s/" NAME "%d", top, (int)getpid()) >= PATH_MAX || mkdir(a->dir, 0755)) {
		*a->dir = 0;
		return;
	}
	/* Version 2 has weights only where the cgroup above hands the controller down. */
	if (poke(a->dir, a->v1 ? "cpu.shares" : "cpu.weight", a->v1 ? V1_SHARES : ASIDE_AMONG) || poke(a->dir, "cgroup.procs", 0)) {
		rmdir(a->dir);
		*a->dir = 0;
	}
}

void aside_weigh(const struct aside *a, int weight)
{
	if (*a->dir)
		poke(a->dir, a->v1 ? "cpu.shares" : "cpu.weight", a->v1 ? weight * V1_SHARES / ASIDE_AMONG : weight);
}

void aside_leave(struct aside *a)
{
	if (!*a->dir)
		return;
	poke(a->before, "cgroup.procs", 0);
	rmdir(a->dir); /* what it has started and is still there keeps it: then the next one sweeps it up */
	*a->dir = 0;
}
