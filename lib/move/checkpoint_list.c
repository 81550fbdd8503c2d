/* SPDX-License-Identifier: MIT */
/* What lies in /var/lib/edge/checkpoints, for whom, and whether anybody can still use it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/discover/node.h"
#include "lib/move/checkpoint.h"
#include "lib/move/journal.h"
#include "lib/move/remote.h"
#include "lib/move/wire.h"

#define DEPTH_MAX 100 /* of folders looked into for their size */

/* A lock that whoever has it open keeps us from getting. */
static int lock_alone(const char *id)
{
	AUTO_FD int fd = open(file_path("/var/lib/edge/checkpoints/%s", id), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) ? -1 : TAKE_FD(fd);
}

/* On the disk, without what it shares with the store: a file of several names counts once among them. */
static double disk_bytes(int dir, const char *name, int depth)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *de;
	struct stat st;
	double sum = 0;

	if (!d && fd >= 0)
		close(fd);
	while (d && (de = readdir(d))) {
		if (!strcmp(de->d_name, ".") || !strcmp(de->d_name, "..") || fstatat(fd, de->d_name, &st, AT_SYMLINK_NOFOLLOW))
			continue;
		if (!S_ISDIR(st.st_mode))
			sum += (double)st.st_blocks * 512 / (double)(st.st_nlink ? st.st_nlink : 1);
		else if (depth < DEPTH_MAX)
			sum += disk_bytes(fd, de->d_name, depth + 1);
	}
	if (d)
		closedir(d);
	return sum;
}

/* Has the source forgotten the move? Then nobody there waits. A node that does not answer is asked once; silent NULL: none is. */
static bool forgotten(const char *id, const struct json *ck, char *silent)
{
	const char *from = json_str(ck, "from");

	if (!silent || !strcmp(from, silent))
		return false;
	AUTO_STREAM struct stream *s = remote_open(from, NULL);
	AUTO_JSON struct json *call = wire_request("settle"), *answer = NULL;

	json_set_str(call, "move", id);
	json_set_str(call, "service", json_str(ck, "service.name"));
	json_set_str(call, "id", json_str(ck, "service.id"));
	if (!s || wire_ask(s, TAKE_PTR(call), &answer, NULL)) {
		snprintf(silent, 256, "%s", from);
		return false;
	}
	return !json_bool(answer, "known", true);
}

static void set_state(struct json *rec, const char *state, const char *why)
{
	json_set_str(rec, "state", state);
	json_set_str(rec, "why", why);
}

/* `ck`: its checkpoint.json. in_use: somebody has it open. */
static void judge(struct json *rec, const char *id, const struct json *ck, bool in_use, char *silent)
{
	bool ours = !strcmp(json_str(ck, "from"), node_self());

	if (!json_bool(ck, "held", false))
		set_state(rec, ours ? "kept" : "sealed", NULL);
	else if (ours && in_use)
		set_state(rec, "held", NULL);
	else if (ours)
		set_state(rec, "over", "its holder is gone");
	else if (!in_use && forgotten(id, ck, silent))
		set_state(rec, "over", "its holder does not wait for it any more");
	else
		set_state(rec, "sealed", NULL);
}

/* NULL: it is just being made. */
static struct json *describe(const char *id, bool in_use, char *silent)
{
	char dir[PATH_MAX], path[PATH_MAX], since[32];
	struct json *rec;
	struct stat st;

	snprintf(dir, sizeof(dir), "%s", file_path("/var/lib/edge/checkpoints/%s", id));
	snprintf(path, sizeof(path), "%s", file_path("/var/lib/edge/checkpoints/%s/checkpoint.json", id));
	bool made = !access(path, F_OK);
	if (!made && in_use)
		return NULL;
	AUTO_JSON struct json *ck = made ? json_read_file(path, NULL) : NULL;
	rec = json_object();
	json_set_str(rec, "kind", "checkpoint");
	json_set_str(rec, "id", id);
	json_set_str(rec, "node", node_self());
	if (ck && json_str(ck, "from")) {
		json_set_str(rec, "service", json_str(ck, "service.name"));
		json_set_str(rec, "instance", json_str(ck, "service.id"));
		if (json_has(ck, "pid"))
			json_set_num(rec, "pid", json_num(ck, "pid", 0));
		json_set_str(rec, "from", json_str(ck, "from"));
		json_set_bool(rec, "held", json_bool(ck, "held", false));
		judge(rec, id, ck, in_use, silent);
	} else {
		set_state(rec, "over", made ? "it is damaged" : "it was never finished");
	}
	if (!stat(made ? path : dir, &st))
		json_set_str(rec, "since", clock_rfc3339_at(st.st_mtime, since));
	json_set_num(rec, "disk_bytes", (double)(long long)disk_bytes(AT_FDCWD, dir, 0));
	return rec;
}

static int ids_only(const struct dirent *d)
{
	return checkpoint_id_valid(d->d_name);
}

struct json *checkpoint_list(struct err *e)
{
	AUTO_JSON struct json *all = json_array();
	struct dirent **names = NULL;
	char silent[256] = "";
	int n = scandir(file_path("/var/lib/edge/checkpoints"), &names, ids_only, alphasort);

	if (n < 0 && errno != ENOENT) {
		err_sys(e, "%s", file_path("/var/lib/edge/checkpoints"));
		return NULL;
	}
	for (int i = 0; i < n; i++) {
		int lock = lock_alone(names[i]->d_name);
		bool in_use = lock < 0;

		if (lock >= 0)
			close(lock);
		struct json *rec = checkpoint_exists(names[i]->d_name) ? describe(names[i]->d_name, in_use, silent) : NULL;
		if (rec)
			json_add(all, rec);
		free(names[i]);
	}
	free(names);
	return TAKE_PTR(all);
}

int checkpoint_drop(const char *id, struct json **record, struct err *e)
{
	if (!checkpoint_id_valid(id))
		return err_set(e, EX_DATAERR, "checkpoint: not an id: %.40s", id);
	if (!checkpoint_exists(id))
		return err_set(e, EX_UNAVAILABLE, "checkpoint %s: not on this node", id);
	AUTO_FD int lock = lock_alone(id);
	if (lock < 0)
		return err_set(e, EX_TEMPFAIL, "checkpoint %s: in use: a program holds, ships or restores it", id);
	AUTO_JSON struct json *rec = describe(id, false, NULL);
	json_remove(rec, "why");
	set_state(rec, "removed", NULL);
	if (file_remove_tree(file_path("/var/lib/edge/checkpoints/%s", id), e))
		return -1;
	*record = TAKE_PTR(rec);
	return 0;
}

void checkpoint_sweep(void)
{
	struct dirent **names = NULL;
	int n = scandir(file_path("/var/lib/edge/checkpoints"), &names, ids_only, NULL);

	for (int i = 0; i < n; i++) {
		const char *id = names[i]->d_name;
		AUTO_FD int lock = lock_alone(id);

		if (lock >= 0 && access(file_path("/var/lib/edge/checkpoints/%s/checkpoint.json", id), F_OK) && !*journal_last(id))
			file_remove_tree(file_path("/var/lib/edge/checkpoints/%s", id), NULL);
		free(names[i]);
	}
	free(names);
}
