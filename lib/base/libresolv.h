/* SPDX-License-Identifier: MIT */
/* What of libresolv is used, loaded when it is first needed: the resolver's state, answers taken apart, base64 (libcrypto's takes
 * longer to load than all else that edge-lock does). */
#ifndef EDGE_BASE_LIBRESOLV_H
#define EDGE_BASE_LIBRESOLV_H

#include <netinet/in.h> /* of what the others take for known */

#include <arpa/nameser.h>
#include <resolv.h>

#include "lib/base/err.h"

struct libresolv { /* in the order of their names in libresolv.c */
	__typeof__(&__res_ninit) ninit;
	__typeof__(&__res_nclose) nclose;
	__typeof__(&__b64_ntop) b64_encode;
	__typeof__(&__b64_pton) b64_decode;
	__typeof__(&ns_initparse) initparse;
	__typeof__(&ns_parserr) parserr;
	__typeof__(&ns_get16) get16;
};

/* NULL: EX_UNAVAILABLE. */
const struct libresolv *libresolv_load(struct err *e);

#endif
