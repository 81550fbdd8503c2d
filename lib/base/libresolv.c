/* SPDX-License-Identifier: MIT */
#include "lib/base/libresolv.h"

#include "lib/base/library.h"

const struct libresolv *libresolv_load(struct err *e)
{
	static struct libresolv lib;
	static struct library resolv = { LIBRARY_RESOLV, "",
					 "__res_ninit\0__res_nclose\0__b64_ntop\0__b64_pton\0ns_initparse\0ns_parserr\0ns_get16\0", &lib,
					 NULL, false };

	return library_load(&resolv, e) ? NULL : &lib;
}
