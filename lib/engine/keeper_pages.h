/* SPDX-License-Identifier: MIT */
/* Between a keeper and the process that gives its service pages (lib/move/lazy.h): messages of that process. */
#ifndef EDGE_ENGINE_KEEPER_PAGES_H
#define EDGE_ENGINE_KEEPER_PAGES_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/base/err.h"

enum pages_word {
	PAGES_READY = 1, /* criu may come */
	PAGES_HOLD,     /* a userfaultfd beside, to be held under this id */
	PAGES_DROP,     /* no more: its process is gone */
	PAGES_SERVED,   /* all processes are restored, and the keeper has what it is to hold */
	PAGES_FILLED,   /* nothing is missing any more: the keeper lets go, and closes the socket then */
	PAGES_FAILED,   /* `why`: the end of it */
};

struct pages_message {
	int word;
	unsigned id;
	char why[200];
};

/* fd: -1 none. A keeper that is gone is no error of ours. */
void pages_tell(int sock, enum pages_word word, unsigned id, const char *why, int fd);

/* The keeper's side. */
struct keeper_pages {
	pid_t pid; /* 0: there is none */
	int sock;  /* -1: none, or it has ended */
	struct {
		unsigned id;
		int fd;
	} *held;   /* owned */
	size_t n_held;
	bool ready, served, filled;
	char why[256]; /* not "": it has ended too early, ... */
	bool failed;   /* ... and said so, or ended */
	bool ended;    /* without a word; how is not known yet */
};

/* Starts it: `fn` in a child, with its end of the socket as its only descriptor but 0 to 2. */
int keeper_pages_start(struct keeper_pages *p, const char *name, void (*fn)(void *ctx, int sock), void *ctx, struct err *e);
/* There is something to be read. */
void keeper_pages_read(struct keeper_pages *p);
/* Its end, as waitpid tells it. */
void keeper_pages_reaped(struct keeper_pages *p, int status);
/* Ends it; what it held is held no more. */
void keeper_pages_end(struct keeper_pages *p);

#endif
