/* SPDX-License-Identifier: MIT */
/* The folders that travel with a checkpoint, and the copies of them that a snapshot has. */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/file.h"
#include "lib/discover/node.h"
#include "lib/move/checkpoint_int.h"
#include "lib/move/store.h"

void checkpoint_copy_path(const struct checkpoint *ck, int k, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%.4000s/folders/%d", ck->dir, k);
}

bool checkpoint_is_inside(const struct service *s, const char *path)
{
	const char *dir = service_dir(s, NULL);
	size_t n = strlen(dir);

	return !strncmp(path, dir, n) && path[n] == '/';
}

int checkpoint_name_folders(const struct service *s, struct files *f, folder_paths path)
{
	int n = 0;

	snprintf(path[n], PATH_MAX, "%s", service_dir(s, "upper"));
	snprintf(f[n++].what, sizeof(f->what), "service %s", s->name);
	for (int i = 0; i < s->n_volumes; i++, n++) {
		snprintf(path[n], PATH_MAX, "%s", s->volumes[i].host);
		snprintf(f[n].what, sizeof(f->what), "volume %s", s->volumes[i].path);
	}
	if (s->bundle[0]) {
		snprintf(path[n], PATH_MAX, "%s", service_dir(s, "bundle"));
		snprintf(f[n++].what, sizeof(f->what), "bundle of service %s", s->name);
	}
	return n;
}

