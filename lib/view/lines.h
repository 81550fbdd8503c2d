/* SPDX-License-Identifier: MIT */
/* A board as lines of text, for a screen or a file. */
#ifndef EDGE_VIEW_LINES_H
#define EDGE_VIEW_LINES_H

#include "lib/view/board.h"

enum tone { TONE_PLAIN, TONE_TITLE, TONE_HEAD, TONE_GOOD, TONE_BAD, TONE_DIM };

struct view_line {
	char text[512]; /* UTF-8 */
	enum tone tone;
	int service;    /* its index in the board; -1: the line is of no service */
};

struct view_lines {
	struct view_line *line; /* owned */
	int n, room;
};

void view_lines_release(struct view_lines *v);

/* Fills `v` anew. Nodes that have said nothing for silent_s are silent. `moves`: how many of the last ones. Bars and dashes are
 * of ASCII unless utf8. */
void view_lines_make(struct view_lines *v, const struct board *b, double now_s, double silent_s, int moves, bool utf8);

#endif
