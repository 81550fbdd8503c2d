/* SPDX-License-Identifier: MIT */
#include "lib/discover/names.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/file.h"
#include "lib/discover/node.h"
#include "lib/engine/service.h"

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

static void print_folder(const char *path, FILE *f)
{
	struct dirent **entries = NULL;
	int n = scandir(path, &entries, not_hidden, alphasort);

	for (int i = 0; i < n; i++) {
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
		print_folder(file_path("/var/lib/edge/checkpoints"), f);
	} else if (strncmp(what, SERVICES_AT, strlen(SERVICES_AT))) {
		return -1;
	} else if (*node && strcmp(node, node_self())) {
		print_of_registry("service", node, f);
	} else {
		AUTO_JSON struct json *here = service_list(NULL);
		print_names(here, NULL, f);
	}
	return 0;
}
