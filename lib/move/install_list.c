/* SPDX-License-Identifier: MIT */
#include "lib/move/install_list.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/digest.h"
#include "lib/base/library.h"
#include "lib/base/proc.h"

#define LOADER_MS 20000

void install_list_release(struct install_list *l)
{
	free(l->files);
}

static int digest_of_file(const char *path, char digest[65], struct err *e)
{
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return err_sys(e, "%s", path);
	return digest_file(fd, digest, e) ? err_wrap(e, "%s", path) : 0;
}

/* Names and paths go to a shell's `read` there: no blanks. */
static int add(struct install_list *l, const char *folder, const char *base, const char *path, struct err *e)
{
	struct install_file *more;
	char name[256];

	snprintf(name, sizeof(name), "%s/%.90s", folder, base);
	for (int i = 0; i < l->n; i++)
		if (!strcmp(l->files[i].name, name))
			return 0;
	if (strpbrk(path, " \t\n\\") || strlen(path) >= PATH_MAX)
		return err_set(e, EX_UNAVAILABLE, "install: %s: a path with blanks", path);
	more = realloc(l->files, ((size_t)l->n + 1) * sizeof(*more));
	if (!more)
		return err_set(e, EX_OSERR, "out of memory");
	l->files = more;
	more += l->n;
	snprintf(more->name, sizeof(more->name), "%s", name);
	snprintf(more->path, sizeof(more->path), "%s", path);
	if (digest_of_file(path, more->digest, e))
		return -1;
	l->n++;
	return 0;
}

/* What the program's own loader says when it is asked to name what it would load: lines "libjq.so.1 => /lib/libjq.so.1 (0x...)"
 * and, for the loader itself, "/lib64/ld-linux-x86-64.so.2 (0x...)". The program itself loads `late`; what of these is not
 * installed here it does without there, too. */
static int add_needed(struct install_list *l, const char *folder, const char *program, const char *late, struct err *e)
{
	const char *const argv[] = { "env", "LD_TRACE_LOADED_OBJECTS=1", late, program, NULL };
	AUTO_FREE char *text = NULL;
	char *rest;

	if (proc_run(argv, &text, LOADER_MS, e))
		return err_wrap(e, "install: %s", program);
	rest = text;
	for (char *at; (at = strsep(&rest, "\n"));) {
		char name[256], path[PATH_MAX];

		if (sscanf(at, " %255s => %4095s", name, path) == 2) {
			const char *base = strrchr(name, '/') ? strrchr(name, '/') + 1 : name;

			if (*path != '/')
				return err_set(e, EX_UNAVAILABLE, "install: %s: %s: not found", program, name);
			if (add(l, folder, strncmp(base, "ld-", 3) ? base : "ld.so", path, e))
				return -1;
		} else if (sscanf(at, " %4095s", path) == 1 && *path == '/' && add(l, folder, "ld.so", path, e)) {
			return -1;
		}
	}
	return 0;
}

static int is_program(const struct dirent *d)
{
	return !strcmp(d->d_name, "edge") || (!strncmp(d->d_name, "edge-", 5) && !strchr(d->d_name, '.'));
}

static int add_programs(struct install_list *l, struct err *e)
{
	struct dirent **entries = NULL;
	char dir[PATH_MAX] = "", path[PATH_MAX + 300];
	int rc = 0, n;

	if (readlink("/proc/self/exe", dir, sizeof(dir) - 1) < 0 || !strrchr(dir, '/'))
		return err_sys(e, "/proc/self/exe");
	if (!strcmp(strrchr(dir, '/'), "/ld.so")) /* installed in this way, too */
		snprintf(strrchr(dir, '/'), 8, "/../bin");
	else
		*strrchr(dir, '/') = '\0';
	n = scandir(dir, &entries, is_program, alphasort);
	for (int i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, entries[i]->d_name);
		if (!rc)
			rc = add(l, "bin", entries[i]->d_name, path, e) || add_needed(l, "lib", path, "LD_PRELOAD=" LIBRARY_BROUGHT, e);
		free(entries[i]);
	}
	free(entries);
	if (n < 1)
		return err_set(e, EX_UNAVAILABLE, "install: no programs in %s", dir);
	return rc ? -1 : 0;
}

/* A script of an earlier installation stands for what lies beside it. */
static int add_criu(struct install_list *l, struct err *e)
{
	const char *found = proc_find("criu");
	char path[PATH_MAX];

	if (!found || !realpath(found, path))
		return err_set(e, EX_UNAVAILABLE, "install: no criu here to bring along (examples/get-criu gets one)");
	return add(l, "criu", "criu", path, e) || add_needed(l, "criu", path, "LD_PRELOAD=", e) ? -1 : 0;
}

int install_list(struct install_list *l, struct err *e)
{
	return add_programs(l, e) || add_criu(l, e) ? -1 : 0;
}
