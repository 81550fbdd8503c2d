/* SPDX-License-Identifier: MIT */
#include "lib/base/opt_print.h"

#include <string.h>

void opt_print_usage(const struct cmd *c, FILE *f)
{
	fprintf(f, "Usage: %s [OPTION]...%s%s\n%s\n", c->name, *c->synopsis ? " " : "", c->synopsis,
	        c->about);
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
	fprintf(f, "  %s--%s%s%s%*s  %s\n", letter, o->name, o->arg ? " " : "", o->arg ? o->arg : "",
	        width(o) < room ? (int)(room - width(o)) : 0, "", o->help);
}

void opt_print_help(const struct cmd *c, const struct opt *own, FILE *f)
{
	const struct opt *tables[2] = { c->opts, own };
	size_t room = 0;

	for (int t = 0; t < 2; t++)
		for (const struct opt *o = tables[t]; o && o->name; o++)
			if (width(o) > room)
				room = width(o);
	opt_print_usage(c, f);
	fputs("\nOptions:\n", f);
	for (int t = 0; t < 2; t++)
		for (const struct opt *o = tables[t]; o && o->name; o++)
			print_option(o, room, f);
}

/* "a|b|c" as "a b c". */
static void print_words(const char *words, FILE *f)
{
	for (; *words; words++)
		putc(*words == '|' ? ' ' : *words, f);
}

/* With a backslash before each character of `special`. */
static void print_escaped(const char *s, const char *special, FILE *f)
{
	for (; *s; s++) {
		if (strchr(special, *s))
			putc('\\', f);
		putc(*s, f);
	}
}

/* For the inside of single quotes in sh: ' as '\''. */
static void print_quoted(const char *s, const char *special, FILE *f)
{
	for (; *s; s++) {
		if (*s == '\'') {
			fputs("'\\''", f);
			continue;
		}
		if (strchr(special, *s))
			putc('\\', f);
		putc(*s, f);
	}
}

static void print_function_name(const char *name, FILE *f)
{
	putc('_', f);
	for (; *name; name++)
		putc(*name == '-' ? '_' : *name, f);
}

static void print_bash(const struct cmd *c, const struct opt *tables[2], FILE *f)
{
	fputs("# completion of ", f);
	fprintf(f, "%s for bash\n", c->name);
	print_function_name(c->name, f);
	fputs("()\n{\n"
	      "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n\tCOMPREPLY=()\n"
	      "\tcase $prev in\n",
	      f);
	for (int t = 0; t < 2; t++)
		for (const struct opt *o = tables[t]; o && o->name; o++) {
			if (!o->arg)
				continue;
			fprintf(f, "\t--%s", o->name);
			if (o->letter)
				fprintf(f, " | -%c", o->letter);
			fputs(strchr(o->arg, '|') ? ") mapfile -t COMPREPLY < <(compgen -W '"
			                          : ") mapfile -t COMPREPLY < <(compgen -f",
			      f);
			if (strchr(o->arg, '|')) {
				print_words(o->arg, f);
				putc('\'', f);
			}
			fputs(" -- \"$cur\"); return ;;\n", f);
		}
	fputs("\tesac\n\tif [[ $cur == -* ]]; then\n\t\tmapfile -t COMPREPLY < <(compgen -W '", f);
	for (int t = 0; t < 2; t++)
		for (const struct opt *o = tables[t]; o && o->name; o++)
			fprintf(f, "%s--%s", t == 0 && o == tables[0] ? "" : " ", o->name);
	fputs("' -- \"$cur\")\n\tfi\n}\ncomplete -o default -F ", f);
	print_function_name(c->name, f);
	fprintf(f, " %s\n", c->name);
}

static void print_zsh(const struct cmd *c, const struct opt *tables[2], FILE *f)
{
	fprintf(f, "#compdef %s\n_arguments -s \\\n", c->name);
	for (int t = 0; t < 2; t++)
		for (const struct opt *o = tables[t]; o && o->name; o++) {
			if (o->letter)
				fprintf(f, "\t{-%c%s,--%s%s}'", o->letter, o->arg ? "+" : "", o->name,
				        o->arg ? "=" : "");
			else
				fprintf(f, "\t'--%s%s", o->name, o->arg ? "=" : "");
			putc('[', f);
			print_quoted(o->help, "[]:\\", f);
			putc(']', f);
			if (o->arg && strchr(o->arg, '|')) {
				fputs(":word:(", f);
				print_words(o->arg, f);
				putc(')', f);
			} else if (o->arg) {
				putc(':', f);
				print_quoted(o->arg, ":\\", f);
				fputs(":_files", f);
			}
			fputs("' \\\n", f);
		}
	fputs("\t'*:operand:_files'\n", f);
}

static void print_fish(const struct cmd *c, const struct opt *tables[2], FILE *f)
{
	for (int t = 0; t < 2; t++)
		for (const struct opt *o = tables[t]; o && o->name; o++) {
			fprintf(f, "complete -c %s -l %s", c->name, o->name);
			if (o->letter)
				fprintf(f, " -s %c", o->letter);
			if (o->arg && strchr(o->arg, '|')) {
				fputs(" -x -a '", f);
				print_words(o->arg, f);
				putc('\'', f);
			} else if (o->arg) {
				fputs(" -r", f);
			}
			fputs(" -d '", f);
			print_escaped(o->help, "'\\", f);
			fputs("'\n", f);
		}
}

void opt_print_completion(const struct cmd *c, const struct opt *own, const char *shell, FILE *f)
{
	const struct opt *tables[2] = { c->opts, own };

	if (strcmp(shell, "bash") == 0)
		print_bash(c, tables, f);
	else if (strcmp(shell, "zsh") == 0)
		print_zsh(c, tables, f);
	else
		print_fish(c, tables, f);
}
