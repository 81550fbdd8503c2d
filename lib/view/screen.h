/* SPDX-License-Identifier: MIT */
/* The terminal: lines on it, keys from it. The only file that knows ncurses is its source. */
#ifndef EDGE_VIEW_SCREEN_H
#define EDGE_VIEW_SCREEN_H

#include "lib/view/lines.h"

struct screen;

enum { SCREEN_UP = 0x1000, SCREEN_DOWN, SCREEN_PAGE_UP, SCREEN_PAGE_DOWN, SCREEN_RESIZE };

/* Keys come from the descriptor `tty`, which stays the caller's. EX_UNAVAILABLE when the terminal's kind is not known. */
int screen_open(struct screen **s, int tty, struct err *e);
void screen_close(struct screen *s);
AUTO_DEFINE(struct screen, screen_close)
#define AUTO_SCREEN AUTO(screen_close_auto)

/* The next key, without waiting: a byte ('\n' and '\b' for what their keys send, 27 for escape), one of the above, -1: none. */
int screen_key(struct screen *s);
/* Shows all of it: the lines from `top` on (which is mended so that the selected one is seen), and two lines at the bottom. */
void screen_show(struct screen *s, const struct view_lines *v, int *top, int selected, const char *status, const char *keys);

#endif
