/* SPDX-License-Identifier: MIT */
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/engine/spaces.h"
#include "tests/unit/tap.h"

#define HOST "spaces-test"

static int talk[2], answer[2];

/* A process with namespaces of its own, which makes an object when it is told to. */
static pid_t service(const char *host)
{
	pid_t pid = fork();
	char c = 0;

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(answer[0]);
		if (unshare(CLONE_NEWUTS | CLONE_NEWIPC) || sethostname(host, strlen(host)) || setdomainname("(none)", 6)) {
			(void)!write(answer[1], "e", 1);
			_exit(1);
		}
		while (write(answer[1], "r", 1) == 1 && read(talk[0], &c, 1) == 1)
			if ((c == 's' ? semget(IPC_PRIVATE, 1, IPC_CREAT | 0600) :
			     c == 'm' ? shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600) :
					msgget(IPC_PRIVATE, IPC_CREAT | 0600)) < 0)
				_exit(1);
		_exit(0);
	}
	ok(read(answer[0], &c, 1) == 1 && c == 'r', "a process with namespaces of its own");
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static ino_t space_of(pid_t pid, const char *kind)
{
	char path[64];
	struct stat st = { 0 };

	snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, kind);
	stat(path, &st);
	return st.st_ino;
}

/* A process that has joined those of `pid`. */
static pid_t joined(pid_t pid, const char *host)
{
	pid_t child = fork();
	char c = 0;

	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		spaces_join(pid, host);
		(void)!write(answer[1], "j", 1);
		for (;;)
			pause();
	}
	(void)!read(answer[0], &c, 1);
	return child;
}

static void test_object(char kind, const char *name)
{
	pid_t pid = service(HOST), criu = joined(pid, HOST);
	char c;

	ok(space_of(criu, "uts") == space_of(pid, "uts") && space_of(criu, "ipc") == space_of(pid, "ipc"),
	   "namespaces that hold nothing are shared");
	ok(!spaces_outgrown(pid, criu), "... and still hold nothing");
	(void)!write(talk[1], &kind, 1);
	(void)!read(answer[0], &c, 1);
	ok(spaces_outgrown(pid, criu), name);
	ok(space_of(getpid(), "ipc") != space_of(pid, "ipc"), "... by one who does not stay there");
	end(criu);
	criu = joined(pid, HOST);
	ok(space_of(criu, "uts") == space_of(pid, "uts") && space_of(criu, "ipc") == space_of(getpid(), "ipc"),
	   "a namespace with an object is not shared");
	ok(!spaces_outgrown(pid, criu), "... and so may have as many as it will");
	end(criu);
	end(pid);
}

static void test_renamed(void)
{
	pid_t pid = service("another"), criu = joined(pid, HOST);

	ok(space_of(criu, "uts") == space_of(getpid(), "uts") && space_of(criu, "ipc") == space_of(pid, "ipc"),
	   "one with another host name is not shared");
	end(criu);
	end(pid);
	criu = joined(pid, HOST);
	ok(space_of(criu, "uts") == space_of(getpid(), "uts"), "of a process that is gone nothing is shared");
	end(criu);
}

int main(void)
{
	if (geteuid()) {
		skip("namespaces", "needs root");
		return done();
	}
	if (pipe(talk) || pipe(answer))
		return 1;
	test_object('m', "shared memory that is made after that is seen");
	test_object('s', "... and semaphores");
	test_object('q', "... and a queue of messages");
	test_renamed();
	return done();
}
