/* SPDX-License-Identifier: MIT */
/* libcurl, loaded when it is first needed: it brings some thirty libraries with it. Its functions have their usual names,
 * without "curl_". */
#ifndef EDGE_BASE_LIBCURL_H
#define EDGE_BASE_LIBCURL_H

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

#include "lib/base/err.h"

#define LIBCURL_FUNCTIONS(F)                                                                                                   \
	F(global_init) F(easy_init) F(easy_cleanup) F(easy_reset) F(easy_perform) F(easy_strerror) F(easy_setopt) F(easy_getinfo) \
	F(slist_append) F(slist_free_all) F(multi_init) F(multi_cleanup) F(multi_add_handle) F(multi_remove_handle)              \
	F(multi_perform) F(multi_poll) F(multi_info_read)
#define LIBCURL_POINTER(NAME) __typeof__(&curl_##NAME)(NAME);

struct libcurl {
	LIBCURL_FUNCTIONS(LIBCURL_POINTER)
};

/* All of it; NULL as for library_load. */
const struct libcurl *libcurl_load(struct err *e);

#endif
