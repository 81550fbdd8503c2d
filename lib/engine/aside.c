/* SPDX-License-Identifier: MIT */
#include "lib/engine/aside.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/engine/cgroup.h"

#define NAME "edge-aside-"
#define V1_SHARES 1024 /* are a weight of 100 */
#define V1_REALTIME_US 50000 /* of a second: what works on a process that stands still (lib/move/inject.h) is real-time */
#define TRIES 3

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

static int weigh(const struct aside *a, int weight)
{
	return a->v1 ? poke(a->dir, "cpu.shares", weight * V1_SHARES / ASIDE_AMONG) : poke(a->dir, "cpu.weight", weight);
}

static int enter(const struct aside *a)
{
	if (mkdir(a->dir, 0755))
		return -1;
	/* Version 2 has weights only where the cgroup above hands the controller down. */
	if (!weigh(a, ASIDE_AMONG)) {
		if (a->v1)
			poke(a->dir, "cpu.rt_runtime_us", V1_REALTIME_US); /* where such time is given to cgroups */
		if (!poke(a->dir, "cgroup.procs", 0))
			return 0;
	}
	rmdir(a->dir);
	return -1;
}

void aside_take(struct aside *a)
{
	char top[PATH_MAX], own[PATH_MAX], procs[PATH_MAX + 16], name[64];

	*a = (struct aside){ 0 };
	snprintf(name, sizeof(name), "/" NAME "%d", (int)getpid());
	if (cgroup_weighed(getpid(), top, own, &a->v1, NULL) ||
	    snprintf(a->before, sizeof(a->before), "%s%s", top, own) >= PATH_MAX ||
	    snprintf(a->dir, sizeof(a->dir), "%s%s", top, name) >= PATH_MAX)
		goto none;
	if (!strcmp(own, name)) { /* it could not leave: there is no way back */
		*a->before = 0;
		return;
	}
	/* A mount that shows a part of the hierarchy has it elsewhere. */
	snprintf(procs, sizeof(procs), "%s/cgroup.procs", a->before);
	if (access(procs, W_OK))
		goto none;
	sweep(top);
	for (int i = 0; i < TRIES; i++) /* another one may sweep up what is still empty */
		if (!enter(a))
			return;
none:
	*a->dir = 0;
}

void aside_weigh(const struct aside *a, int weight)
{
	if (*a->dir)
		weigh(a, weight);
}

void aside_leave(struct aside *a)
{
	if (!*a->dir)
		return;
	weigh(a, ASIDE_AMONG); /* it may have to stay */
	if (*a->before)
		poke(a->before, "cgroup.procs", 0);
	rmdir(a->dir); /* what it has started and is still there keeps it: then the next one sweeps it up */
	*a->dir = 0;
}
