/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/ssh.h"

const char *ssh_own_file(const char *variable, const char *path)
{
	const char *named = getenv(variable);

	if (named && *named)
		return named;
	return access(file_path("%s", path), F_OK) ? NULL : file_path("%s", path);
}

const char *ssh_home_file(const char *name)
{
	static _Thread_local char path[PATH_MAX];
	const char *home = getenv("HOME");

	snprintf(path, sizeof(path), "%s/.ssh/%s", home ? home : "/root", name);
	return path;
}
