/* SPDX-License-Identifier: MIT */
#include "lib/base/opt_print.h"

#include <string.h>

/* One alternative of the synopsis. What has to be said is said in full; a record on stdin says it by itself. */
static void print_synopsis(const struct cmd *c, const char *operands, size_t n, FILE *f)
{
	bool records = n == 1 && *operands == '-';

	fputs(c->name, f);
	for (const struct opt *o = c->opts; o->name && !records; o++)
		if (o->type & OPT_REQUIRED)
			fprintf(f, " --%s %s", o->name, o->arg);
	fprintf(f, " [OPTION]...%s%.*s\n", n ? " " : "", (int)n, operands);
}

void opt_print_usage(const struct cmd *c, FILE *f)
{
	const char *rest = c->synopsis, *bar;

	fputs("Usage: ", f);
	for (; (bar = strstr(rest, " | ")); rest = bar + 3) {
		print_synopsis(c, rest, (size_t)(bar - rest), f);
		fputs("       ", f);
	}
	print_synopsis(c, rest, strlen(rest), f);
	fprintf(f, "%s\n", c->about);
}

static size_t width(const struct opt *o)
{
	return strlen(o->name) + (o->arg ? 1 + strlen(o->arg) : 0);
}

static void print_option(const struct opt *o, size_t room, FILE *f)
{
	char letter[5] = "    ";

	if (o->letter)
		snprintf(letter, sizeof(letter), "-%c, ", o->letter);
	fprintf(f, "  %s--%s%s%s%*s  %s%s\n", letter, o->name, o->arg ? " " : "", o->arg ? o->arg : "",
	        width(o) < room ? (int)(room - width(o)) : 0, "", o->help, o->type & OPT_REQUIRED ? " (required)" : "");
}

static void print_table(const struct opt *o, size_t room, FILE *f)
{
	for (; o->name; o++)
		if (o->type == OPT_GROUP)
			fprintf(f, "\n%s:\n", o->name);
		else
			print_option(o, room, f);
}

void opt_print_help(const struct cmd *c, const struct opt *own, FILE *f)
{
	const struct opt *tables[2] = { c->opts, own };
	size_t room = 0;

	for (int t = 0; t < 2; t++)
		for (const struct opt *o = tables[t]; o->name; o++)
			if (o->type != OPT_GROUP && width(o) > room)
				room = width(o);
	opt_print_usage(c, f);
	if (c->opts->name && c->opts->type != OPT_GROUP)
		fputs("\nOptions:\n", f);
	print_table(c->opts, room, f);
	fputs("\nHelp:\n", f);
	print_table(own, room, f);
	if (c->notes)
		fprintf(f, "\n%s\n", c->notes);
	if (c->example)
		fprintf(f, "\nExample:\n  %s\n", c->example);
	fprintf(f, "\nThe manual: man %s\n", c->name);
}
