/* SPDX-License-Identifier: MIT */
#include "lib/engine/spaces.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "lib/base/auto.h"

static int space_open(pid_t pid, const char *kind)
{
	char path[64];

	if (pid)
		snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, kind);
	else
		snprintf(path, sizeof(path), "/proc/thread-self/ns/%s", kind);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static bool is_named(const char *host)
{
	struct utsname u;

	return !uname(&u) && !strcmp(u.nodename, host) && !strcmp(u.domainname, "(none)");
}

/* What this thread's IPC namespace holds; true also when it cannot be told. */
static bool has_objects(void)
{
	struct shm_info shm = { 0 };
	struct seminfo sem = { 0 };
	struct msginfo msg = { 0 };

	return shmctl(0, SHM_INFO, (struct shmid_ds *)(void *)&shm) < 0 || semctl(0, 0, SEM_INFO, &sem) < 0 ||
	       msgctl(0, MSG_INFO, (struct msqid_ds *)(void *)&msg) < 0 || shm.used_ids || sem.semusz || msg.msgpool;
}

void spaces_join(pid_t pid, const char *host)
{
	AUTO_FD int uts = space_open(pid, "uts"), own_uts = space_open(0, "uts");
	AUTO_FD int ipc = space_open(pid, "ipc"), own_ipc = space_open(0, "ipc");
	AUTO_FD int clocks = space_open(pid, "time");

	if (uts >= 0 && own_uts >= 0 && !setns(uts, CLONE_NEWUTS) && !is_named(host))
		setns(own_uts, CLONE_NEWUTS);
	if (ipc >= 0 && own_ipc >= 0 && !setns(ipc, CLONE_NEWIPC) && has_objects())
		setns(own_ipc, CLONE_NEWIPC);
	/* Criu saves what its clocks say in any case. */
	if (clocks >= 0)
		setns(clocks, CLONE_NEWTIME);
}

bool spaces_outgrown(pid_t pid, pid_t criu)
{
	AUTO_FD int ipc = space_open(pid, "ipc"), theirs = space_open(criu, "ipc"), own = space_open(0, "ipc");
	struct stat a, b;

	if (ipc < 0 || theirs < 0 || own < 0 || fstat(ipc, &a) || fstat(theirs, &b) || a.st_ino != b.st_ino ||
	    setns(ipc, CLONE_NEWIPC))
		return false;
	bool outgrown = has_objects();

	setns(own, CLONE_NEWIPC);
	return outgrown;
}
