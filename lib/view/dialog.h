/* SPDX-License-Identifier: MIT */
/* What a person asks for, key by key, until it is a command that may be run: "m", a node, "y". No terminal here. */
#ifndef EDGE_VIEW_DIALOG_H
#define EDGE_VIEW_DIALOG_H

#include <stdbool.h>

#include "lib/view/board.h"

enum dialog_state { DIALOG_NONE, DIALOG_TEXT, DIALOG_CONFIRM, DIALOG_READY };

struct dialog {
	enum dialog_state state;
	char verb;           /* 'm' migrate, 's' stop, 'd' deploy */
	char service[64], node[64];
	char text[256];      /* typed so far */
	char prompt[512];    /* what to show; "" for nothing */
	char **argv;         /* DIALOG_READY: the command; owned */
};

/* Begins with a verb, for a service (deploy: NULL). False when there is nothing to ask: nothing selected. */
bool dialog_begin(struct dialog *d, char verb, const struct board_service *s);
/* One key: a character, '\n', '\b', or 27 (escape), which gives it all up. */
void dialog_key(struct dialog *d, int key);
/* Ends it; safe at any time. */
void dialog_clear(struct dialog *d);

#endif
