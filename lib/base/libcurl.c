/* SPDX-License-Identifier: MIT */
#include "lib/base/libcurl.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>

static struct libcurl lib;

/* Where each function goes. */
static const struct {
	const char *name;
	size_t at;
} functions[] = {
#define FUNCTION(NAME) { "curl_" #NAME, offsetof(struct libcurl, NAME) }
	FUNCTION(global_init),	 FUNCTION(easy_init),	     FUNCTION(easy_cleanup),	 FUNCTION(easy_reset),
	FUNCTION(easy_perform),	 FUNCTION(easy_strerror),    FUNCTION(easy_setopt),	 FUNCTION(easy_getinfo),
	FUNCTION(slist_append),	 FUNCTION(slist_free_all),   FUNCTION(multi_init),	 FUNCTION(multi_cleanup),
	FUNCTION(multi_add_handle), FUNCTION(multi_remove_handle), FUNCTION(multi_perform), FUNCTION(multi_poll),
	FUNCTION(multi_info_read),
};

const struct libcurl *libcurl_load(struct err *e)
{
	static bool loaded;
	void *so;

	if (loaded)
		return &lib;
	so = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
	if (!so) {
		err_set(e, EX_UNAVAILABLE, "libcurl: cannot load: %s", dlerror());
		return NULL;
	}
	for (size_t i = 0; i < sizeof(functions) / sizeof(*functions); i++)
		if (!(*(void **)((char *)&lib + functions[i].at) = dlsym(so, functions[i].name))) {
			err_set(e, EX_UNAVAILABLE, "libcurl: has no %s", functions[i].name);
			return NULL;
		}
	if (lib.global_init(CURL_GLOBAL_DEFAULT)) {
		err_set(e, EX_OSERR, "libcurl: cannot start");
		return NULL;
	}
	loaded = true;
	return &lib;
}
