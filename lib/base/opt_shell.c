/* SPDX-License-Identifier: MIT */
/* Completion scripts. They ask the program itself for names that only it knows, as `edge-migrate --completion nodes`. */
#include "lib/base/opt_print.h"

#include <ctype.h>
#include <string.h>

/* What shells offer for an argument of that name. */
struct noun {
	const char *word;
	const char *names;            /* asked for with --completion; NULL: */
	const char *bash, *zsh, *fish; /* the options of compgen, an action of _arguments, and -a of complete */
};

static const struct noun nouns[] = {
	{ "NODE", "nodes", NULL, NULL, NULL },
	{ "SERVICE", "services@", NULL, NULL, NULL },
	{ "CHECKPOINT", "checkpoints", NULL, NULL, NULL },
	{ "PROGRAM", "programs", NULL, NULL, NULL },
	{ "DIR", NULL, "-d", "_directories", "(__fish_complete_directories)" },
	{ "HOSTDIR:PATH", NULL, "-d", "_directories", "(__fish_complete_directories)" },
	{ "FILE", NULL, "-f", "_files", "(__fish_complete_path)" },
	{ "USER", NULL, "-u", "_users", "(__fish_complete_users)" },
	{ "COMMAND", NULL, "-cf", NULL, "(__fish_complete_subcommand)" },
};

/* The first that stands as a word of its own in the text: an argument's name, or a synopsis. */
static const struct noun *noun_in(const char *text)
{
	for (const char *p = text; *p; p++)
		for (size_t i = 0; i < sizeof(nouns) / sizeof(*nouns); i++) {
			size_t n = strlen(nouns[i].word);

			if ((p == text || !isupper((unsigned char)p[-1])) && !strncmp(p, nouns[i].word, n) &&
			    !isupper((unsigned char)p[n]) && p[n] != ':')
				return &nouns[i];
		}
	return NULL;
}

static bool is_choice(const struct opt *o)
{
	return o->arg && strchr(o->arg, '|');
}

/* Does its argument say at which node the service is that an operand names? */
static bool is_place(const struct opt *o)
{
	return o->arg && !strcmp(o->arg, "NODE") && (!strcmp(o->name, "from") || !strcmp(o->name, "on"));
}

static bool has_place(const struct cmd *c)
{
	for (const struct opt *o = c->opts; o->name; o++)
		if (is_place(o))
			return true;
	return false;
}

/* "a|b|c" as "a b c". */
static void print_words(const char *words, FILE *f)
{
	for (; *words; words++)
		putc(*words == '|' ? ' ' : *words, f);
}

