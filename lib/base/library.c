/* SPDX-License-Identifier: MIT */
#include "lib/base/library.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static int load(struct library *l, struct err *e)
{
	void *so = dlopen(l->soname, RTLD_NOW | RTLD_LOCAL);
	char *to = l->table;

	if (!so)
		return err_set(e, EX_UNAVAILABLE, "cannot load %s", dlerror());
	for (const char *name = l->names; *name; name += strlen(name) + 1, to += sizeof(void *)) {
		char whole[64];

		snprintf(whole, sizeof(whole), "%s%s", l->prefix, name);
		void *function = dlsym(so, whole);
		if (!function)
			return err_set(e, EX_UNAVAILABLE, "%s: has no %s", l->soname, whole);
		memcpy(to, &function, sizeof(function));
	}
	return l->start && l->start() ? err_set(e, EX_OSERR, "%s: cannot start", l->soname) : 0;
}

int library_load(struct library *l, struct err *e)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

	pthread_mutex_lock(&lock);
	l->loaded = l->loaded || !load(l, e);
	bool loaded = l->loaded;
	pthread_mutex_unlock(&lock);
	return loaded ? 0 : -1;
}
