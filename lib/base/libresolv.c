/* SPDX-License-Identifier: MIT */
#include "lib/base/libresolv.h"

#include "lib/base/library.h"

const struct libresolv *libresolv_load(struct err *e)
{
	static struct libresolv lib;
	static struct library resolv = { LIBRARY_RESOLV, "", LIBRESOLV_FUNCTIONS(LIBRARY_NAME), &lib, NULL, false };

	return library_load(&resolv, e) ? NULL : &lib;
}
