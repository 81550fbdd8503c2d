/* SPDX-License-Identifier: MIT */
#include "lib/move/journal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "tests/unit/tap.h"

static char top[] = "/tmp/journal_test.XXXXXX";
static struct err e;

static const char *path_of(const char *move)
{
	return file_path("/var/lib/edge/journal/%s", move);
}

static void append(const char *move, const char *text)
{
	AUTO_FD int fd = open(path_of(move), O_WRONLY | O_APPEND | O_CLOEXEC);

	(void)!write(fd, text, strlen(text));
}

static void test_life(void)
{
	AUTO_JSON struct json *head = json_object();
	AUTO_FREE char *text = NULL;
	struct stat st;

	is_str(journal_last("m1"), "", "a move that is not in the journal has no step");
	is_int(journal_turn("m1", "begun", "frozen", NULL, &e), -1, "... and cannot be continued");
	is_str(e.text, "move m1: not in the journal", "... which is said");
	is_int(e.code, EX_UNAVAILABLE, "... as unavailable");
	json_set_str(head, "role", "source");
	is_int(journal_begin("m1", head, &e), 0, "a move begins");
	is_str(journal_last("m1"), "begun", "... which is its first step");
	is_int(journal_begin("m1", head, &e), -1, "... and does so once");
	is_int(e.code, EX_TEMPFAIL, "... until it is over");
	ok(!stat(path_of("m1"), &st) && (st.st_mode & 07777) == 0600, "its file is for root alone");
	is_int(journal_turn("m1", "begun", "frozen", NULL, &e), 0, "a step");
	is_int(journal_turn("m1", "begun", "thawed", NULL, &e), 1, "one that is late does not get its own");
	is_int(journal_turn("m1", "begun frozen", "go", NULL, &e), 0, "the next one");
	is_int(journal_turn("m1", "go", "handed-over", NULL, &e), 0, "... and the last");
	is_str(journal_last("m1"), "handed-over", "the last step is the last");
	text = file_slurp(path_of("m1"), NULL, &e);
	AUTO_JSON struct json *first = json_parse(text, strcspn(text, "\n"), &e);
	ok(first && !strcmp(json_str(first, "role"), "source") && strlen(json_str(first, "at")) == 20,
	   "the first line tells what the move is, and when");
	is_int(journal_forget("m1", &e), 0, "the move is over");
	is_str(journal_last("m1"), "", "... and gone");
	is_int(journal_forget("m1", &e), 0, "... also a second time");
}

static void test_cut_off(void)
{
	AUTO_JSON struct json *head = json_object();

	journal_begin("m2", head, &e);
	journal_turn("m2", "begun", "restoring", NULL, &e);
	append("m2", "{\"step\":\"runn");
	is_str(journal_last("m2"), "restoring", "a step that was cut off is none");
	is_int(journal_turn("m2", "restoring", "failed", NULL, &e), 0, "the next one after it");
	is_str(journal_last("m2"), "failed", "... is not swallowed by it");
	append("m2", "{\"step\":\"running\"}");
	is_str(journal_last("m2"), "failed", "... also when only the end of its line is missing");
	append("m2", "\n");
	is_str(journal_last("m2"), "running", "... which makes it one");
	append("m2", "garbage\n[]\n{\"step\":7}\n");
	is_str(journal_last("m2"), "running", "lines that are no steps are passed over");
}

/* The disk is full, or rather the file may not grow, and what was reserved is used up. */
static void test_full(void)
{
	AUTO_JSON struct json *head = json_object();
	struct stat st;
	int status;

	journal_begin("m3", head, &e);
	ok(!stat(path_of("m3"), &st) && st.st_size == 4096, "room for some steps is there from the beginning");
	for (rlim_t size = (rlim_t)st.st_size; journal_turn("m3", "begun", "begun", NULL, &e) == 0 && !stat(path_of("m3"), &st) &&
	     (rlim_t)st.st_size == size;)
		;
	journal_turn("m3", "begun", "go", NULL, &e);
	stat(path_of("m3"), &st);
	pid_t pid = fork();
	if (!pid) {
		setrlimit(RLIMIT_FSIZE, &(struct rlimit){ (rlim_t)st.st_size + 10, (rlim_t)st.st_size + 10 });
		signal(SIGXFSZ, SIG_IGN);
		_exit(journal_turn("m3", "go", "thawed", NULL, &e) == -1 && strstr(e.text, "journal/m3: File too large") ? 7 : 1);
	}
	waitpid(pid, &status, 0);
	ok(WIFEXITED(status) && WEXITSTATUS(status) == 7, "a step that cannot be written is an error");
	is_str(journal_last("m3"), "go", "... and no step, and the one before it holds");
	is_int(journal_turn("m3", "go", "failed", NULL, &e), 0, "the next one");
	is_str(journal_last("m3"), "failed", "... is whole");
}

static void test_names(void)
{
	AUTO_JSON struct json *head = json_object();

	is_int(journal_begin("../x", head, &e), -1, "a name that leads out of the journal is refused");
	is_str(e.text, "not the name of a move: ../x", "... by name");
	is_int(journal_begin("", head, &e), -1, "no name");
	is_int(journal_turn(".", "begun", "frozen", NULL, &e), -1, "a dot");
	file_write(file_path("/var/lib/edge/x"), "{\"step\":\"running\"}\n", 19, 0600, &e);
	is_str(journal_last("../x"), "", "nor is such a name read");
}

static void test_entries(void)
{
	AUTO_JSON struct json *head = json_object();
	AUTO_FREE struct journal_entry *list = NULL;
	struct journal_entry one;
	size_t n;
	char move[64];

	file_remove_tree(file_path("/var/lib/edge/journal"), NULL);
	is_int(journal_entries(&list, &n, &e) || n, 0, "a node without a journal has no moves");
	json_set_str(head, "role", "source");
	json_set_str(head, "service", "web");
	json_set_str(head, "id", "c0ffee");
	json_set_str(head, "to", "edge2");
	journal_begin("m4", head, &e);
	journal_turn("m4", "begun", "frozen", NULL, &e);
	is_int(journal_entry("m4", &one, &e), 0, "a move as a whole");
	is_str(one.step, "frozen", "... its step");
	is_str(one.service, "web", "... its service");
	is_str(one.peer, "edge2", "... the other node");
	ok(one.same_boot, "... of this time of the node");
	ok(journal_find("source", "c0ffee", move) && !strcmp(move, "m4"), "it is found by its instance");
	ok(!journal_find("destination", "c0ffee", move), "... and by its role");
	json_set_str(head, "role", "destination");
	json_set_str(head, "from", "edge3");
	json_set_str(head, "was_here", "yes");
	journal_begin("m5", head, &e);
	append("m6", "{\"step\":\"beg");
	is_int(journal_entries(&list, &n, &e) || n != 2, 0, "one whose first line was cut off is no move");
	is_str(list[1].peer, "edge3", "the other node of a destination is the source");
	ok(list[1].was_here && !list[0].was_here, "what it found here is kept");
	unlink(file_path("/run/edge/boot"));
	ok(!journal_entry("m4", &one, &e) && !one.same_boot, "after the node was switched off the move is of another time");
}

int main(void)
{
	if (!mkdtemp(top))
		return 70;
	setenv("EDGE_ROOT", top, 1);
	test_life();
	test_cut_off();
	test_full();
	test_names();
	test_entries();
	file_remove_tree(top, NULL);
	return done();
}
