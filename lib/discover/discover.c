/* SPDX-License-Identifier: MIT */
#include "lib/discover/discover.h"

#include <string.h>
#include <sys/stat.h>

#include "lib/discover/registry.h"

static bool is_folder(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISDIR(st.st_mode);
}

int discover(const char *url, struct json **nodes, struct err *e)
{
	const char *path = strncmp(url, "file:", 5) ? url : url + 5;
	AUTO_JSON struct json *found = json_array();
	AUTO_REGISTRY struct registry *r = NULL;
	int rc;

	if (!strncmp(url, "dns:", 4)) {
		rc = discover_dns(url + 4, found, e);
	} else if (path != url || (!strchr(url, ':') && !is_folder(url))) {
		rc = discover_file(path, found, e);
	} else {
		json_free(TAKE_PTR(found));
		rc = registry_open(&r, url, e) || registry_list(r, "node", &found, e) ? -1 : 0;
	}
	if (!rc)
		*nodes = TAKE_PTR(found);
	return rc;
}
