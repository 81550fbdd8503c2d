/* SPDX-License-Identifier: MIT */
/* Runs a program of the toolkit by its short name, as git does: `edge probe` is `edge-probe`. */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/opt.h"
#include "lib/base/proc.h"

#define ABOUT_MS 2000

static const struct opt opts[] = { { 0 } };

static const struct cmd cmd = {
	.name = "edge",
	.synopsis = "[PROGRAM [ARG...]]",
	.about = "Runs a program of the toolkit (edge run is edge-run); alone, it lists them.",
	.opts = opts,
};

/* Where this program is, and so its fellows; empty when that cannot be known. */
static void own_folder(char dir[PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", dir, PATH_MAX - 1);

	dir[n > 0 ? n : 0] = '\0';
	if (strrchr(dir, '/'))
		*strrchr(dir, '/') = '\0';
}

static int is_program(const struct dirent *d)
{
	return strncmp(d->d_name, "edge-", 5) == 0 && !strchr(d->d_name, '.') && !strchr(d->d_name, '~');
}

/* The second line of a program's help, behind its usage. */
static void print_about(const char *path, const char *name)
{
	const char *const argv[] = { path, "--help", NULL };
	AUTO_FREE char *help = NULL;
	const char *about;
	struct err e;

	if (proc_run(argv, &help, ABOUT_MS, &e) || !(about = strchr(help, '\n')))
		about = "\n";
	about++;
	printf("  %-16s %.*s\n", name, (int)strcspn(about, "\n"), about);
}

static int list_programs(struct err *e)
{
	char dir[PATH_MAX], path[PATH_MAX + 256];
	struct dirent **entries = NULL;
	int n;

	own_folder(dir);
	n = scandir(dir, &entries, is_program, alphasort);
	if (n < 0)
		return err_sys(e, "%s", dir);
	printf("\nPrograms:\n");
	for (int i = 0; i < n; i++) {
		const char *name = entries[i]->d_name;

		snprintf(path, sizeof(path), "%s/%s", dir, name);
		if (access(path, X_OK) == 0)
			print_about(path, name);
	}
	printf("\nEach tells about itself with --help; edge(7) tells how they work together.\n");
	for (int i = 0; i < n; i++)
		free(entries[i]);
	free(entries);
	return 0;
}

/* Replaces this process; returns only when there is no such program. */
static int run(char **argv, struct err *e)
{
	char dir[PATH_MAX], name[64], path[PATH_MAX + sizeof(name)];
	const char *given = argv[0];

	if (!given)
		return err_set(e, EX_USAGE, "no program named (see edge --help)");
	if (strchr(given, '/') || snprintf(name, sizeof(name), "edge-%s", given) >= (int)sizeof(name))
		return err_set(e, EX_USAGE, "%s: no such program (see edge --help)", given);
	own_folder(dir);
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	argv[0] = name;
	execv(path, argv);
	if (errno == ENOENT)
		execvp(name, argv);
	if (errno == ENOENT)
		return err_set(e, EX_USAGE, "%s: no such program (see edge --help)", given);
	return err_sys(e, "%s", name);
}

static bool is_help(const char *word)
{
	return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

int main(int argc, char **argv)
{
	char help[] = "--help", *alone[] = { argv[0], help, NULL };
	struct err e = { 0 };
	int status, first;

	/* What follows the name is the program's, its options too. */
	if (argc > 1 && argv[1][0] != '-') {
		run(argv + 1, &e);
		return cmd_fail(&cmd, &e);
	}
	if (argc < 2) {
		argv = alone;
		argc = 2;
	}
	first = cmd_parse(&cmd, argc, argv, &status);
	if (first >= 0) { /* behind "--" */
		run(argv + first, &e);
		return cmd_fail(&cmd, &e);
	}
	if (status || !is_help(argv[1]))
		return status;
	return list_programs(&e) ? cmd_fail(&cmd, &e) : cmd_done(&cmd, 0);
}
