/* SPDX-License-Identifier: MIT */
#include "lib/move/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#include "lib/base/file.h"
#include "lib/engine/service.h"
#include "lib/move/journal.h"

const char *store_memory_dir(const char *id)
{
	return file_path("/var/lib/edge/store/memory/%s", id);
}

int store_forget(const char *id, struct err *e)
{
	return file_remove_tree(store_memory_dir(id), e);
}

static uint64_t free_bytes(void)
{
	struct statvfs v;

	return statvfs(file_path("/var/lib/edge"), &v) ? 0 : (uint64_t)v.f_bavail * v.f_frsize;
}

/* Is it the memory of a service that runs, or may run again, here, or that is on its way? */
static bool in_use(const char *id)
{
	AUTO_JSON struct json *all = NULL;
	char move[64];

	if (journal_find("destination", id, move) || journal_find("source", id, move))
		return true;
	all = service_list(NULL);

	for (size_t i = 0, n = all ? json_len(all, NULL) : 0; i < n; i++) {
		AUTO_JSON struct json *s = json_at(all, i);
		const char *state = json_str(s, "state");

		if (json_str(s, "id") && !strcmp(json_str(s, "id"), id))
			return !state || strcmp(state, "moved");
	}
	return false;
}

static bool find_oldest(const char *keep, char name[NAME_MAX + 1])
{
	DIR *d = opendir(store_memory_dir(""));
	time_t oldest = 0;
	struct dirent *de;
	struct stat st;
	bool found = false;

	while (d && (de = readdir(d)))
		if (de->d_name[0] != '.' && (!keep || strcmp(de->d_name, keep)) && !in_use(de->d_name) &&
		    !fstatat(dirfd(d), de->d_name, &st, AT_SYMLINK_NOFOLLOW) && (!found || st.st_mtime < oldest)) {
			found = true;
			oldest = st.st_mtime;
			snprintf(name, NAME_MAX + 1, "%s", de->d_name);
		}
	if (d)
		closedir(d);
	return found;
}

uint64_t store_make_room(uint64_t bytes, const char *keep)
{
	char name[NAME_MAX + 1];

	while (free_bytes() < bytes && find_oldest(keep, name) && !store_forget(name, NULL))
		;
	return free_bytes();
}
