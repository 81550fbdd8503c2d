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
	AUTO_JOURNAL struct journal *j = NULL, *again = NULL;
	AUTO_FREE char *text = NULL;
	struct stat st;

	is_str(journal_last("m1"), "", "a move that is not in the journal has no step");
	is_int(journal_open(&j, "m1", &e), -1, "... and cannot be continued");
	is_str(e.text, "move m1: not in the journal", "... which is said");
	is_int(e.code, EX_UNAVAILABLE, "... as unavailable");
	json_set_str(head, "role", "source");
	is_int(journal_begin(&j, "m1", head, &e), 0, "a move begins");
	is_str(journal_last("m1"), "begun", "... which is its first step");
	ok(!stat(path_of("m1"), &st) && (st.st_mode & 07777) == 0600, "its file is for root alone");
	is_int(journal_step(j, "frozen", &e), 0, "a step");
	is_int(journal_open(&again, "m1", &e) || journal_step(again, "go", &e), 0, "another process continues");
	is_int(journal_step(j, "handed-over", &e), 0, "... and the first, too");
	is_str(journal_last("m1"), "handed-over", "the last step is the last");
	text = file_slurp(path_of("m1"), NULL, &e);
	AUTO_JSON struct json *first = json_parse(text, strcspn(text, "\n"), &e);
	ok(first && !strcmp(json_str(first, "role"), "source") && strlen(json_str(first, "at")) == 20,
	   "the first line tells what the move is, and when");
	is_int(journal_end(j, &e), 0, "the move is over");
	is_str(journal_last("m1"), "", "... and gone");
	is_int(journal_end(j, &e), -1, "... once");
}

static void test_cut_off(void)
{
	AUTO_JSON struct json *head = json_object();
	AUTO_JOURNAL struct journal *j = NULL, *again = NULL;

	journal_begin(&j, "m2", head, &e);
	journal_step(j, "restoring", &e);
	append("m2", "{\"step\":\"runn");
	is_str(journal_last("m2"), "restoring", "a step that was cut off is none");
	journal_open(&again, "m2", &e);
	is_int(journal_step(again, "failed", &e), 0, "the next one after it");
	is_str(journal_last("m2"), "failed", "... is not swallowed by it");
	append("m2", "{\"step\":\"running\"}");
	is_str(journal_last("m2"), "failed", "... also when only the end of its line is missing");
	append("m2", "\n");
	is_str(journal_last("m2"), "running", "... which makes it one");
	append("m2", "garbage\n[]\n{\"step\":7}\n");
	is_str(journal_last("m2"), "running", "lines that are no steps are passed over");
}

/* The disk is full, or rather the file may not grow. */
static void test_full(void)
{
	AUTO_JSON struct json *head = json_object();
	AUTO_JOURNAL struct journal *j = NULL;
	struct stat st;
	int status;

	journal_begin(&j, "m3", head, &e);
	stat(path_of("m3"), &st);
	pid_t pid = fork();
	if (!pid) {
		setrlimit(RLIMIT_FSIZE, &(struct rlimit){ (rlim_t)st.st_size + 10, (rlim_t)st.st_size + 10 });
		signal(SIGXFSZ, SIG_IGN);
		_exit(journal_step(j, "running", &e) == -1 && strstr(e.text, "journal/m3: File too large") ? 7 : 1);
	}
	waitpid(pid, &status, 0);
	ok(WIFEXITED(status) && WEXITSTATUS(status) == 7, "a step that cannot be written is an error");
	is_str(journal_last("m3"), "begun", "... and no step");
	is_int(journal_step(j, "failed", &e), 0, "the next one");
	is_str(journal_last("m3"), "failed", "... is whole");
}

static void test_names(void)
{
	AUTO_JSON struct json *head = json_object();
	AUTO_JOURNAL struct journal *j = NULL;

	is_int(journal_begin(&j, "../x", head, &e), -1, "a name that leads out of the journal is refused");
	is_str(e.text, "not the name of a move: ../x", "... by name");
	is_int(journal_begin(&j, "", head, &e), -1, "no name");
	is_int(journal_open(&j, ".", &e), -1, "a dot");
	file_write(file_path("/var/lib/edge/x"), "{\"step\":\"running\"}\n", 19, 0600, &e);
	is_str(journal_last("../x"), "", "nor is such a name read");
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
	file_remove_tree(top, NULL);
	return done();
}
