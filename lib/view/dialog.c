/* SPDX-License-Identifier: MIT */
#include "lib/view/dialog.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <wordexp.h>

static void ask(struct dialog *d)
{
	switch (d->verb) {
	case 'm':
		snprintf(d->prompt, sizeof(d->prompt), "migrate %s from %s to: %s", d->service, d->node, d->text);
		break;
	case 'd':
		snprintf(d->prompt, sizeof(d->prompt), "deploy: edge-run %s", d->text);
		break;
	}
}

static void confirm(struct dialog *d)
{
	d->state = DIALOG_CONFIRM;
	if (d->verb == 'm')
		snprintf(d->prompt, sizeof(d->prompt), "migrate %s from %s to %s? (y/n)", d->service, d->node, d->text);
	else if (d->verb == 's')
		snprintf(d->prompt, sizeof(d->prompt), "stop %s on %s? (y/n)", d->service, d->node);
	else
		snprintf(d->prompt, sizeof(d->prompt), "run edge-run %s? (y/n)", d->text);
}

bool dialog_begin(struct dialog *d, char verb, const struct board_service *s)
{
	dialog_clear(d);
	if (!s && verb != 'd')
		return false;
	d->verb = verb;
	d->state = DIALOG_TEXT;
	if (s) {
		snprintf(d->service, sizeof(d->service), "%s", s->name);
		snprintf(d->node, sizeof(d->node), "%s", s->node);
	}
	if (verb == 's')
		confirm(d);
	else
		ask(d);
	return true;
}

void dialog_clear(struct dialog *d)
{
	for (char **a = d->argv; a && *a; a++)
		free(*a);
	free(d->argv);
	*d = (struct dialog){ 0 };
}

/* A command of these words and, if need be, of those that were typed; quotes join words as in a shell, and nothing is run. */
static void ready(struct dialog *d, const char *const words[], const char *typed)
{
	wordexp_t more = { 0 };
	size_t n = 0, k = 0;

	if (typed && wordexp(typed, &more, WRDE_NOCMD)) {
		dialog_clear(d);
		snprintf(d->prompt, sizeof(d->prompt), "these are no words for a command");
		return;
	}
	while (words[n])
		n++;
	d->argv = calloc(n + more.we_wordc + 1, sizeof(*d->argv));
	for (size_t i = 0; d->argv && i < n; i++)
		d->argv[k++] = strdup(words[i]);
	for (size_t i = 0; d->argv && i < more.we_wordc; i++)
		d->argv[k++] = strdup(more.we_wordv[i]);
	if (typed)
		wordfree(&more);
	d->state = d->argv ? DIALOG_READY : DIALOG_NONE;
}

static void carry_out(struct dialog *d)
{
	if (d->verb == 'm')
		ready(d, (const char *const[]){ "edge-migrate", "--from", d->node, "--to", d->text, "--", d->service, NULL }, NULL);
	else if (d->verb == 's')
		ready(d, (const char *const[]){ "edge-stop", "--on", d->node, "--", d->service, NULL }, NULL);
	else
		ready(d, (const char *const[]){ "edge-run", NULL }, d->text);
}

static void edit(struct dialog *d, int key)
{
	size_t n = strlen(d->text);

	if (key == '\n') {
		if (n)
			confirm(d);
		return;
	}
	if (key == '\b') {
		while (n && ((unsigned char)d->text[n - 1] & 0xc0) == 0x80)
			n--;
		if (n)
			d->text[n - 1] = 0;
	} else if (key >= ' ' && key != 0x7f && key < 256 && n + 1 < sizeof(d->text)) {
		d->text[n] = (char)key;
		d->text[n + 1] = 0;
	}
	ask(d);
}

void dialog_key(struct dialog *d, int key)
{
	if (key == 27)
		dialog_clear(d);
	else if (d->state == DIALOG_TEXT)
		edit(d, key);
	else if (d->state == DIALOG_CONFIRM && key == 'y')
		carry_out(d);
	else if (d->state == DIALOG_CONFIRM)
		dialog_clear(d);
}
