/* SPDX-License-Identifier: MIT */
/* Bulk streams that other processes hand over to the one that has the move. */
#include "lib/move/bulk.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/move/pages.h"
#include "tests/unit/peer.h"
#include "tests/unit/tap.h"

#define MOVE "0123456789abcdef0123456789abcdef"
#define PAGES 64

static char top[] = "/tmp/bulk_test.XXXXXX";
static struct err e;

/* A process that attaches its stdin and stdout, the far end of *s, when it is told to. */
struct attacher {
	pid_t pid;
	int go;
	struct stream *s;
};

static void attacher_start(struct attacher *a, const char *move)
{
	int go[2], fds[2];
	char byte;

	if (pipe2(go, O_CLOEXEC) || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		abort();
	a->pid = fork();
	if (!a->pid) {
		struct err why = { 0 };

		close(go[1]);
		dup2(fds[1], 0);
		dup2(fds[1], 1);
		close(fds[0]);
		close(fds[1]);
		if (read(go[0], &byte, 1) != 1)
			_exit(99);
		_exit(bulk_attach(NULL, move, &why) ? why.code : 0);
	}
	close(go[0]);
	close(fds[1]);
	a->go = go[1];
	a->s = stream_fds(fds[0], fds[0], "node far");
}

static void attacher_go(struct attacher *a)
{
	AUTO_FRAME struct frame f = { 0 };

	(void)!write(a->go, "x", 1);
	close(a->go);
	e = (struct err){ 0 };
	wire_expect(a->s, FRAME_REPLY, &f, &e);
}

static int attacher_end(struct attacher *a)
{
	int status;

	stream_free(a->s);
	waitpid(a->pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void receive(void *im, struct stream *s)
{
	receiver_run(s, im, NULL);
}

static void test_pages(void)
{
	static uint8_t memory[PAGES * PAGE_BYTES];
	struct attacher a[2];
	AUTO_IMAGE struct image *from = NULL, *to = NULL;
	struct bulk *b = NULL;
	struct sender *s = NULL;
	struct pages_stats st = { 0 };
	uint8_t got[PAGE_BYTES];

	for (size_t i = 0; i < sizeof(memory); i++)
		memory[i] = (uint8_t)(i * 7 + i / 4096);
	for (int i = 0; i < 2; i++)
		attacher_start(&a[i], MOVE);
	image_open(&from, file_path("/from"), &e);
	image_open(&to, file_path("/to"), &e);
	is_int(bulk_listen(&b, MOVE, receive, to, &e), 0, "a move listens");
	for (int i = 0; i < 2; i++)
		attacher_go(&a[i]);
	ok(!e.text[0], "streams are attached, and answer");
	struct page_run run[2] = { { 1, 0, (uintptr_t)memory, 0, PAGES / 2, false },
				   { 1, PAGES / 2 * PAGE_BYTES, (uintptr_t)memory + sizeof(memory) / 2, 0, PAGES / 2, false } };
	struct page_runs runs = { .run = run, .n = 2, .pages = PAGES };
	is_int(sender_new(&s, from, (struct stream *const[]){ a[0].s, a[1].s }, 2, &e), 0, "pages are sent");
	is_int(sender_round(s, &runs, true, false, &st, &e), 0, "... over both");
	bool same = true;
	for (unsigned i = 0; i < PAGES; i++)
		same &= !image_read(to, 1, i * PAGE_BYTES, got) && !memcmp(got, memory + i * PAGE_BYTES, PAGE_BYTES);
	ok(same, "... into one image");
	sender_free(s);
	bulk_free(b);
	ok(access(file_path("/run/edge/move-%s", MOVE), F_OK) != 0, "no socket is left when it ends");
	is_int(wire_send(a[0].s, FRAME_SYNC, NULL, 0, NULL, 0, &e), -1, "... and the streams are closed");
	is_int(attacher_end(&a[0]) | attacher_end(&a[1]), 0, "... and the processes that attached them end");
}

static void test_unknown(void)
{
	struct attacher a;

	attacher_start(&a, "fedcba98");
	attacher_go(&a);
	is_int(attacher_end(&a), EX_UNAVAILABLE, "a move that is not under way cannot be joined");
	is_int(bulk_attach(NULL, "../x", &e), -1, "nor one whose name is a path");
	is_int(e.code, EX_DATAERR, "... which is bad input");
}

static int connect_to(const char *move)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(at.sun_path, sizeof(at.sun_path), "%s", file_path("/run/edge/move-%s", move));
	if (connect(sock, (struct sockaddr *)&at, sizeof(at)))
		abort();
	return sock;
}

static void send_one_fd(int sock)
{
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .h = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct iovec io = { "x", 1 };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	int fd = 2;

	memcpy(CMSG_DATA(&control.h), &fd, sizeof(fd));
	sendmsg(sock, &m, MSG_NOSIGNAL);
}

/* Those that connect and do not hand over what they should. */
static void test_wrong(void)
{
	AUTO_IMAGE struct image *im = NULL;
	struct bulk *b = NULL, *none = NULL;
	struct attacher a;
	int sock;

	attacher_start(&a, MOVE);
	image_open(&im, file_path("/to"), &e);
	bulk_listen(&b, MOVE, receive, im, &e);
	close(connect_to(MOVE));
	sock = connect_to(MOVE);
	(void)!write(sock, "x", 1);
	close(sock);
	sock = connect_to(MOVE);
	send_one_fd(sock);
	close(sock);
	attacher_go(&a);
	ok(!e.text[0], "a stream is attached, whoever came before it");
	sock = connect_to(MOVE); /* and says nothing */
	kill(a.pid, SIGKILL);
	double t = clock_ms();
	bulk_free(b);
	ok(clock_ms() - t < 8000, "the end comes though one says nothing");
	close(sock);
	is_int(attacher_end(&a), -1, "... and one was killed");
	bulk_free(NULL);
	setenv("EDGE_ROOT", "/dev/null", 1);
	is_int(bulk_listen(&none, MOVE, receive, im, &e), -1, "no folder, no socket");
	setenv("EDGE_ROOT", top, 1);
}

int main(void)
{
	int before;

	if (!mkdtemp(top))
		return 70;
	setenv("EDGE_ROOT", top, 1);
	before = open_files();
	test_pages();
	test_unknown();
	test_wrong();
	is_int(open_files(), before, "no descriptor is left open");
	file_remove_tree(top, NULL);
	return done();
}
