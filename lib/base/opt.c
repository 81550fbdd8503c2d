/* SPDX-License-Identifier: MIT */
#include "lib/base/opt.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/opt_print.h"

#define SHELLS "bash|zsh|fish"

struct parse {
	const struct cmd *c;
	char **argv;
	int argc, at;           /* argv[at] is being parsed */
	const char *completion; /* the shell */
	bool asks_help, asks_version;
};

int cmd_usage(const struct cmd *c, const char *fmt, ...)
{
	struct err e = { .code = EX_USAGE };
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(e.text, sizeof(e.text), fmt, ap);
	va_end(ap);
	fprintf(stderr, "%s: %s (see %s --help)\n", c->name, e.text, c->name);
	return EX_USAGE;
}

#define usage(...) (cmd_usage(__VA_ARGS__), -1)

/* Decimal digits with at most one point: no signs, blanks, hexadecimal, infinities. NULL or the rest behind
 * it. */
static const char *number(const char *s, double *d)
{
	size_t whole = strspn(s, "0123456789"), part = 0;
	char *end;

	if (s[whole] == '.')
		part = 1 + strspn(s + whole + 1, "0123456789");
	if (whole + part == 0 || (whole == 0 && part == 1))
		return NULL;
	*d = strtod(s, &end);
	return end == s + whole + part ? end : NULL; /* "1e9" is no number here */
}

static int set_number(const struct parse *p, const struct opt *o, const char *arg)
{
	static const char units[] = "KMGT";
	double d = 0;
	const char *rest = number(arg, &d), *unit;

	if (OPT_TYPE(o) == OPT_INT) {
		char *end;
		long n;

		errno = 0;
		n = strtol(arg, &end, 10);
		if (!rest || *end || errno)
			return usage(p->c, "--%s: not a whole number: %s", o->name, arg);
		*(long *)o->value = n;
		return 0;
	}
	if (OPT_TYPE(o) == OPT_NUM) {
		if (!rest || *rest)
			return usage(p->c, "--%s: not a number: %s", o->name, arg);
		*(double *)o->value = d;
		return 0;
	}
	if (rest && *rest) {
		unit = strchr(units, *rest >= 'a' ? *rest - 'a' + 'A' : *rest);
		if (unit)
			d *= (double)(1ull << (10 * (unit - units + 1)));
		rest = unit ? rest + 1 : NULL;
	}
	if (!rest || *rest || d >= 18446744073709551616.0)
		return usage(p->c, "--%s: not a size such as 4096, 64M or 1.5G: %s", o->name, arg);
	*(uint64_t *)o->value = (uint64_t)d;
	return 0;
}

/* Is `word` one of "a|b|c"? */
static bool among(const char *words, const char *word)
{
	size_t n = strlen(word);

	for (;;) {
		size_t k = strcspn(words, "|");

		if (k == n && memcmp(words, word, n) == 0)
			return true;
		if (!words[k])
			return false;
		words += k + 1;
	}
}

__attribute__((nonnull)) static int set_value(const struct parse *p, const struct opt *o, const char *arg)
{
	struct opt_list *list;

	if (o->arg && strchr(o->arg, '|') && !among(o->arg, arg) && o->value != &p->completion)
		return usage(p->c, "--%s: not one of %s: %s", o->name, o->arg, arg);
	switch (OPT_TYPE(o)) {
	case OPT_STR:
		*(const char **)o->value = arg;
		return 0;
	case OPT_ENV:
		if (setenv(o->value, arg, 1))
			abort();
		return 0;
	case OPT_LIST:
		list = o->value;
		if (!list->items) /* there cannot be more of them than arguments */
			list->items = calloc((size_t)p->argc, sizeof(*list->items));
		if (!list->items)
			abort();
		list->items[list->n++] = arg;
		return 0;
	default:
		return set_number(p, o, arg);
	}
}

/* The argument: what follows in the same word, else the next word. */
static int take(struct parse *p, const struct opt *o, const char *attached)
{
	if (o->type == OPT_FLAG) {
		*(bool *)o->value = true;
		return 0;
	}
	if (attached)
		return set_value(p, o, attached);
	if (p->at + 1 >= p->argc)
		return usage(p->c, "--%s: argument missing: %s", o->name, o->arg);
	return set_value(p, o, p->argv[++p->at]);
}

