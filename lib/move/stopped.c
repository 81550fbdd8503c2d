/* SPDX-License-Identifier: MIT */
#include "lib/move/stopped.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/file.h"

static bool has_open(pid_t pid, const struct stat *file)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	DIR *d = opendir(path);
	struct dirent *de;
	struct stat st;
	bool has = false;

	while (d && !has && (de = readdir(d)))
		has = !fstatat(dirfd(d), de->d_name, &st, 0) && st.st_dev == file->st_dev && st.st_ino == file->st_ino;
	if (d)
		closedir(d);
	return has;
}

/* "PID (PROGRAM) T ...": a program's name may have brackets of its own. */
static bool is_stopped(struct stopped *by)
{
	char path[64], text[256] = "", *end;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)by->pid);
	AUTO_FILE FILE *f = fopen(path, "re");
	if (!f || !fgets(text, sizeof(text), f) || !(end = strrchr(text, ')')) || strncmp(end, ") T", 3) != 0)
		return false;
	*end = '\0';
	snprintf(by->program, sizeof(by->program), "%.16s", strchr(text, '(') + 1);
	return true;
}

bool stopped_find(struct stopped *by, const char *service)
{
	/* As file_lock leaves it there. */
	AUTO_FILE FILE *lock = fopen(file_path("/run/edge/service-%s.lock", service), "re");
	char text[16];
	struct stat st;

	if (!lock || !fgets(text, sizeof(text), lock) || fstat(fileno(lock), &st))
		return false;
	by->pid = atoi(text);
	return by->pid > 1 && is_stopped(by) && has_open(by->pid, &st);
}

void stopped_end(const struct stopped *by, const char *service)
{
	AUTO_FD int fd = (int)syscall(SYS_pidfd_open, by->pid, 0);
	struct stopped now;

	if (fd >= 0 && stopped_find(&now, service) && now.pid == by->pid)
		syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
}
