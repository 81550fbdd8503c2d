/* SPDX-License-Identifier: MIT */
#include "lib/base/json_query.h"

#include <jq.h>
#include <string.h>

#include "lib/base/json_int.h"

struct json_query {
	jq_state *jq;
	char said[256]; /* the first line that jq has complained with */
};

/* "jq: error: x/0 is not defined at <top-level>, line 1:" becomes "x/0 is not defined". */
static void hear(void *ctx, jv message)
{
	struct json_query *q = ctx;
	const char *text, *begin = "jq: error";
	char *at;

	message = jq_format_error(message);
	text = jv_string_value(message);
	if (!q->said[0]) {
		if (!strncmp(text, begin, strlen(begin)))
			text += strlen(begin) + strspn(text + strlen(begin), ": ");
		snprintf(q->said, sizeof(q->said), "%.*s", (int)strcspn(text, "\n"), text);
		at = strstr(q->said, " at <top-level>");
		if (at)
			*at = '\0';
	}
	jv_free(message);
}

struct json_query *json_query_new(const char *program, struct err *e)
{
	struct json_query *q = calloc(1, sizeof(*q));

	if (q)
		q->jq = jq_init();
	if (!q || !q->jq)
		abort();
	jq_set_error_cb(q->jq, hear, q);
	if (jq_compile(q->jq, program))
		return q;
	err_set(e, EX_USAGE, "not a jq program: %s", q->said);
	json_query_free(q);
	return NULL;
}

void json_query_free(struct json_query *q)
{
	if (!q)
		return;
	jq_teardown(&q->jq);
	free(q);
}

int json_query_run(struct json_query *q, const struct json *input, struct json **out, struct err *e)
{
	jv v, message;

	*out = NULL;
	q->said[0] = '\0';
	jq_start(q->jq, jv_copy(input->v), 0);
	v = jq_next(q->jq);
	if (jv_is_valid(v)) {
		*out = json_wrap(v);
		return 0;
	}
	message = jv_invalid_get_msg(v);
	if (jv_get_kind(message) == JV_KIND_NULL && !jq_halted(q->jq)) { /* it gives nothing */
		jv_free(message);
		return 0;
	}
	if (jv_get_kind(message) != JV_KIND_STRING)
		message = jv_dump_string(message, 0);
	err_set(e, EX_DATAERR, "jq: %s", jv_string_value(message));
	jv_free(message);
	return -1;
}
