/* SPDX-License-Identifier: MIT */
/* What of libresolv is not in libc, loaded when it is first needed: answers taken apart, base64 (libcrypto's takes longer to load than
 * all else that edge-lock does). */
#ifndef EDGE_BASE_LIBRESOLV_H
#define EDGE_BASE_LIBRESOLV_H

#include <netinet/in.h> /* of what the others take for known */

#include <arpa/nameser.h>
#include <resolv.h>

#include "lib/base/err.h"

#define LIBRESOLV_FUNCTIONS(F) F(__b64_ntop) F(__b64_pton) F(ns_initparse) F(ns_parserr) F(ns_get16)
#define LIBRESOLV_POINTER(NAME) __typeof__(&(NAME))(NAME);

struct libresolv {
	LIBRESOLV_FUNCTIONS(LIBRESOLV_POINTER)
};

/* NULL: EX_UNAVAILABLE. */
const struct libresolv *libresolv_load(struct err *e);

#endif
