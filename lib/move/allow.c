/* SPDX-License-Identifier: MIT */
#include "lib/move/allow.h"

#include <string.h>

#include "lib/discover/grant.h"
#include "lib/engine/service.h"

#define SPEC "--spec=-"

static const struct {
	const char *call;
	unsigned verbs;
} calls[] = {
	{ "node", GRANT_PROBE },    { "start", GRANT_RESTORE },  { "prepare", GRANT_RESTORE }, { "open", GRANT_RESTORE },
	{ "attach", GRANT_RESTORE }, { "drop", GRANT_RESTORE },  { "outcome", GRANT_MOVES },   { "forget", GRANT_MOVES },
	{ "settle", GRANT_MOVES },  { "note", GRANT_MOVES },     { "invite", GRANT_INVITE },   { "join", GRANT_INVITE },
	{ "meet", GRANT_INVITE },   { "part", GRANT_ALL },       { "layer", GRANT_RESTORE | GRANT_RUN },
	{ "image", GRANT_RESTORE | GRANT_RUN }, { "swarm", GRANT_RUN }, { "contain", GRANT_RESTORE },
};

/* What our programs send: "--option=" has a value. OPERANDS says what else may be there. */
static const struct program {
	const char *name, *options;
	enum { NONE, ANY, SERVICES } operands;
} programs[] = {
	{ "edge-probe", "--window= --services --verbose", NONE },
	{ "edge-latency", "--method= --count= --interval= --timeout= --rate= --lost-as=", ANY },
	{ "edge-run", "--spec= --list --definition", NONE },
	{ "edge-stop", "--rm --grace=", SERVICES },
	{ "edge-checkpoint", "--hold= --to= --leave-running --tcp-close --list", SERVICES },
	{ "edge-ship", "--to= --ship-base", ANY },
	{ "edge-restore", "", ANY },
	{ "edge-migrate", "--to= --dry-run --ship-base --tcp-close --max-freeze= --deadline= --max-pause= --on-hot= --tracking= "
	  "--post-copy --status --recover --force --quiet", SERVICES },
};

static const struct program *program_of(const struct json *call)
{
	const char *name = json_str(call, "program");

	for (size_t i = 0; name && i < sizeof(programs) / sizeof(*programs); i++)
		if (!strcmp(name, programs[i].name))
			return &programs[i];
	return NULL;
}

unsigned allow_needs(const struct json *call)
{
	const char *verb = json_str(call, "verb");

	if (verb && !strcmp(verb, "run")) {
		const struct program *p = program_of(call);

		return p ? grant_verb(p->name + strlen("edge-")) : 0;
	}
	for (size_t i = 0; verb && i < sizeof(calls) / sizeof(*calls); i++)
		if (!strcmp(verb, calls[i].call))
			return calls[i].verbs;
	return 0;
}

/* 0: not one of them; 1: it stands alone; 2: its value is the next argument. */
static int option_of(const struct program *p, const char *arg)
{
	size_t n = strcspn(arg, "=");

	for (const char *o = p->options; *o; o += strcspn(o, " ") + (o[strcspn(o, " ")] == ' ')) {
		size_t len = strcspn(o, " "), name = strcspn(o, "= ");

		if (n == name && !strncmp(arg, o, n))
			return name == len || arg[n] ? 1 : 2;
	}
	return 0;
}

/* Only a definition comes on standard input: records there would tell a program of services that nobody has looked at. */
static int check_input(const struct json *call, const struct json *args, struct err *e)
{
	AUTO_JSON struct json *only = args ? json_at(args, 0) : NULL;
	const char *program = json_str(call, "program");
	bool spec = only && json_value(only) && !strcmp(json_value(only), SPEC) && json_len(args, NULL) == 1 && program &&
		    !strcmp(program, "edge-run");

	return !json_has(call, "input") || spec ? 0 : err_set(e, EX_NOPERM, "%s: input: not for other machines",
							       program ? program : "nothing");
}

static int check_service(const char *name, const char *fleet, struct err *e)
{
	AUTO_SERVICE struct service *s = NULL;

	if (service_load(&s, name, NULL)) /* the program says so better */
		return 0;
	if (fleet && !strcmp(s->fleet, fleet))
		return 0;
	return err_set(e, EX_NOPERM, "service %s: not one of yours", s->name);
}

int allow_args(const struct json *call, const char *fleet, struct err *e)
{
	const struct program *p = program_of(call);
	AUTO_JSON struct json *args = json_get(call, "args");
	bool options = true;
	int skip = 0;

	if (check_input(call, args, e))
		return -1;
	for (size_t i = 0; p && args && i < json_len(args, NULL); i++) {
		AUTO_JSON struct json *item = json_at(args, i);
		const char *arg = json_value(item);

		if (!arg || skip) {
			skip = 0;
		} else if (options && !strcmp(arg, "--")) {
			options = false;
		} else if (options && arg[0] == '-' && arg[1]) {
			int kind = option_of(p, arg);

			if (!kind || (!strncmp(arg, SPEC, 6) && strcmp(arg, SPEC) != 0)) /* nor files of this node */
				return err_set(e, EX_NOPERM, "%s: option %.100s: not for other machines", p->name, arg);
			skip = kind == 2;
		} else if (p->operands == NONE) {
			return err_set(e, EX_NOPERM, "%s: %.100s: not for other machines", p->name, arg);
		} else if (p->operands == SERVICES && check_service(arg, fleet, e)) {
			return -1;
		}
	}
	return 0;
}
