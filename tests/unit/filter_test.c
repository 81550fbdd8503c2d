/* SPDX-License-Identifier: MIT */
#include "lib/move/filter.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/unit/tap.h"

static const char *const kinds[] = { "checkpoint", NULL };
static char told[256];
static int calls;

static void tell(const struct err *why)
{
	snprintf(told, sizeof(told), "%s", why->text);
}

/* "no": fails; "said": fails, and has said so; else it becomes a shipment. */
static int convert(const struct json *rec, void *ctx, struct json **out, struct err *e)
{
	const char *id = json_str(rec, "id");

	(void)ctx;
	calls++;
	if (id && !strcmp(id, "no"))
		return err_set(e, EX_UNAVAILABLE, "no");
	if (id && !strcmp(id, "said"))
		return 1;
	*out = json_object();
	json_set_str(*out, "kind", "shipment");
	return 0;
}

/* Runs the text through; what comes out (the caller frees it). */
static char *through(const char *text, int *failed, int *rc, struct err *e)
{
	char *out = NULL;
	size_t n = 0;
	int fds[2];

	*failed = 0;
	*told = 0;
	if (pipe(fds) || write(fds[1], text, strlen(text)) < 0)
		abort();
	close(fds[1]);
	FILE *in = fdopen(fds[0], "r"), *to = open_memstream(&out, &n);
	*rc = filter_records(in, to, kinds, convert, NULL, tell, failed, e);
	fclose(in);
	fclose(to);
	return out;
}

static void test_order(void)
{
	struct err e = { 0 };
	int failed, rc;
	char *out = through("{\"kind\":\"node\",  \"x\":1}\n{\"kind\":\"checkpoint\",\"id\":\"a\"}\n\n"
			    "{\"kind\":\"checkpoint\",\"id\":\"no\"}\n{\"kind\":\"checkpoint\",\"id\":\"said\"}\n[1]\n",
			    &failed, &rc, &e);

	is_str(out, "{\"kind\":\"node\",  \"x\":1}\n{\"kind\":\"shipment\"}\n", "records pass in order, some converted");
	is_int(failed, 2, "those that fail are counted");
	is_str(told, "no", "one is told, the other was told before");
	is_int(rc, -1, "what is no record ends it");
	is_str(e.text, "stdin: line 6: not a JSON object", "... with its line");
	free(out);
}

static void test_lost_reader(void)
{
	struct err e = { 0 };
	int in[2], out[2], failed = 0;

	if (pipe(in) || pipe(out))
		abort();
	close(out[0]);
	FILE *f = fdopen(in[0], "r"), *to = fdopen(out[1], "w");
	is_int(filter_records(f, to, kinds, convert, NULL, tell, &failed, &e), -1,
	       "a filter ends when nobody reads its output, although nothing comes");
	is_str(e.text, "cannot write: Broken pipe", "... and says so");
	is_int(e.code, EX_IOERR, "... as a failed output");
	fclose(f);
	fclose(to);
	close(in[1]);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	test_order();
	test_lost_reader();
	return done();
}
