/* SPDX-License-Identifier: MIT */
#include "lib/discover/names.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/file.h"
#include "lib/discover/node.h"

#define SERVICES_AT "services@"

/* The names of the records, or of those at one node. */
static void print_names(const struct json *records, const char *node, FILE *f)
{
	for (size_t i = 0; records && i < json_len(records, NULL); i++) {
		AUTO_JSON struct json *rec = json_at(records, i);
		const char *name = json_str(rec, "name"), *at = json_str(rec, "node");

		if (name && (!node || (at && !strcmp(at, node))))
			fprintf(f, "%s\n", name);
	}
}

static void print_of_registry(const char *prefix, const char *node, FILE *f)
{
	AUTO_REGISTRY struct registry *r = NULL;
	AUTO_JSON struct json *all = NULL;

	if (!registry_open(&r, NULL, NULL) && !registry_list(r, prefix, &all, NULL))
		print_names(all, node, f);
}

static int not_hidden(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

/* What is in the folder; `with` (or NULL): of folders those that have such a file, and in it JSON. */
static void print_folder(const char *path, const char *with, FILE *f)
{
	struct dirent **entries = NULL;
	int n = scandir(file_path("%s", path), &entries, not_hidden, alphasort);

	for (int i = 0; i < n; i++) {
		AUTO_JSON struct json *j = with ? json_read_file(file_path("%s/%s/%s", path, entries[i]->d_name, with), NULL) : NULL;

		if (j || !with)
			fprintf(f, "%s\n", entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
}

int names_print(const char *what, FILE *f)
{
	const char *node = what + strlen(SERVICES_AT);

	if (!strcmp(what, "nodes")) {
		print_of_registry("node", NULL, f);
	} else if (!strcmp(what, "checkpoints")) {
		print_folder("/var/lib/edge/checkpoints", NULL, f);
	} else if (strncmp(what, SERVICES_AT, strlen(SERVICES_AT))) {
		return -1;
	} else if (*node && strcmp(node, node_self())) {
		print_of_registry("service", node, f);
	} else {
		/* as they are on the disk: their engines would have to be part of every program */
		print_folder("/var/lib/edge/services", "service.json", f);
	}
	return 0;
}
