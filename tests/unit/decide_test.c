/* SPDX-License-Identifier: MIT */
#include "lib/move/decide.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/discover/registry.h"
#include "tests/unit/tap.h"

#define MOVE "00112233445566778899aabbccddeeff"
#define RACES 40

static void test_first(void)
{
	is_int(decided(MOVE), DECIDED_NOT, "nobody has taken a move at first");
	is_int(decide(MOVE, DECIDED_RUNNING), DECIDED_RUNNING, "the destination takes it");
	is_int(decide(MOVE, DECIDED_THAWED), DECIDED_RUNNING, "... and then the source does not");
	is_int(decide(MOVE, DECIDED_RUNNING), DECIDED_RUNNING, "twice is once");
	is_int(decided(MOVE), DECIDED_RUNNING, "anybody sees it");
	decide_forget(MOVE);
	is_int(decide(MOVE, DECIDED_THAWED), DECIDED_THAWED, "the source takes one that nobody has");
	is_int(decide(MOVE, DECIDED_RUNNING), DECIDED_THAWED, "... and then the destination does not");
	decide_forget(MOVE);
	is_int(decided(MOVE), DECIDED_NOT, "it is forgotten");
	decide_forget(MOVE);
}

/* By who has made it ready while there was time. */
static void test_ready(void)
{
	AUTO_REGISTRY struct registry *r = decide_ready(MOVE, DECIDED_RUNNING);

	is_int(decided(MOVE), DECIDED_NOT, "what is ready is not yet taken");
	is_int(decide_in(r, MOVE, DECIDED_RUNNING), DECIDED_RUNNING, "... and then it is");
	is_int(decided(MOVE), DECIDED_RUNNING, "... for all to see");
	is_int(decide_in(r, MOVE, DECIDED_RUNNING), DECIDED_RUNNING, "... once");
	decide_forget(MOVE);
	is_int(decide_in(r, MOVE, DECIDED_RUNNING), DECIDED_RUNNING, "what was used up is no hindrance");
	decide_forget(MOVE);
	registry_close(TAKE_PTR(r));
	r = decide_ready(MOVE, DECIDED_RUNNING);
	is_int(decide(MOVE, DECIDED_THAWED), DECIDED_THAWED, "somebody is faster");
	is_int(decide_in(r, MOVE, DECIDED_RUNNING), DECIDED_THAWED, "... and stays the one who has it");
	decide_forget(MOVE);
	is_int(decide_in(NULL, MOVE, DECIDED_RUNNING), DECIDED_UNKNOWN, "where no registry is shared nothing is known");
}

/* Both at once, as two processes: they say the same. */
static void test_race(void)
{
	int differ = 0;
	double start = clock_ms();

	for (int i = 0; i < RACES; i++) {
		int status = 0;
		pid_t pid = fork();

		if (!pid)
			_exit(decide(MOVE, DECIDED_RUNNING));
		int ours = decide(MOVE, DECIDED_THAWED);
		waitpid(pid, &status, 0);
		differ += ours < DECIDED_RUNNING || WEXITSTATUS(status) != ours;
		decide_forget(MOVE);
	}
	is_int(differ, 0, "both ends at once: both hear the same");
	printf("# a decision and its removal: %.2f ms\n", (clock_ms() - start) / RACES);
}

static void test_time(void)
{
	double start = clock_ms();

	for (int i = 0; i < RACES; i++) {
		char move[40];

		snprintf(move, sizeof(move), "t%d", i);
		decide(move, DECIDED_RUNNING);
	}
	printf("# a decision: %.2f ms\n", (clock_ms() - start) / RACES);
	double taken = 0;
	for (int i = 0; i < RACES; i++) {
		char move[40];

		snprintf(move, sizeof(move), "r%d", i);
		AUTO_REGISTRY struct registry *r = decide_ready(move, DECIDED_RUNNING);
		start = clock_ms();
		decide_in(r, move, DECIDED_RUNNING);
		taken += clock_ms() - start;
	}
	printf("# ... that was ready: %.2f ms\n", taken / RACES);
}

static void test_none(void)
{
	unsetenv("EDGE_REGISTRY");
	is_int(decide(MOVE, DECIDED_RUNNING), DECIDED_UNKNOWN, "a registry of this node alone decides nothing");
	is_int(decided(MOVE), DECIDED_UNKNOWN, "... and knows nothing");
	decide_forget(MOVE);
	setenv("EDGE_REGISTRY", "etcd://127.0.0.1:1/none", 1);
	is_int(decide(MOVE, DECIDED_RUNNING), DECIDED_UNKNOWN, "nor does one that cannot be asked");
}

int main(void)
{
	char top[] = "/tmp/decide_test.XXXXXX", url[64];

	if (!mkdtemp(top))
		return 1;
	snprintf(url, sizeof(url), "dir:%s", top);
	setenv("EDGE_REGISTRY", url, 1);
	test_first();
	test_ready();
	test_race();
	test_time();
	test_none();
	file_remove_tree(top, NULL);
	return done();
}
