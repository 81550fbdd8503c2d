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

static int names(const char *what, FILE *f);

static const struct cmd cmd = {
	.name = "edge",
	.synopsis = "[PROGRAM [ARG...]]",
	.about = "Runs a program of the toolkit (edge run is edge-run); alone, it lists them.",
	.opts = opts,
	.names = names,
};

static int is_program(const struct dirent *d)
{
	return strncmp(d->d_name, "edge-", 5) == 0 && !strchr(d->d_name, '.') && !strchr(d->d_name, '~');
}

/* The line of a program's help that stands behind its usage. */
static void print_about(const char *path, const char *name)
{
	const char *const argv[] = { path, "--help", NULL };
	AUTO_FREE char *help = NULL;
	const char *about = "";
	struct err e;

	if (!proc_run(argv, &help, ABOUT_MS, &e))
		about = help;
	while (!strncmp(about, "Usage:", 6) || *about == ' ') {
		about += strcspn(about, "\n");
		about += *about == '\n';
	}
	printf("  %-16s %.*s\n", name, (int)strcspn(about, "\n"), about);
}

static int each_program(void (*visit)(const char *path, const char *name), struct err *e)
{
	char dir[PATH_MAX], path[PATH_MAX + 256];
	struct dirent **entries = NULL;
	int n;

	proc_folder(dir);
	n = scandir(dir, &entries, is_program, alphasort);
	if (n < 0)
		return err_sys(e, "%s", dir);
	for (int i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, entries[i]->d_name);
		if (access(path, X_OK) == 0)
			visit(path, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	return 0;
}

/* In a source tree nothing is installed that man(1) would find by its name. */
static void print_manuals(void)
{
	char dir[PATH_MAX], page[PATH_MAX + 32], real[PATH_MAX];

	proc_folder(dir);
	snprintf(page, sizeof(page), "%s/../../man/edge.7", dir);
	if (realpath(page, real))
		printf("Manuals of this source tree: man -l %s\n", real);
}

static int list_programs(struct err *e)
{
	printf("\nPrograms:\n");
	if (each_program(print_about, e))
		return -1;
	printf("\nEach tells about itself with --help; edge(7) tells how they work together.\n");
	print_manuals();
	return 0;
}

static void print_short(const char *path, const char *name)
{
	(void)path;
	puts(name + strlen("edge-"));
}

/* For the shells: what may follow "edge". */
static int names(const char *what, FILE *f)
{
	(void)f; /* stdout */
	if (strcmp(what, "programs"))
		return -1;
	each_program(print_short, NULL);
	return 0;
}

/* Replaces this process; returns only when there is no such program. */
static int run(char **argv, struct err *e)
{
	char dir[PATH_MAX], name[64], path[PATH_MAX + sizeof(name)];
	const char *given = argv[0];

	if (!given)
		return err_set(e, EX_USAGE, "no program named");
	if (strchr(given, '/') || snprintf(name, sizeof(name), "edge-%s", given) >= (int)sizeof(name))
		return err_set(e, EX_USAGE, "%s: no such program", given);
	proc_folder(dir);
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	argv[0] = name;
	execv(path, argv);
	if (errno == ENOENT)
		execvp(name, argv);
	if (errno == ENOENT || errno == EACCES) /* a folder of PATH that one may not enter gives the latter */
		return err_set(e, EX_USAGE, "%s: no such program", given);
	return err_sys(e, "%s", name);
}

/* Runs it; the exit status when that could not be done. */
static int run_failed(char **argv)
{
	struct err e;

	run(argv, &e);
	return e.code == EX_USAGE ? cmd_usage(&cmd, "%s", e.text) : cmd_fail(&cmd, &e);
}

static bool is_help(const char *word)
{
	return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

int main(int argc, char **argv)
{
	char help[] = "--help", *alone[] = { argv[0], help, NULL }, *of_program[] = { argv[argc - 1], help, NULL };
	struct err e = { 0 };
	int status, first;

	/* What follows the name is the program's, its options too. */
	bool asks = argc < 2 || (argc == 2 && !strcmp(argv[1], "help"));
	if (argc == 3 && !strcmp(argv[1], "help"))
		return run_failed(of_program);
	if (!asks && argv[1][0] != '-')
		return run_failed(argv + 1);
	if (asks) {
		argv = alone;
		argc = 2;
	}
	first = cmd_parse(&cmd, argc, argv, &status);
	if (first >= 0) /* behind "--" */
		return run_failed(argv + first);
	if (status || !is_help(argv[1]))
		return status;
	return list_programs(&e) ? cmd_fail(&cmd, &e) : cmd_done(&cmd, 0);
}