/* Each from the checkpoint's copies (of `ck`, if it is not NULL) where there is one, else the service's own. */
static int open_folders(const struct service *s, const struct checkpoint *ck, struct files *f, struct err *e)
{
	folder_paths own;
	char copy[PATH_MAX];
	int n;

	memset(f, 0, CHECKPOINT_FOLDERS * sizeof(*f));
	n = checkpoint_name_folders(s, f, own);
	for (int k = 0; k < n; k++) {
		f[k].number = (unsigned)k;
		f[k].root = -1;
		bool copied = ck && k < ck->n_copies;
		if (copied)
			checkpoint_copy_path(ck, k, copy);
		f[k].root = open(copied ? copy : own[k], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (f[k].root >= 0)
			continue;
		if (copied)
			err_set(e, EX_DATAERR, "checkpoint %s: %s: is missing", ck->id, f[k].what);
		else
			err_sys(e, "%s", own[k]);
		while (k--)
			files_clear(&f[k]);
		return -1;
	}
	return n;
}

int checkpoint_folders(const struct service *s, struct files *f, struct err *e)
{
	return open_folders(s, NULL, f, e);
}

int checkpoint_copied_folders(const struct checkpoint *ck, struct files *f, struct err *e)
{
	return open_folders(ck->service, ck, f, e);
}

int checkpoint_carry_out(const struct tree_plan *plan, int from, struct tree *want, int to, int flags, struct err *e)
{
	AUTO_TREE_APPLY struct tree_apply *apply = NULL;
	AUTO_TREE_READER struct tree_reader *reader = NULL;
	AUTO_FREE uint8_t *buf = malloc(TREE_BLOCK);
	const struct tree_block *need;
	size_t n, len;
	int rc;

	if (!buf)
		return err_set(e, EX_OSERR, "out of memory");
	if (tree_apply_start(&apply, plan, to, flags, e) || tree_reader_open(&reader, from, want, e))
		return -1;
	need = tree_plan_needs(plan, &n);
	for (size_t i = 0; i < n; i++) {
		rc = tree_read(reader, need[i], buf, &len, e);
		if (!rc)
			rc = tree_apply_put(apply, need[i], buf, len, e);
		else if (rc > 0) /* changed meanwhile */
			rc = flags & TREE_LIVE ? tree_forget(want, need[i], e)
					       : err_set(e, EX_SOFTWARE, "files change although nothing runs");
		if (rc)
			return -1;
	}
	return tree_apply_finish(apply, e);
}

/* Makes `to`, which is as *have says (NULL: as it is), like f->root; *have becomes what it then is. */
static int copy_tree(const struct files *f, const struct tree_inode *mapped, size_t n_mapped, int to, struct tree **have,
		     int flags, struct err *e)
{
	AUTO_TREE_PLAN struct tree_plan *plan = NULL;
	AUTO_TREE struct tree *want = NULL;

	if (tree_scan(&want, f->root, *have, mapped, n_mapped, e) || (!*have && tree_scan(have, to, NULL, NULL, 0, e)) ||
	    tree_plan(&plan, *have, want, e) || checkpoint_carry_out(plan, f->root, want, to, flags, e))
		return -1;
	tree_plan_free(TAKE_PTR(plan)); /* it points into both */
	tree_free(*have);
	*have = TAKE_PTR(want);
	return 0;
}

static int digest_of_tree(struct tree *t, char hex[65], struct err *e)
{
	uint8_t id[TREE_DIGEST];

	if (tree_id(t, id, e))
		return -1;
	digest_hex(id, hex);
	return 0;
}

int checkpoint_check_copy(const struct checkpoint *ck, int k, struct tree *t, struct err *e)
{
	char hex[65];

	if (k >= ck->n_copies)
		return 0;
	if (digest_of_tree(t, hex, e))
		return -1;
	return strcmp(hex, ck->copy[k]) ? err_set(e, EX_DATAERR, "checkpoint %s: its copy is damaged", ck->id) : 0;
}

int checkpoint_copy_folder(struct checkpoint *ck, struct files *f, const struct tree_inode *mapped, size_t n_mapped,
			   bool live, struct err *e)
{
	char path[PATH_MAX];

	checkpoint_copy_path(ck, (int)f->number, path);
	if (file_mkdirs(path, 0700, e))
		return -1;
	AUTO_FD int to = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (to < 0)
		return err_sys(e, "%s", path);
	if (copy_tree(f, mapped, n_mapped, to, &f->tree, TREE_DEVICES | (live ? TREE_LIVE : 0), e))
		return err_wrap(e, "%s", f->what);
	if (ck->n_copies <= (int)f->number)
		ck->n_copies = (int)f->number + 1;
	return digest_of_tree(f->tree, ck->copy[f->number], e);
}

/* ---- of one that comes ---- */

static int copy_folder(const char *from, const char *to, struct err *e)
{
	AUTO_TREE struct tree *have = NULL;
	struct files in = { .root = open(from, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
	AUTO_FD int out = -1;
	int rc;

	if (in.root < 0)
		return 0;
	if (mkdir(to, 0700) || (out = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		rc = err_sys(e, "%s", to);
	else
		rc = copy_tree(&in, NULL, 0, out, &have, TREE_DEVICES | TREE_LIVE, e);
	files_clear(&in);
	return rc;
}

/* Another one of the same instance, or NULL. Those of others are not looked at closely: there may be many. */
static struct checkpoint *load_sibling(const struct checkpoint *ck, const char *id)
{
	struct checkpoint *sibling = NULL;

	if (!checkpoint_id_valid(id) || !strcmp(id, ck->id))
		return NULL;
	AUTO_JSON struct json *j = json_read_file(file_path("/var/lib/edge/checkpoints/%s/checkpoint.json", id), NULL);
	const char *instance = j ? json_str(j, "service.id") : NULL;
	return instance && !strcmp(instance, ck->service->id) && !checkpoint_load(&sibling, id, NULL) ? sibling : NULL;
}

/* The last one of the same instance that has all of its own, or NULL. */
static struct checkpoint *find_latest(const struct checkpoint *ck)
{
	DIR *d = opendir(file_path("/var/lib/edge/checkpoints"));
	struct checkpoint *latest = NULL;
	struct timespec newest = { 0 };
	struct dirent *de;
	struct stat st;

	while (d && (de = readdir(d))) {
		AUTO_CHECKPOINT struct checkpoint *c = load_sibling(ck, de->d_name);

		if (!c || !c->own_memory || fstat(c->lock, &st) || st.st_mtim.tv_sec < newest.tv_sec)
			continue;
		newest = st.st_mtim;
		if (latest)
			checkpoint_free(latest);
		latest = TAKE_PTR(c);
	}
	if (d)
		closedir(d);
	return latest;
}

/* What is there of the instance need not come: its memory, unless the store has it. */
static void lend_memory(const struct checkpoint *latest)
{
	char from[PATH_MAX], to[PATH_MAX];

	snprintf(from, sizeof(from), "%s", checkpoint_memory_dir(latest));
	snprintf(to, sizeof(to), "%s", store_memory_dir(latest->service->id));
	if (access(to, F_OK) && !file_mkdirs(store_memory_dir(""), 0700, NULL) && copy_folder(from, to, NULL))
		file_remove_tree(to, NULL);
}

/* An instance that has left does not need its folder here: that only shortens the way back. Other folders are the user's, what
 * the instance was when it stopped, or another checkpoint's. */
static int begin_with(const struct service *earlier, const char *from, const char *to, struct err *e)
{
	if (earlier && earlier->moved && checkpoint_is_inside(earlier, from) && !rename(from, to))
		return 0;
	return copy_folder(from, to, e);
}

int checkpoint_make_folders(struct checkpoint *ck, const struct service *earlier, struct files *f, struct err *e)
{
	AUTO_CHECKPOINT struct checkpoint *latest = find_latest(ck);
	folder_paths left, own;
	char path[PATH_MAX];
	int before = 0;

	snprintf(path, sizeof(path), "%.4000s/folders", ck->dir);
	if (file_mkdirs(path, 0700, e))
		return -1;
	if (latest)
		lend_memory(latest);
	if (earlier)
		before = checkpoint_name_folders(earlier, f, left);
	else if (latest)
		for (; before < latest->n_copies; before++)
			checkpoint_copy_path(latest, before, left[before]);
	ck->n_copies = checkpoint_name_folders(ck->service, f, own);
	for (int k = 0; k < ck->n_copies; k++) {
		checkpoint_copy_path(ck, k, path);
		if ((k < before && begin_with(earlier, left[k], path, e)) || file_mkdirs(path, 0700, e))
			return err_wrap(e, "%s", f[k].what);
	}
	return checkpoint_copied_folders(ck, f, e);
}

int checkpoint_own_folders(struct checkpoint *ck, struct files *f, int n, struct err *e)
{
	for (int k = 0; k < n; k++)
		if ((!f[k].tree && tree_scan(&f[k].tree, f[k].root, NULL, NULL, 0, e)) ||
		    digest_of_tree(f[k].tree, ck->copy[k], e))
			return err_wrap(e, "%s", f[k].what);
	ck->n_copies = n;
	return 0;
}

/* ---- the memory beside them ---- */

int checkpoint_own_memory(struct checkpoint *ck, struct err *e)
{
	char path[PATH_MAX + 8];

	ck->own_memory = true;
	snprintf(path, sizeof(path), "%s/memory", ck->dir);
	return file_mkdirs(path, 0700, e);
}

int checkpoint_take_memory(struct checkpoint *ck, struct err *e)
{
	const char *path = file_path("/var/lib/edge/checkpoints/%s/memory", ck->id);

	if (rename(store_memory_dir(ck->service->id), path))
		return err_sys(e, "%s", path);
	ck->own_memory = true;
	return 0;
}

void checkpoint_give_memory(const struct checkpoint *ck)
{
	const char *path = file_path("/var/lib/edge/checkpoints/%s/memory", ck->id);

	if (ck->service && !access(path, F_OK) && !file_mkdirs(store_memory_dir(""), 0700, NULL) &&
	    !store_forget(ck->service->id, NULL))
		rename(path, store_memory_dir(ck->service->id));
}

const char *checkpoint_memory_dir(const struct checkpoint *ck)
{
	if (ck->tree || ck->own_memory)
		return file_path("/var/lib/edge/checkpoints/%s/memory", ck->id);
	return store_memory_dir(ck->service->id);
}

void checkpoint_supersede(const struct checkpoint *ck)
{
	DIR *d = opendir(file_path("/var/lib/edge/checkpoints"));
	struct dirent *de;

	while (d && (de = readdir(d))) {
		AUTO_CHECKPOINT struct checkpoint *old = load_sibling(ck, de->d_name);

		if (!old || !old->held || !strcmp(old->from, node_self()))
			continue;
		checkpoint_give_memory(old);
		checkpoint_remove(old, NULL);
	}
	if (d)
		closedir(d);
}
