/* SPDX-License-Identifier: MIT */
/* What an installation consists of. */
#ifndef EDGE_MOVE_INSTALL_LIST_H
#define EDGE_MOVE_INSTALL_LIST_H

#include <limits.h>

#include "lib/base/auto.h"
#include "lib/base/err.h"

struct install_file {
	char name[256];     /* below its folder there: "bin/edge-run", "lib/libjq.so.1", "lib/ld.so", "criu/criu", "criu/libc.so.6" */
	char path[PATH_MAX]; /* here */
	char digest[65];    /* SHA-256 */
};

struct install_list {
	struct install_file *files;
	int n;
};

/* The programs beside this one, the criu that is used here, and for each of the two kinds the loader and the shared objects
 * that it finds, also those that are loaded late (lib/base/library.h). They are kept apart, as a criu may have come with a C
 * library of its own. */
int install_list(struct install_list *l, struct err *e);
void install_list_release(struct install_list *l);
#define AUTO_INSTALL_LIST AUTO(install_list_release)

#endif
