/* SPDX-License-Identifier: MIT */
/* A session of edge-serve, from the caller's end. */
#include "lib/move/serve.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/move/journal.h"
#include "lib/move/wire.h"
#include "tests/unit/peer.h"
#include "tests/unit/tap.h"

static char top[] = "/tmp/serve_test.XXXXXX";
static struct err e;

struct session {
	pid_t pid;
	struct stream *s;
	int raw; /* the same end; the stream's */
};

static void session_open(struct session *k)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		abort();
	k->pid = fork();
	if (!k->pid) {
		struct err why = { 0 };

		dup2(fds[1], 0);
		dup2(fds[1], 1);
		close_range(3, ~0U, 0);
		_exit(serve_session(NULL, &why) ? why.code : 0);
	}
	close(fds[1]);
	k->raw = fds[0];
	k->s = stream_fds(fds[0], fds[0], "node far");
}

static void session_greet(struct session *k)
{
	session_open(k);
	e = (struct err){ 0 };
	if (wire_greet(k->s, &e))
		printf("# %s\n", e.text);
}

/* Its exit status. */
static int session_end(struct session *k)
{
	int status;

	stream_free(k->s);
	waitpid(k->pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static struct json *call(struct session *k, const char *text)
{
	e = (struct err){ 0 };
	return wire_call(k->s, json_parse(text, strlen(text), NULL), &e);
}

static bool refused(struct session *k, const char *text, int code, const char *error)
{
	AUTO_JSON struct json *j = call(k, text);

	if (!j && e.code == code && !strcmp(e.text, error))
		return true;
	printf("# %d %s\n", e.code, e.text);
	return false;
}

static void test_calls(void)
{
	struct session k;

	session_greet(&k);
	ok(!e.text[0], "a session begins with two hellos");
	AUTO_JSON struct json *node = call(&k, "{\"verb\":\"node\"}");
	ok(node && json_has(node, "node.arch"), "the node describes itself");
	ok(refused(&k, "{\"verb\":\"dance\"}", EX_DATAERR, "node far: unknown verb: dance"), "an unknown verb is refused");
	ok(refused(&k, "{}", EX_DATAERR, "node far: a call without a verb"), "... and a call without a verb");
	ok(refused(&k, "{\"verb\":7}", EX_DATAERR, "node far: a call without a verb"), "... or with one that is no word");
	ok(refused(&k, "{\"verb\":\"note\"}", EX_DATAERR, "node far: no move or step in the call"),
	   "... and a note without a step");
	ok(refused(&k, "{\"verb\":\"outcome\",\"move\":\"../x\",\"service\":\"a\",\"id\":\"b\"}", EX_DATAERR,
		   "node far: not the name of a move: ../x"), "... and the outcome of a path");
	wire_send(k.s, FRAME_CALL, "{\"verb\":", 8, NULL, 0, &e);
	AUTO_FRAME struct frame f = { 0 };
	ok(!wire_recv(k.s, &f, &e) && f.kind == FRAME_REPLY && strstr((char *)f.data, "not JSON"),
	   "a call that is no JSON is refused");
	AUTO_JSON struct json *again = call(&k, "{\"verb\":\"node\"}");
	ok(again != NULL, "... and the session goes on");
	is_int(session_end(&k), 0, "it ends with the caller");
}

static bool outcome_is(struct session *k, const char *move, const char *outcome)
{
	char text[128];

	snprintf(text, sizeof(text), "{\"verb\":\"outcome\",\"move\":\"%s\"}", move);
	AUTO_JSON struct json *o = call(k, text);
	return o && json_str(o, "outcome") && !strcmp(json_str(o, "outcome"), outcome);
}

static void test_outcome(void)
{
	AUTO_JSON struct json *head = json_object();
	struct session k;

	json_set_str(head, "role", "destination");
	json_set_str(head, "service", "web");
	session_greet(&k);
	journal_begin("m1", head, &e);
	journal_turn("m1", "begun", "restoring", NULL, &e);
	ok(outcome_is(&k, "m1", "not"), "the outcome of a move that was not committed: it does not run");
	is_int(journal_turn("m1", "restoring", "running", NULL, &e), 1, "... and never will");
	journal_forget("m1", &e);
	journal_begin("m1", head, &e);
	journal_turn("m1", "begun", "running", NULL, &e);
	ok(outcome_is(&k, "m1", "running"), "of one that was");
	ok(outcome_is(&k, "m2", "not"), "of one that nobody knows");
	unlink(file_path("/run/edge/boot"));
	ok(outcome_is(&k, "m1", "died"), "of one that was, before the node was switched off");
	AUTO_JSON struct json *f = call(&k, "{\"verb\":\"forget\",\"move\":\"m1\"}");
	ok(f && !*journal_last("m1"), "the source knows, and it is forgotten");
	session_end(&k);
}

/* ---- moves that do not come to be ---- */

static void test_prepare(void)
{
	struct session k;
	AUTO_FRAME struct frame f = { 0 };

	session_greet(&k);
	ok(refused(&k, "{\"verb\":\"prepare\"}", EX_DATAERR, "node far: checkpoint: id, service or source is missing"),
	   "a move without an id is refused");
	is_int(wire_recv(k.s, &f, &e), -1, "... and is the end of the session");
	is_int(session_end(&k), 0, "... an ordinary one");
	session_greet(&k);
	ok(refused(&k, "{\"verb\":\"prepare\",\"checkpoint\":\"0123456789abcdef0123456789abcdef\",\"from\":\"a\","
		       "\"service\":{\"name\":\"web\"}}", EX_DATAERR, "node far: service web: it has no id"),
	   "a service without an id is refused");
	session_end(&k);
	session_greet(&k);
	ok(refused(&k, "{\"verb\":\"open\",\"checkpoint\":\"0123456789abcdef0123456789abcdef\"}", EX_UNAVAILABLE,
		   "node far: checkpoint 0123456789abcdef0123456789abcdef: not on this node"),
	   "a checkpoint that is not here cannot be opened");
	session_end(&k);
	session_greet(&k);
	ok(refused(&k, "{\"verb\":\"attach\",\"move\":\"0123\"}", EX_UNAVAILABLE, "node far: move 0123: not under way here"),
	   "a move that is not under way cannot be joined");
	ok(refused(&k, "{\"verb\":\"attach\"}", EX_UNAVAILABLE, "node far: move : not under way here"), "... nor can none");
	session_end(&k);
	ok(access(file_path("/var/lib/edge/services"), F_OK) && access(file_path("/var/lib/edge/store"), F_OK),
	   "nothing is left of any of them");
}

/* ---- programs ---- */

static void put_program(const char *name, const char *text)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", top, name);
	file_write(path, text, strlen(text), 0755, &e);
}

/* A session for one program: "R:" records, "N:" notes, and the status. */
static const char *run(const char *text)
{
	static char out[1024];
	const size_t size = sizeof(out);
	AUTO_FRAME struct frame f = { 0 };
	struct session k;

	*out = 0;
	session_greet(&k);
	wire_send(k.s, FRAME_CALL, text, strlen(text), NULL, 0, &e);
	while (!wire_recv(k.s, &f, &e) && f.kind != FRAME_REPLY) {
		size_t n = strlen(out);

		snprintf(out + n, size - n, "%s:%s|", f.kind == FRAME_RECORD ? "R" : "N", (char *)f.data);
	}
	AUTO_JSON struct json *j = f.kind == FRAME_REPLY ? wire_json(&f, NULL) : NULL;
	size_t n = strlen(out);
	snprintf(out + n, size - n, "%lld %s", (long long)json_int(j, "status", -1),
		 j && json_str(j, "error") ? json_str(j, "error") : "");
	if (session_end(&k))
		strcat(out, " (the session failed)");
	return out;
}

static void test_programs(void)
{
	put_program("edge-run", "#!/bin/sh\nfor a; do echo \"$a\"; done\nexit 3\n");
	put_program("edge-stop", "#!/bin/sh\nread x || echo nothing; printf late >&2; exit 0\n");
	put_program("edge-ship", "#!/bin/sh\nkill -KILL $$\n");
	is_str(run("{\"verb\":\"run\",\"program\":\"edge-run\",\"args\":[\"a b\",\"$(id)\",\"\"]}"),
	       "R:a b|R:$(id)|R:|3 ", "a program gets its arguments as they are, and its status comes back");
	is_str(run("{\"verb\":\"run\",\"program\":\"edge-stop\"}"),
	       "R:nothing|N:late|0 ", "it has no input, and a last line without its newline arrives");
	is_str(run("{\"verb\":\"run\",\"program\":\"edge-ship\",\"args\":[]}"),
	       "70 ", "one that is killed has failed");
	is_str(run("{\"verb\":\"run\",\"program\":\"sh\",\"args\":[\"-c\",\"id\"]}"),
	       "-1 sh: not a program that may be run from elsewhere", "no other program is run");
	is_str(run("{\"verb\":\"run\",\"program\":\"../edge-run\"}"),
	       "-1 ../edge-run: not a program that may be run from elsewhere", "... by whatever path");
	is_str(run("{\"verb\":\"run\"}"),
	       "-1 nothing: not a program that may be run from elsewhere", "... nor none");
	is_str(run("{\"verb\":\"run\",\"program\":\"edge-run\",\"args\":[\"a\",7]}"),
	       "-1 edge-run: an argument is not a string", "arguments are strings");
	char many[4096] = "{\"verb\":\"run\",\"program\":\"edge-run\",\"args\":[\"\"";
	for (int i = 0; i < 256; i++)
		strcat(many, ",\"\"");
	strcat(many, "]}");
	is_str(run(many),
	       "-1 edge-run: too many arguments", "... and not too many");
	is_str(run("{\"verb\":\"run\",\"program\":\"edge-restore\"}"),
	       "N:edge-serve: edge-restore: No such file or directory|69 ", "a program that is not there");
}

/* ---- callers that are none ---- */

static int raw_session(const void *data, size_t n, bool greet)
{
	struct session k;

	if (greet)
		session_greet(&k);
	else
		session_open(&k);
	send(k.raw, data, n, MSG_NOSIGNAL);
	shutdown(k.raw, SHUT_WR);
	waitid(P_PID, (id_t)k.pid, &(siginfo_t){ 0 }, WEXITED | WNOWAIT);
	return session_end(&k);
}

static void test_strangers(void)
{
	static const char other[] = "\x0d\0\0\0\x1{\"version\":2}", sentence[] = "GET / HTTP/1.1\r\n\r\n";

	is_int(raw_session(other, sizeof(other) - 1, false), EX_UNAVAILABLE, "another version ends the session");
	is_int(raw_session(sentence, sizeof(sentence) - 1, false), EX_DATAERR, "so does another protocol");
	is_int(raw_session("", 0, false), EX_UNAVAILABLE, "so does a caller that says nothing");
	uint8_t head[WIRE_HEAD + 7];
	const uint64_t at = WIRE_HEAD_BARE + sizeof("{\"version\":4}") - 1; /* behind the hello */
	is_int(raw_session("\xff\xff\xff\xff\x2", 5, true), EX_DATAERR, "a frame that is too long");
	is_int(raw_session("\0\0\0\0\x63", 5, true), EX_DATAERR, "a frame of an unknown kind");
	is_int(raw_session(head, wire_head(head, at, 0, FRAME_SYNC, NULL, 0, NULL, 0), true), EX_DATAERR, "a frame that is no call");
	memcpy(head + wire_head(head, at, 0x40, FRAME_CALL, NULL, 0, NULL, 0), "{\"verb\"", 7);
	is_int(raw_session(head, sizeof(head), true), 0, "a caller that goes in the middle of a call");
	is_int(raw_session("\x40", 1, true), 0, "... or of a head");
}

int main(void)
{
	char path[PATH_MAX];

	if (geteuid()) {
		skip("sessions of edge-serve", "needs root");
		return done();
	}
	if (!mkdtemp(top))
		return 70;
	setenv("EDGE_ROOT", top, 1);
	snprintf(path, sizeof(path), "%s:/usr/bin:/bin", top);
	setenv("PATH", path, 1);
	test_calls();
	test_outcome();
	test_prepare();
	test_programs();
	test_strangers();
	file_remove_tree(top, NULL);
	return done();
}
