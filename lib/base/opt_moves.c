/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "lib/base/json.h"
#include "lib/base/opt.h"

static bool wanted(const struct json *rec, const char *const actions[])
{
	const char *kind = json_str(rec, "kind"), *action = json_str(rec, "action");

	if (!kind || !action || strcmp(kind, "move"))
		return false;
	for (; *actions; actions++)
		if (!strcmp(action, *actions))
			return true;
	return false;
}

int cmd_moves(const struct cmd *c, const char *const actions[], int (*act)(const struct json *rec))
{
	return cmd_moves_seeing(c, actions, act, NULL);
}

int cmd_moves_seeing(const struct cmd *c, const char *const actions[], int (*act)(const struct json *rec),
		     void (*see)(const struct json *rec))
{
	AUTO_RECORDS struct records *in = records_open(stdin, "stdin");
	int status = 0, rc;
	struct err e;

	for (;;) {
		AUTO_JSON struct json *rec = NULL;

		if ((rc = records_next(in, &rec, &e)) <= 0)
			break;
		if (!wanted(rec, actions)) {
			if (see)
				see(rec);
			if (record_pass(stdout, records_line(in), &e))
				return cmd_fail(c, &e);
		} else if (act(rec)) {
			status = EX_NO;
		}
	}
	return rc < 0 ? cmd_fail(c, &e) : cmd_done(c, status);
}
