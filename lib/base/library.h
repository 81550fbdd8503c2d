/* SPDX-License-Identifier: MIT */
/* Shared objects that are loaded when they are first needed: loading them takes longer than all else that many runs of our
 * programs do. What is used of one is a list of its functions, FUNCTIONS(F) F(one) F(two), from which both the table of
 * pointers and the names in it are made. */
#ifndef EDGE_BASE_LIBRARY_H
#define EDGE_BASE_LIBRARY_H

#include <stdbool.h>

#include "lib/base/err.h"

#define LIBRARY_ARCHIVE "libarchive.so.13"
#define LIBRARY_CRYPTO "libcrypto.so.3"
#define LIBRARY_CURL "libcurl.so.4"
#define LIBRARY_RESOLV "libresolv.so.2"
#define LIBRARY_SSH2 "libssh2.so.1"
/* Those that are brought along with our programs to another machine. Not libarchive, which comes with 35 MB of others: it unpacks
 * images, and these go to nodes as layers. */
#define LIBRARY_BROUGHT LIBRARY_CRYPTO " " LIBRARY_CURL " " LIBRARY_RESOLV " " LIBRARY_SSH2

struct library {
	const char *soname;
	const char *prefix;   /* of all names */
	const char *names;    /* the rest of each, with a 0 behind it */
	void *table;	      /* where the addresses go, in this order */
	int (*start)(void);   /* its first call; other than 0 when it fails. Or NULL */
	bool loaded;
};

#define LIBRARY_NAME(NAME) #NAME "\0"

/* Does nothing the second time; from any thread. EX_UNAVAILABLE: not installed, or too old; EX_OSERR: start() fails. */
int library_load(struct library *l, struct err *e);

#endif