/* With a backslash before each character of `special`; ' as `quote`. */
static void print_escaped(const char *s, const char *special, const char *quote, FILE *f)
{
	for (; *s; s++) {
		if (*s == '\'') {
			fputs(quote, f);
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

/* "--to | -t" */
static void print_forms(const struct opt *o, const char *between, FILE *f)
{
	fprintf(f, "--%s", o->name);
	if (o->letter)
		fprintf(f, "%s-%c", between, o->letter);
}

/* --- bash */

static void bash_offer(const struct cmd *c, const struct opt *o, const struct noun *n, FILE *f)
{
	fputs("mapfile -t COMPREPLY < <(compgen ", f);
	if (o && is_choice(o)) {
		fputs("-W '", f);
		print_words(o->arg, f);
		putc('\'', f);
	} else if (n->names) {
		fprintf(f, "-W \"$(%s --completion %s%s 2>/dev/null)\"", c->name, n->names,
		        strchr(n->names, '@') && has_place(c) ? "\"$at\"" : "");
	} else {
		fputs(n->bash, f);
	}
	fputs(" -- \"$cur\")", f);
	if (n && n->bash && strpbrk(n->bash, "df"))
		fputs("; compopt -o filenames 2>/dev/null", f);
}

static void bash_values(const struct cmd *c, const struct opt *o, FILE *f)
{
	for (; o->name; o++) {
		const struct noun *n = o->arg ? noun_in(o->arg) : NULL;

		if (!o->arg)
			continue;
		putc('\t', f);
		print_forms(o, " | ", f);
		fputs(") ", f);
		if (n || is_choice(o)) {
			bash_offer(c, o, n, f);
			fputs("; ", f);
		}
		fputs("return ;;\n", f);
	}
}

/* `edge migrate ...` is completed as `edge-migrate ...`. */
static void bash_dispatch(FILE *f)
{
	fputs("\tif ((COMP_CWORD > 1)) && [[ ${COMP_WORDS[1]} == [a-z]* ]]; then\n"
	      "\t\tlocal program=edge-${COMP_WORDS[1]}\n"
	      "\t\tlocal function=_${program//-/_}\n"
	      "\t\tdeclare -F \"$function\" >/dev/null || eval \"$(\"$program\" --completion bash 2>/dev/null)\"\n"
	      "\t\tdeclare -F \"$function\" >/dev/null || return\n"
	      "\t\tCOMP_WORDS=(\"$program\" \"${COMP_WORDS[@]:2}\") COMP_CWORD=$((COMP_CWORD - 1))\n"
	      "\t\t\"$function\"\n"
	      "\t\treturn\n"
	      "\tfi\n",
	      f);
}

static void bash_place(const struct cmd *c, FILE *f)
{
	fputs("\tlocal at='' i\n\tfor ((i = 1; i < COMP_CWORD - 1; i++)); do\n\t\tcase ${COMP_WORDS[i]} in\n", f);
	for (const struct opt *o = c->opts; o->name; o++)
		if (is_place(o)) {
			fputs("\t\t", f);
			print_forms(o, " | ", f);
			fputs(") at=${COMP_WORDS[i+1]}; [[ $at != = ]] || at=${COMP_WORDS[i+2]} ;;\n", f);
		}
	fputs("\t\tesac\n\tdone\n", f);
}

static void print_bash(const struct cmd *c, const struct opt *own, FILE *f)
{
	const struct noun *operand = noun_in(c->synopsis);

	fprintf(f, "# completion of %s for bash\n", c->name);
	print_function_name(c->name, f);
	fputs("()\n{\n\tCOMPREPLY=()\n", f);
	if (operand && !strcmp(operand->word, "PROGRAM"))
		bash_dispatch(f);
	fputs("\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
	      "\t# --to=NODE comes as three words.\n"
	      "\t[[ $cur != = ]] || cur=''\n"
	      "\t[[ $prev != = ]] || prev=${COMP_WORDS[COMP_CWORD-2]}\n",
	      f);
	if (has_place(c))
		bash_place(c, f);
	fputs("\tcase $prev in\n", f);
	bash_values(c, c->opts, f);
	bash_values(c, own, f);
	fputs("\tesac\n\tif [[ $cur == -* ]]; then\n\t\tmapfile -t COMPREPLY < <(compgen -W '", f);
	for (const struct opt *o = c->opts; o->name; o++)
		if (o->type != OPT_GROUP)
			fprintf(f, "--%s ", o->name);
	for (const struct opt *o = own; o->name; o++)
		fprintf(f, "--%s%s", o->name, o[1].name ? " " : "");
	fputs("' -- \"$cur\")\n", f);
	if (operand) {
		fputs("\telse\n\t\t", f);
		bash_offer(c, NULL, operand, f);
		putc('\n', f);
	}
	fputs("\tfi\n}\ncomplete -F ", f);
	print_function_name(c->name, f);
	fprintf(f, " %s\n", c->name);
}

/* --- zsh */

static void zsh_action(const struct cmd *c, const struct noun *n, FILE *f)
{
	if (n && n->names)
		fprintf(f, "{compadd -- ${(f)\"$(%s --completion %s%s 2>/dev/null)\"}}", c->name, n->names,
		        strchr(n->names, '@') && has_place(c) ? "$at" : "");
	else if (n && n->zsh)
		fputs(n->zsh, f);
	else
		putc(' ', f); /* nothing is offered, not files either */
}

static void zsh_options(const struct cmd *c, const struct opt *o, FILE *f)
{
	for (; o->name; o++) {
		if (o->type == OPT_GROUP)
			continue;
		if (o->letter)
			fprintf(f, "\t{-%c%s,--%s%s}'[", o->letter, o->arg ? "+" : "", o->name, o->arg ? "=" : "");
		else
			fprintf(f, "\t'--%s%s[", o->name, o->arg ? "=" : "");
		print_escaped(o->help, "[]:\\", "'\\''", f);
		putc(']', f);
		if (is_choice(o)) {
			fputs(":word:(", f);
			print_words(o->arg, f);
			putc(')', f);
		} else if (o->arg) {
			putc(':', f);
			print_escaped(o->arg, ":\\", "'\\''", f);
			putc(':', f);
			zsh_action(c, noun_in(o->arg), f);
		}
		fputs("' \\\n", f);
	}
}

static void zsh_place(const struct cmd *c, FILE *f)
{
	fputs("local at i\nfor ((i = 2; i < CURRENT; i++)); do\n\tcase $words[i] in\n", f);
	for (const struct opt *o = c->opts; o->name; o++)
		if (is_place(o)) {
			fprintf(f, "\t(--%s=*) at=${words[i]#*=} ;;\n\t(", o->name);
			print_forms(o, "|", f);
			fputs(") at=$words[i+1] ;;\n", f);
		}
	fputs("\tesac\ndone\n", f);
}

static void print_zsh(const struct cmd *c, const struct opt *own, FILE *f)
{
	const struct noun *operand = noun_in(c->synopsis);

	fprintf(f, "#compdef %s\n", c->name);
	if (operand && !strcmp(operand->word, "PROGRAM")) /* `edge migrate ...` is completed as `edge-migrate ...` */
		fputs("if ((CURRENT > 2)) && [[ $words[2] == [a-z]* ]]; then\n"
		      "\tshift words\n\twords[1]=edge-$words[1]\n\t((CURRENT--))\n\t_normal\n\treturn\nfi\n",
		      f);
	if (has_place(c))
		zsh_place(c, f);
	fputs("_arguments -s -S \\\n", f);
	zsh_options(c, c->opts, f);
	zsh_options(c, own, f);
	if (operand && !strcmp(operand->word, "COMMAND")) {
		fputs("\t'(-)1:command:_command_names -e' '*::argument:_normal'\n", f);
	} else {
		fprintf(f, "\t'*:%s:", operand ? operand->word : "operand");
		zsh_action(c, operand, f);
		fputs("'\n", f);
	}
}

/* --- fish */

static void fish_offer(const struct cmd *c, const struct noun *n, FILE *f)
{
	if (!n)
		return;
	fputs(" -a '", f);
	if (n->names && strchr(n->names, '@') && has_place(c)) {
		fputs("(set -l at (string match -r -g -- \"(?:", f);
		for (const struct opt *o = c->opts, *last = NULL; o->name; o++)
			if (is_place(o)) {
				fputs(last ? "|" : "", f);
				print_forms(o, "|", f);
				last = o;
			}
		fprintf(f, ")[ =]+(\\S+)\" (commandline -cp))[1]; %s --completion \"%s$at\" 2>/dev/null)", c->name, n->names);
	} else if (n->names) {
		fprintf(f, "(%s --completion %s 2>/dev/null)", c->name, n->names);
	} else {
		fputs(n->fish, f);
	}
	putc('\'', f);
}

static void fish_options(const struct cmd *c, const struct opt *o, FILE *f)
{
	for (; o->name; o++) {
		if (o->type == OPT_GROUP)
			continue;
		fprintf(f, "complete -c %s -l %s", c->name, o->name);
		if (o->letter)
			fprintf(f, " -s %c", o->letter);
		if (o->arg)
			fputs(" -x", f);
		if (is_choice(o)) {
			fputs(" -a '", f);
			print_words(o->arg, f);
			putc('\'', f);
		} else if (o->arg) {
			fish_offer(c, noun_in(o->arg), f);
		}
		fputs(" -d '", f);
		print_escaped(o->help, "\\", "\\'", f);
		fputs("'\n", f);
	}
}

static void print_fish(const struct cmd *c, const struct opt *own, FILE *f)
{
	const struct noun *operand = noun_in(c->synopsis);
	bool dispatches = operand && !strcmp(operand->word, "PROGRAM");

	fprintf(f, "complete -c %s -f%s", c->name, dispatches ? " -n __fish_use_subcommand" : "");
	fish_offer(c, operand, f);
	putc('\n', f);
	if (dispatches) /* `edge migrate ...` is completed as `edge-migrate ...` */
		fprintf(f, "complete -c %s -f -n 'not __fish_use_subcommand' "
		           "-a '(complete -C (string replace -r \"^\\s*%s\\s+\" %s- -- (commandline -cp)))'\n",
		        c->name, c->name, c->name);
	fish_options(c, c->opts, f);
	fish_options(c, own, f);
}

void opt_print_completion(const struct cmd *c, const struct opt *own, const char *shell, FILE *f)
{
	if (strcmp(shell, "bash") == 0)
		print_bash(c, own, f);
	else if (strcmp(shell, "zsh") == 0)
		print_zsh(c, own, f);
	else
		print_fish(c, own, f);
}
