/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/file.h"
#include "lib/measure/cpuscore.h"

#define NAME_ROOM 128

struct row {
	char name[NAME_ROOM]; /* as plain() makes it */
	double mark;
};

struct cpuscore_table {
	struct row *rows;
	size_t n, room;
};

/* What is left of a processor's name: lower case, without what its maker and the kernel add. */
static void plain(const char *model, char out[NAME_ROOM])
{
	static const char *const noise[] = { "(r)", "(tm)", "cpu", "processor" };
	char low[256], *to = out, *save = NULL;

	snprintf(low, sizeof(low), "%.*s", (int)strcspn(model, "@"), model);
	for (char *p = low; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	for (size_t i = 0; i < sizeof(noise) / sizeof(*noise); i++)
		for (char *p; (p = strstr(low, noise[i]));)
			memset(p, ' ', strlen(noise[i]));
	for (char *word = strtok_r(low, " \t,", &save); word; word = strtok_r(NULL, " \t,", &save)) {
		const char *dash = strchr(word, '-');

		if (dash && !strcmp(dash, "-core"))
			continue;
		to += snprintf(to, (size_t)(out + NAME_ROOM - to), "%s%.60s", to > out ? " " : "", word);
		if (to >= out + NAME_ROOM - 62)
			break;
	}
	*to = '\0';
}

/* Cuts a line into name and the text of its mark; -1 when it is not of that form. */
static int cut(char *line, char **name, char **mark)
{
	char *end;

	line += strspn(line, " \t");
	if (*line == '"') {
		*name = ++line;
		end = strchr(line, '"');
		if (!end)
			return -1;
		*end++ = '\0';
		end += strspn(end, " \t");
	} else {
		*name = line;
		end = strchr(line, ',');
	}
	if (!end || *end != ',')
		return -1;
	*end++ = '\0';
	*mark = end + strspn(end, " \t\"");
	return **name ? 0 : -1;
}

/* The number, with commas between thousands if it is in quotes; NAN for anything else. */
static double number(char *text)
{
	char digits[40], *to = digits, *end;

	for (const char *p = text; *p && *p != '"' && to < digits + sizeof(digits) - 1; p++)
		if (*p != ',' || !strchr(text, '"'))
			*to++ = *p;
	*to = '\0';
	if (!strchr(text, '"'))
		digits[strcspn(digits, ",")] = '\0'; /* further columns */
	double v = strtod(digits, &end);
	end += strspn(end, " \t");
	return end == digits || *end || !(v > 0) || !isfinite(v) ? NAN : v;
}

static int add(struct cpuscore_table *t, const char *name, double mark, struct err *e)
{
	if (t->n == t->room) {
		size_t room = t->room ? 2 * t->room : 64;
		struct row *more = realloc(t->rows, room * sizeof(*more));

		if (!more)
			return err_set(e, EX_OSERR, "out of memory");
		t->rows = more;
		t->room = room;
	}
	plain(name, t->rows[t->n].name);
	t->rows[t->n++].mark = mark;
	return 0;
}

int cpuscore_table_open(struct cpuscore_table **out, const char *path, struct err *e)
{
	AUTO_FREE char *text = file_slurp(path, NULL, e);
	AUTO_CPUSCORE_TABLE struct cpuscore_table *t = calloc(1, sizeof(*t));
	char *line = text, *name, *mark;

	if (!text)
		return -1;
	if (!t)
		return err_set(e, EX_OSERR, "out of memory");
	for (int n = 1; *line; n++) {
		char *next = line + strcspn(line, "\n");

		next += *next ? (*next = '\0', 1) : 0;
		line[strcspn(line, "\r")] = '\0';
		if (line[strspn(line, " \t")] && *line != '#') {
			if (cut(line, &name, &mark))
				return err_set(e, EX_DATAERR, "%s: line %d: not of the form name,mark", path, n);
			double v = number(mark);
			if (isnan(v) && n > 1)
				return err_set(e, EX_DATAERR, "%s: line %d: %s: not a mark", path, n, mark);
			if (!isnan(v) && add(t, name, v, e))
				return -1;
		}
		line = next;
	}
	*out = TAKE_PTR(t);
	return 0;
}

void cpuscore_table_close(struct cpuscore_table *t)
{
	if (!t)
		return;
	free(t->rows);
	free(t);
}

double cpuscore_table_find(const struct cpuscore_table *t, const char *model)
{
	char name[NAME_ROOM];

	plain(model, name);
	for (size_t i = 0; i < t->n; i++)
		if (!strcmp(t->rows[i].name, name))
			return t->rows[i].mark;
	return NAN;
}
