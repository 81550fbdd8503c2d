/* SPDX-License-Identifier: MIT */
/* Who decides what becomes of a held checkpoint: one line of the journal, whoever writes it first. */
#include "lib/move/hold.h"

#include <stdlib.h>
#include <sys/wait.h>

#include "lib/base/file.h"
#include "lib/move/journal.h"
#include "tests/unit/tap.h"

static char top[] = "/tmp/hold_test.XXXXXX";
static struct err e;

static void begin(const char *move)
{
	AUTO_JSON struct json *head = json_object();

	ok(!journal_begin(move, head, &e) && !journal_turn(move, "begun", "frozen", NULL, &e), "a service is frozen");
}

static void test_turn(void)
{
	AUTO_JSON struct json *more = json_object();
	AUTO_FREE char *to = NULL;

	is_int(journal_turn("t", "frozen", "shipped", NULL, &e), -1, "no turn without a journal");
	is_int(e.code, EX_UNAVAILABLE, "... which is unavailable");
	begin("t");
	json_set_str(more, "to", "edge2");
	is_int(journal_turn("t", "frozen shipped", "shipped", more, &e), 0, "a turn from one of the steps");
	is_str(journal_last("t"), "shipped", "... is the last step");
	to = journal_member("t", "to");
	is_str(to, "edge2", "... with its members");
	is_int(journal_turn("t", "frozen", "thawed", NULL, &e), 1, "no turn from another step");
	is_int(journal_turn("t", "shippe ship hipped shippedx", "thawed", NULL, &e), 1, "... nor from a part of its name");
	is_str(journal_last("t"), "shipped", "... and nothing was written");
	is_int(journal_turn("../t", "shipped", "thawed", NULL, &e), -1, "no turn elsewhere");
}

static void test_notes(void)
{
	begin("n");
	is_int(hold_note("n", "handed-over", NULL, &e), -1, "nothing is handed over without go");
	is_int(hold_note("n", "failed", NULL, &e), -1, "... and nothing fails");
	is_int(hold_note("n", "thawed", NULL, &e), -1, "only the holder thaws");
	is_int(e.code, EX_DATAERR, "... and says so");
	is_int(hold_note("n", "go", "edge3", &e), 0, "go");
	AUTO_FREE char *to = journal_member("n", "to");
	is_str(to, "edge3", "... to a node that can be asked");
	is_int(hold_note("n", "go", NULL, &e), -1, "... once");
	is_str(e.text, "checkpoint n: its holder does not wait for it any more", "... with the reason");
	is_int(hold_note("n", "refused", NULL, &e), -1, "what was said go to is not refused");
	is_int(hold_note("n", "handed-over", NULL, &e), 0, "but handed over");
	begin("r");
	is_int(hold_note("r", "refused", NULL, &e), 0, "refused");
	is_int(hold_note("r", "go", NULL, &e), -1, "... is not restored any more");
	is_int(hold_note("gone", "go", NULL, &e), -1, "nor is what nobody holds");
	is_str(e.text, "checkpoint gone: its holder does not wait for it any more", "... with the same reason");
}

/* Many at once: one of them has it. */
static void test_race(void)
{
	int won = 0, status;

	begin("race");
	fflush(stdout);
	for (int i = 0; i < 16; i++)
		if (!fork())
			_exit(i % 2 ? hold_note("race", "go", NULL, NULL) != 0
				    : journal_turn("race", "frozen shipped", "thawed", NULL, NULL) != 0);
	while (wait(&status) > 0)
		won += WIFEXITED(status) && !WEXITSTATUS(status);
	is_int(won, 1, "of many who decide at once, one has decided");
}

int main(void)
{
	if (!mkdtemp(top) || setenv("EDGE_ROOT", top, 1))
		return 1;
	test_turn();
	test_notes();
	test_race();
	file_remove_tree(top, NULL);
	return done();
}
