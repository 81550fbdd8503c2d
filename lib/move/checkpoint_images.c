/* SPDX-License-Identifier: MIT */
/* Whether CRIU's images are what they were. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "lib/move/check.h"
#include "lib/move/checkpoint.h"

bool checkpoint_is_image(const char *name)
{
	size_t n = strlen(name);

	if (!strcmp(name, "descriptors.json")) /* runc's own */
		return true;
	return n > 4 && !strcmp(name + n - 4, ".img") && strncmp(name, "stats-", 6) && !strchr(name, '/');
}

struct json *checkpoint_digests(const struct checkpoint *ck, struct err *e)
{
	DIR *d = digest_load(e) ? NULL : opendir(ck->dir);
	struct json *list;
	struct dirent *de;

	if (!d) {
		err_sys(e, "checkpoint %s", ck->id);
		return NULL;
	}
	list = json_array();
	while ((de = readdir(d))) {
		char path[PATH_MAX + 256], hex[65];
		struct json *image;

		if (!checkpoint_is_image(de->d_name))
			continue;
		snprintf(path, sizeof(path), "%s/%s", ck->dir, de->d_name);
		check_file_digest(path, hex);
		image = json_object();
		json_set_str(image, "name", de->d_name);
		json_set_str(image, "sha256", hex);
		json_add(list, image);
	}
	closedir(d);
	return list;
}

int checkpoint_verify(const struct checkpoint *ck, const struct json *digests, struct err *e)
{
	AUTO_JSON struct json *now = checkpoint_digests(ck, e);
	size_t n = digests ? json_len(digests, NULL) : 0;
	char path[PATH_MAX + 256], hex[65];

	if (!now)
		return -1;
	if (!n)
		return err_set(e, EX_DATAERR, "its list of images is missing");
	for (size_t i = 0; i < n; i++) {
		AUTO_JSON struct json *image = json_at(digests, i);
		const char *name = json_str(image, "name"), *want = json_str(image, "sha256");

		if (!name || !want || !checkpoint_is_image(name))
			return err_set(e, EX_DATAERR, "its list of images is damaged");
		snprintf(path, sizeof(path), "%s/%s", ck->dir, name);
		check_file_digest(path, hex);
		if (!*hex)
			return err_set(e, EX_DATAERR, "%s: missing", name);
		if (strcmp(hex, want))
			return err_set(e, EX_DATAERR, "%s: damaged", name);
	}
	if (json_len(now, NULL) != n)
		return err_set(e, EX_DATAERR, "images that are not in its list");
	return 0;
}