static const struct opt *find(const struct parse *p, const struct opt *own, const char *name, size_t n,
                              char letter)
{
	const struct opt *tables[2] = { p->c->opts, own };

	for (int t = 0; t < 2; t++)
		for (const struct opt *o = tables[t]; o && o->name; o++)
			if (o->type != OPT_GROUP && (name ? strlen(o->name) == n && memcmp(o->name, name, n) == 0
							  : o->letter == letter))
				return o;
	return NULL;
}

static int long_option(struct parse *p, const struct opt *own, const char *word)
{
	size_t n = strcspn(word, "=");
	const struct opt *o = find(p, own, word, n, 0);

	if (!o)
		return usage(p->c, "unknown option --%.*s", (int)n, word);
	if (o->type == OPT_FLAG && word[n])
		return usage(p->c, "--%s: takes no argument", o->name);
	return take(p, o, word[n] ? word + n + 1 : NULL);
}

static int letters(struct parse *p, const struct opt *own, const char *word)
{
	for (; *word; word++) {
		const struct opt *o = find(p, own, NULL, 0, *word);

		if (!o)
			return usage(p->c, "unknown option -%c", *word);
		if (o->type != OPT_FLAG)
			return take(p, o, word[1] ? word + 1 : NULL);
		if (take(p, o, NULL))
			return -1;
	}
	return 0;
}

/* Parses all; operands go, in order, to the end of argv. The index of the first, or -1. */
static int parse_all(struct parse *p, const struct opt *own)
{
	char **operands = malloc(sizeof(*operands) * (size_t)(p->argc + 1));
	int n = 0, rc = 0;

	if (!operands)
		abort();
	for (p->at = 1; rc == 0 && p->at < p->argc; p->at++) {
		char *word = p->argv[p->at];

		if (strcmp(word, "--") == 0) {
			while (++p->at < p->argc)
				operands[n++] = p->argv[p->at];
		} else if (word[0] == '-' && word[1] == '-') {
			rc = long_option(p, own, word + 2);
		} else if (word[0] == '-' && word[1]) {
			rc = letters(p, own, word + 1);
		} else {
			operands[n++] = word;
		}
		if (p->asks_help || p->asks_version)
			break; /* whatever follows: `edge-run --help --bogus` is no error */
	}
	if (rc == 0)
		memcpy(p->argv + p->argc - n, operands, sizeof(*operands) * (size_t)n);
	free(operands);
	return rc ? -1 : p->argc - n;
}

/* A script for a shell, or names for such a script, which has no use for complaints. */
static int print_completion(const struct cmd *c, const struct opt *own, const char *what)
{
	if (among(SHELLS, what))
		opt_print_completion(c, own, what, stdout);
	else if (!c->names || c->names(what, stdout))
		return cmd_usage(c, "--completion: not one of %s: %s", SHELLS, what);
	return cmd_done(c, 0);
}

int cmd_parse(const struct cmd *c, int argc, char **argv, int *status)
{
	struct parse p = { .c = c, .argv = argv, .argc = argc };
	const struct opt own[] = {
		{ "help", 'h', OPT_FLAG, &p.asks_help, NULL, "print this help" },
		{ "version", 0, OPT_FLAG, &p.asks_version, NULL, "print the version" },
		{ "completion", 0, OPT_STR, &p.completion, SHELLS, "print a completion script" },
		{ 0 },
	};
	int first = parse_all(&p, own);

	*status = EX_USAGE;
	if (first < 0)
		return -1;
	if (p.asks_help || p.asks_version) {
		if (p.asks_help)
			opt_print_help(c, own, stdout);
		else
			printf("%s %s\n", c->name, EDGE_VERSION);
		*status = cmd_done(c, 0);
		return -1;
	}
	if (p.completion) {
		*status = print_completion(c, own, p.completion);
		return -1;
	}
	if (c->filter && first == argc && !(c->source && c->source()) && isatty(0)) {
		opt_print_usage(c, stderr);
		fprintf(stderr, "It reads records from standard input; see %s --help\n", c->name);
		return -1;
	}
	*status = 0;
	return first;
}

int cmd_fail(const struct cmd *c, const struct err *e)
{
	fprintf(stderr, "%s: %s\n", c->name, e->text);
	return e->code ? e->code : EX_SOFTWARE;
}

void cmd_relay(const char *line)
{
	fprintf(stderr, "%s\n", line);
}

int cmd_done(const struct cmd *c, int status)
{
	errno = 0;
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	fprintf(stderr, "%s: cannot write to standard output%s%s\n", c->name, errno ? ": " : "",
	        errno ? strerror(errno) : "");
	return EX_IOERR;
}
