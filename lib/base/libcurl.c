/* SPDX-License-Identifier: MIT */
#include "lib/base/libcurl.h"

#include "lib/base/library.h"

static struct libcurl lib;

static int start(void)
{
	return lib.global_init(CURL_GLOBAL_DEFAULT);
}

const struct libcurl *libcurl_load(struct err *e)
{
	static struct library curl = { LIBRARY_CURL, "curl_", LIBCURL_FUNCTIONS(LIBRARY_NAME), &lib, start, false };

	return library_load(&curl, e) ? NULL : &lib;
}
