/* SPDX-License-Identifier: MIT */
#include "lib/move/filter.h"

#include <string.h>

static bool wanted(const struct json *rec, const char *const kinds[])
{
	const char *kind = json_str(rec, "kind");

	for (int i = 0; kind && kinds[i]; i++)
		if (!strcmp(kind, kinds[i]))
			return true;
	return false;
}

int filter_records(FILE *in, FILE *out, const char *const kinds[], filter_fn *fn, void *ctx,
		   void (*tell)(const struct err *), int *failed, struct err *e)
{
	AUTO_RECORDS struct records *r = records_open(in, "stdin");
	int rc;

	for (;;) {
		AUTO_JSON struct json *rec = NULL, *made = NULL;
		struct err why = { 0 };

		if ((rc = records_next(r, &rec, e)) <= 0)
			return rc;
		if (!wanted(rec, kinds)) {
			if (record_pass(out, records_line(r), e))
				return -1;
		} else if (fn(rec, ctx, &made, &why)) {
			tell(&why);
			++*failed;
		} else if (record_print(out, made, e)) {
			return -1;
		}
	}
}
