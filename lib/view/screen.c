/* SPDX-License-Identifier: MIT */
#include "lib/view/screen.h"

#include <curses.h>
#include <stdlib.h>
#include <unistd.h>

enum { PAIR_GOOD = 1, PAIR_BAD };

struct screen {
	SCREEN *term;
	FILE *in;
};

int screen_open(struct screen **s, int tty, struct err *e)
{
	struct screen *new = calloc(1, sizeof(*new));
	int copy = dup(tty);

	if (!new || copy < 0 || !(new->in = fdopen(copy, "r"))) {
		free(new);
		return err_sys(e, "terminal");
	}
	new->term = newterm(NULL, stdout, new->in);
	if (!new->term) {
		fclose(new->in);
		free(new);
		return err_set(e, EX_UNAVAILABLE, "terminal %s: not known here", getenv("TERM") ? getenv("TERM") : "");
	}
	set_escdelay(50);
	cbreak();
	noecho();
	nonl();
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	curs_set(0);
	if (!getenv("NO_COLOR") && has_colors()) {
		start_color();
		use_default_colors();
		init_pair(PAIR_GOOD, COLOR_GREEN, -1);
		init_pair(PAIR_BAD, COLOR_RED, -1);
	}
	*s = new;
	return 0;
}

void screen_close(struct screen *s)
{
	endwin();
	delscreen(s->term);
	fclose(s->in);
	free(s);
}

int screen_key(struct screen *s)
{
	int key = getch();

	(void)s;
	switch (key) {
	case ERR: return -1;
	case KEY_UP: return SCREEN_UP;
	case KEY_DOWN: return SCREEN_DOWN;
	case KEY_PPAGE: return SCREEN_PAGE_UP;
	case KEY_NPAGE: return SCREEN_PAGE_DOWN;
	case KEY_RESIZE: return SCREEN_RESIZE;
	case KEY_ENTER:
	case '\r': return '\n';
	case KEY_BACKSPACE:
	case 0x7f: return '\b';
	default: return key < 256 ? key : 0;
	}
}

static attr_t look_of(enum tone tone)
{
	switch (tone) {
	case TONE_TITLE: return A_BOLD;
	case TONE_HEAD: return A_UNDERLINE;
	case TONE_GOOD: return (attr_t)COLOR_PAIR(PAIR_GOOD);
	case TONE_BAD: return (attr_t)COLOR_PAIR(PAIR_BAD) | A_BOLD;
	case TONE_DIM: return A_DIM;
	default: return A_NORMAL;
	}
}

static void put(int row, attr_t look, const char *text)
{
	int width = getmaxx(stdscr);

	move(row, 0);
	clrtoeol();
	attrset(look);
	addnstr(text, width > 0 ? width * 4 : 0); /* bytes; what is too wide is cut by the window */
	attrset(A_NORMAL);
}

void screen_show(struct screen *s, const struct view_lines *v, int *top, int selected, const char *status, const char *keys)
{
	int height = getmaxy(stdscr) - 2, at = -1;

	(void)s;
	for (int i = 0; i < v->n && at < 0; i++)
		if (selected >= 0 && v->line[i].service == selected)
			at = i;
	if (at >= 0 && at < *top)
		*top = at;
	if (at >= *top + height)
		*top = at - height + 1;
	if (*top > v->n - height)
		*top = v->n - height;
	if (*top < 0)
		*top = 0;
	for (int row = 0; row < height; row++) {
		int i = *top + row;

		put(row, i < v->n ? look_of(v->line[i].tone) | (i == at ? A_REVERSE : 0) : A_NORMAL, i < v->n ? v->line[i].text : "");
	}
	put(height, A_BOLD, status);
	put(height + 1, A_DIM, keys);
	refresh();
}
