/* SPDX-License-Identifier: MIT */
#include "lib/move/layer.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/file.h"

static bool hex_valid(const char *hex)
{
	return strlen(hex) == 64 && strspn(hex, "0123456789abcdef") == 64;
}

/* Beside a layer that is not whole yet. */
static void part_path(const char *hex, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s", file_path("/var/lib/edge/store/layers/%s.part", hex));
}

/* A whole one of the store has its name. */
static bool name_of_stored(const char *root, char hex[65])
{
	const char *store = file_path("/var/lib/edge/store/layers/");
	size_t n = strlen(store);
	char part[PATH_MAX];

	if (strncmp(root, store, n) || !hex_valid(root + n))
		return false;
	part_path(root + n, part);
	if (!access(part, F_OK))
		return false;
	strcpy(hex, root + n);
	return true;
}

int layer_digest(const char *root, char hex[65], struct err *e)
{
	AUTO_TREE struct tree *t = NULL;
	uint8_t id[TREE_DIGEST];

	if (name_of_stored(root, hex))
		return 0;
	AUTO_FD int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, "root %s", root);
	if (tree_scan(&t, fd, NULL, NULL, 0, e) || tree_id(t, id, e))
		return err_wrap(e, "root %s", root);
	digest_hex(id, hex);
	return 0;
}

int layer_place(const char *hex, char path[PATH_MAX], bool *need, struct err *e)
{
	char part[PATH_MAX];

	if (!hex_valid(hex))
		return err_set(e, EX_DATAERR, "layer: not a digest");
	snprintf(path, PATH_MAX, "%s", file_path("/var/lib/edge/store/layers/%s", hex));
	part_path(hex, part);
	*need = access(path, F_OK) || !access(part, F_OK);
	if (!*need)
		return 0;
	if (file_mkdir_private(file_path("/var/lib/edge/store"), e) ||
	    file_mkdir_private(file_path("/var/lib/edge/store/layers"), e) || file_write(part, "", 0, 0600, e))
		return -1;
	return file_mkdirs(path, 0755, e);
}

int layer_arrived(const char *hex, struct tree *t, struct err *e)
{
	char part[PATH_MAX], got[65];
	uint8_t id[TREE_DIGEST];

	if (tree_id(t, id, e))
		return -1;
	digest_hex(id, got);
	if (strcmp(hex, got))
		return err_set(e, EX_DATAERR, "layer %.12s: is another one, %.12s", hex, got);
	part_path(hex, part);
	return unlink(part) && errno != ENOENT ? err_sys(e, "%s", part) : 0;
}

int layer_new(char path[PATH_MAX], struct err *e)
{
	if (file_mkdir_private(file_path("/var/lib/edge/store"), e) ||
	    file_mkdir_private(file_path("/var/lib/edge/store/layers"), e))
		return -1;
	snprintf(path, PATH_MAX, "%s", file_path("/var/lib/edge/store/layers/.new-XXXXXX"));
	return mkdtemp(path) && !chmod(path, 0755) ? 0 : err_sys(e, "%s", path);
}

int layer_adopt(const char *path, char hex[65], struct err *e)
{
	char place[PATH_MAX];
	bool need;

	if (layer_digest(path, hex, e) || layer_place(hex, place, &need, e))
		return -1;
	if (!need)
		return file_remove_tree(path, e);
	char part[PATH_MAX];
	part_path(hex, part);
	/* what is there is empty, or what came of it in a move that was cut short */
	if (file_remove_tree(place, e))
		return -1;
	if (rename(path, place))
		return err_sys(e, "%s", place);
	return unlink(part) ? err_sys(e, "%s", part) : 0;
}

/* ---- files of "/" ---- */

/* The folder of `inside`, its parents made like those of this node's own root where they are missing; by descriptors, and
 * through no link: the service may have put some there. */
static int parent_like(const char *root, const char *inside, struct err *e)
{
	int at = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	char model[PATH_MAX];

	for (const char *p = inside + 1, *slash; at >= 0 && (slash = strchr(p, '/')); p = slash + 1) {
		AUTO_FREE char *name = strndup(p, (size_t)(slash - p));
		struct stat st;
		int next;

		snprintf(model, sizeof(model), "%.*s", (int)(slash - inside), inside);
		bool made = name && !mkdirat(at, name, 0755);
		next = name ? openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
		if (next >= 0 && made && !stat(model, &st) &&
		    (fchown(next, st.st_uid, st.st_gid) || fchmod(next, st.st_mode & 07777))) {
			close(next);
			next = -1;
		}
		close(at);
		at = next;
	}
	return at < 0 ? err_sys(e, "base: %s", inside) : at;
}

static int copy_file(const char *from, int folder, const char *to, struct err *e)
{
	AUTO_FD int in = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	AUTO_FD int out = openat(folder, to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct stat st;
	ssize_t n = 1;

	if (in < 0 || out < 0 || fstat(in, &st))
		return err_sys(e, "%s", in < 0 ? from : to);
	while (n > 0)
		n = sendfile(out, in, NULL, 1 << 30);
	const struct timespec times[2] = { st.st_atim, st.st_mtim };
	if (n < 0 || fchown(out, st.st_uid, st.st_gid) || fchmod(out, st.st_mode & 07777) || futimens(out, times))
		return err_sys(e, "%s", to);
	return 0;
}

int base_collect(const struct json *paths, const char *dir, struct err *e)
{
	for (size_t i = 0, n = json_len(paths, NULL); i < n; i++) {
		AUTO_JSON struct json *p = json_at(paths, i);
		const char *inside = json_value(p);

		if (!inside || *inside != '/' || strstr(inside, "/../"))
			return err_set(e, EX_DATAERR, "base: not a path");
		if (file_mkdirs(dir, 0700, e))
			return -1;
		AUTO_FD int folder = parent_like(dir, inside, e);
		if (folder < 0 || copy_file(inside, folder, strrchr(inside, '/') + 1, e))
			return -1;
	}
	return 0;
}

/* nftw has no context argument. */
static __thread struct {
	const char *dir, *upper;
	struct err *e;
} installing;

static int install_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	const char *inside = path + strlen(installing.dir);

	(void)st, (void)ftw;
	if (type != FTW_F)
		return 0;
	AUTO_FD int folder = parent_like(installing.upper, inside, installing.e);
	if (folder < 0)
		return -1;
	return renameat(AT_FDCWD, path, folder, strrchr(inside, '/') + 1) ? err_sys(installing.e, "base: %s", inside) : 0;
}

int base_install(const char *dir, const char *upper, struct err *e)
{
	int rc;

	installing.dir = dir;
	installing.upper = upper;
	installing.e = e;
	rc = nftw(dir, install_one, 16, FTW_PHYS);
	installing.upper = NULL;
	return rc ? -1 : 0;
}
