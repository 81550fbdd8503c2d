/* SPDX-License-Identifier: MIT */
#include "lib/app/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/file.h"
#include "lib/base/library.h"

#define BLOCK   65536
#define ENTRIES_MAX (4u << 20)

#define FUNCTIONS(F)                                                                                                            \
	F(read_new) F(read_support_format_tar) F(read_support_filter_gzip) F(read_support_filter_zstd) F(read_support_filter_xz)  \
	F(read_support_filter_bzip2) F(read_set_options) F(read_open_fd) F(read_next_header) F(read_data_block) F(read_free)      \
	F(error_string) F(entry_pathname) F(entry_mode) F(entry_uid) F(entry_gid) F(entry_size) F(entry_mtime)                    \
	F(entry_mtime_nsec) F(entry_symlink) F(entry_hardlink) F(entry_xattr_reset) F(entry_xattr_next)
#define POINTER(NAME) __typeof__(&archive_##NAME)(NAME);

static struct {
	FUNCTIONS(POINTER)
} lib;

static struct library library = { LIBRARY_ARCHIVE, "archive_", FUNCTIONS(LIBRARY_NAME), &lib, NULL, false };

/* A folder's time of modification, which goes when something is put into it: as it was, or as the archive says. */
struct stamp {
	char *path;
	struct timespec t;
	bool said;
	size_t order;
};

struct unpacking {
	struct archive *a;
	int root;
	bool whiteouts;
	struct stamp *stamps;
	size_t n_stamps;
	struct err *e;
};

int open_inside(int root, const char *path, int flags)
{
	struct open_how how = { .flags = (unsigned)(flags | O_CLOEXEC), .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };

	return (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
}

static int stamp_add(struct unpacking *u, const char *path, struct timespec t, bool said)
{
	struct stamp *last = u->n_stamps ? &u->stamps[u->n_stamps - 1] : NULL;

	if (last && !said && !strcmp(last->path, path)) /* most entries stand behind one of the same folder */
		return 0;
	if (!u->stamps || !(u->n_stamps & (u->n_stamps + 1))) {
		struct stamp *more = realloc(u->stamps, (2 * u->n_stamps + 1) * sizeof(*more));

		if (!more)
			return err_sys(u->e, "%s", path);
		u->stamps = more;
	}
	last = &u->stamps[u->n_stamps];
	*last = (struct stamp){ .path = strdup(path), .t = t, .said = said, .order = u->n_stamps };
	return last->path ? u->n_stamps++, 0 : err_sys(u->e, "%s", path);
}

static int by_path(const void *a, const void *b)
{
	const struct stamp *x = a, *y = b;
	int rc = strcmp(x->path, y->path);

	return rc ? rc : x->order < y->order ? -1 : 1;
}

/* What the archive says last holds, else what was first found. */
static void stamps_set(struct unpacking *u)
{
	if (u->n_stamps)
		qsort(u->stamps, u->n_stamps, sizeof(*u->stamps), by_path);
	for (size_t i = 0, end; i < u->n_stamps; i = end) {
		struct stamp *best = &u->stamps[i];

		for (end = i; end < u->n_stamps && !strcmp(u->stamps[end].path, u->stamps[i].path); end++)
			if (u->stamps[end].said)
				best = &u->stamps[end];
		AUTO_FD int fd = open_inside(u->root, best->path, O_RDONLY | O_DIRECTORY);
		if (fd >= 0)
			futimens(fd, (const struct timespec[]){ { .tv_nsec = UTIME_OMIT }, best->t });
	}
	for (size_t i = 0; i < u->n_stamps; i++)
		free(u->stamps[i].path);
	free(u->stamps);
}

/* Opens a folder that something will be put into. */
static int open_folder(struct unpacking *u, const char *folder)
{
	int fd = open_inside(u->root, folder, O_RDONLY | O_DIRECTORY);
	struct stat st;

	if (fd >= 0 && !fstat(fd, &st) && !stamp_add(u, folder, st.st_mtim, false))
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

/* The folder of an entry, made where an archive does not name it. `path` has no leading slash and no "..". */
static int open_parent(struct unpacking *u, const char *path, const char **base)
{
	const char *slash = strrchr(path, '/');
	char folder[PATH_MAX];
	int fd;

	*base = slash ? slash + 1 : path;
	snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
	if ((fd = open_folder(u, folder)) >= 0 || errno != ENOENT)
		return fd >= 0 ? fd : err_sys(u->e, "%s", path);
	for (char *p = folder;; p++) {
		char c = *p;

		if (c != '/' && c)
			continue;
		*p = '\0';
		const char *name = strrchr(folder, '/');
		char up[PATH_MAX];
		snprintf(up, sizeof(up), "%.*s", name ? (int)(name - folder) : 1, name ? folder : ".");
		AUTO_FD int at = open_folder(u, up);
		bool made = at >= 0 && !mkdirat(at, name ? name + 1 : folder, 0755);
		if (at < 0 || (!made && errno != EEXIST) || (made && stamp_add(u, folder, (struct timespec){ 0 }, false)))
			return err_sys(u->e, "%s", path);
		*p = c;
		if (!c)
			break;
	}
	fd = open_folder(u, folder);
	return fd >= 0 ? fd : err_sys(u->e, "%s", path);
}

/* Takes away the entry, and all below it. */
static int clear_away(struct unpacking *u, int at, const char *name)
{
	char path[64 + NAME_MAX];

	if (!unlinkat(at, name, 0) || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return err_sys(u->e, "%s", name);
	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", at, name);
	return file_remove_tree(path, u->e);
}

static int clear_folder(struct unpacking *u, int at)
{
	int copy = dup(at), rc = 0;
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *de;

	if (!d)
		return err_sys(u->e, "folder");
	rewinddir(d);
	while (!rc && (de = readdir(d)))
		if (strcmp(de->d_name, ".") && strcmp(de->d_name, ".."))
			rc = clear_away(u, at, de->d_name);
	closedir(d);
	return rc;
}

static int set_xattrs(struct unpacking *u, struct archive_entry *en, int fd, const char *path)
{
	const char *name;
	const void *value;
	size_t size;

	lib.entry_xattr_reset(en);
	while (!lib.entry_xattr_next(en, &name, &value, &size))
		if ((!strcmp(name, "security.capability") || !strncmp(name, "user.", 5)) && fsetxattr(fd, name, value, size, 0))
			return err_sys(u->e, "%s: %s", path, name);
	return 0;
}

/* Owner first: a change of it takes setuid and capabilities away. */
static int set_meta(struct unpacking *u, struct archive_entry *en, int fd, const char *path)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT },
					   { .tv_sec = lib.entry_mtime(en), .tv_nsec = lib.entry_mtime_nsec(en) } };

	if (fchown(fd, (uid_t)lib.entry_uid(en), (gid_t)lib.entry_gid(en)) || fchmod(fd, lib.entry_mode(en) & 07777))
		return err_sys(u->e, "%s", path);
	if (set_xattrs(u, en, fd, path))
		return -1;
	return futimens(fd, times) ? err_sys(u->e, "%s", path) : 0;
}

static int put_file(struct unpacking *u, struct archive_entry *en, int at, const char *base, const char *path)
{
	AUTO_FD int fd = openat(at, base, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	const void *data;
	size_t n;
	la_int64_t offset;
	int rc;

	if (fd < 0)
		return err_sys(u->e, "%s", path);
	while ((rc = lib.read_data_block(u->a, &data, &n, &offset)) == ARCHIVE_OK)
		if (fd_pwrite_all(fd, data, n, offset))
			return err_sys(u->e, "%s", path);
	if (rc != ARCHIVE_EOF)
		return err_set(u->e, EX_DATAERR, "%s: %s", path, lib.error_string(u->a));
	if (ftruncate(fd, lib.entry_size(en)))
		return err_sys(u->e, "%s", path);
	return set_meta(u, en, fd, path);
}

static int put_folder(struct unpacking *u, struct archive_entry *en, int at, const char *base, const char *path)
{
	struct stat st;

	if (!fstatat(at, base, &st, AT_SYMLINK_NOFOLLOW) && !S_ISDIR(st.st_mode) && clear_away(u, at, base))
		return -1;
	if (mkdirat(at, base, 0700) && errno != EEXIST)
		return err_sys(u->e, "%s", path);
	AUTO_FD int fd = openat(at, base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_sys(u->e, "%s", path);
	return set_meta(u, en, fd, path) ||
	       stamp_add(u, path, (struct timespec){ .tv_sec = lib.entry_mtime(en), .tv_nsec = lib.entry_mtime_nsec(en) }, true) ? -1 : 0;
}

static int put_link(struct unpacking *u, const char *target, int at, const char *base, const char *path)
{
	const char *from;

	while (*target == '/' || !strncmp(target, "./", 2))
		target += *target == '/' ? 1 : 2;
	AUTO_FD int folder = open_parent(u, target, &from);
	if (folder < 0)
		return -1;
	return linkat(folder, from, at, base, 0) ? err_sys(u->e, "%s: link to %s", path, target) : 0;
}

static int put_symlink(struct unpacking *u, struct archive_entry *en, int at, const char *base, const char *path)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT },
					   { .tv_sec = lib.entry_mtime(en), .tv_nsec = lib.entry_mtime_nsec(en) } };

	if (!lib.entry_symlink(en) || symlinkat(lib.entry_symlink(en), at, base) ||
	    fchownat(at, base, (uid_t)lib.entry_uid(en), (gid_t)lib.entry_gid(en), AT_SYMLINK_NOFOLLOW) ||
	    utimensat(at, base, times, AT_SYMLINK_NOFOLLOW))
		return err_sys(u->e, "%s", path);
	return 0;
}

static int put(struct unpacking *u, struct archive_entry *en, const char *path)
{
	const char *base, *hard = lib.entry_hardlink(en);
	mode_t mode = lib.entry_mode(en);
	AUTO_FD int at = open_parent(u, path, &base);

	if (at < 0)
		return -1;
	if (S_ISDIR(mode) && !hard)
		return put_folder(u, en, at, base, path);
	if (clear_away(u, at, base))
		return -1;
	if (hard)
		return put_link(u, hard, at, base, path);
	if (S_ISREG(mode))
		return put_file(u, en, at, base, path);
	if (S_ISLNK(mode))
		return put_symlink(u, en, at, base, path);
	if (!S_ISFIFO(mode)) /* a device: a service gets those of /dev that it may have, and no others */
		return 0;
	if (mkfifoat(at, base, mode & 07777) || fchownat(at, base, (uid_t)lib.entry_uid(en), (gid_t)lib.entry_gid(en), 0))
		return err_sys(u->e, "%s", path);
	return 0;
}

/* "./a/b" and "/a/b" are "a/b". NULL: it is the root itself. */
static const char *plain_path(struct unpacking *u, const char *path, bool *bad)
{
	size_t n;

	*bad = !path && err_set(u->e, EX_DATAERR, "an entry without a name");
	while (path && (*path == '/' || !strncmp(path, "./", 2)))
		path += *path == '/' ? 1 : 2;
	if (!path || !*path || !strcmp(path, "."))
		return NULL;
	n = strlen(path);
	*bad = n >= PATH_MAX || !strncmp(path, "../", 3) || !strcmp(path, "..") || strstr(path, "/../") ||
	       (n > 3 && !strcmp(path + n - 3, "/.."));
	if (*bad)
		err_set(u->e, EX_DATAERR, "%.200s: a path that leads out", path);
	return *bad ? NULL : path;
}

/* What a layer takes away of those below it. */
static int white_out(struct unpacking *u, const char *path)
{
	const char *base;
	AUTO_FD int at = open_parent(u, path, &base);

	if (at < 0)
		return -1;
	if (!strcmp(base, ".wh..wh..opq"))
		return clear_folder(u, at);
	return base[4] && strcmp(base + 4, ".") && strcmp(base + 4, "..") ? clear_away(u, at, base + 4) : 0;
}

/* Once for the whiteouts, as they may stand behind what the same layer puts in their place; then for the rest. */
static int pass(struct unpacking *u, bool whiteouts)
{
	struct archive_entry *en;
	unsigned n = 0;
	int rc;

	while ((rc = lib.read_next_header(u->a, &en)) == ARCHIVE_OK || rc == ARCHIVE_WARN) {
		char copy[PATH_MAX];
		bool bad;
		const char *path = plain_path(u, lib.entry_pathname(en), &bad), *slash;

		if (bad)
			return -1;
		if (++n > ENTRIES_MAX)
			return err_set(u->e, EX_DATAERR, "too many entries");
		if (!path) { /* the root's own: it keeps its owner and mode, and has no time */
			if (stamp_add(u, ".", (struct timespec){ 0 }, true))
				return -1;
			continue;
		}
		snprintf(copy, sizeof(copy), "%s", path);
		for (size_t len = strlen(copy); len && copy[len - 1] == '/';)
			copy[--len] = '\0';
		slash = strrchr(copy, '/');
		bool white = u->whiteouts && !strncmp(slash ? slash + 1 : copy, ".wh.", 4);
		if (white == whiteouts && (white ? white_out(u, copy) : put(u, en, copy)))
			return -1;
	}
	return rc == ARCHIVE_EOF ? 0 : err_set(u->e, EX_DATAERR, "%s", lib.error_string(u->a));
}

static int read_once(struct unpacking *u, int fd, bool whiteouts)
{
	if (lseek(fd, 0, SEEK_SET) < 0 || !(u->a = lib.read_new()))
		return err_sys(u->e, "archive");
	lib.read_support_format_tar(u->a);
	lib.read_support_filter_gzip(u->a);
	lib.read_support_filter_zstd(u->a);
	lib.read_support_filter_xz(u->a);
	lib.read_support_filter_bzip2(u->a);
	/* names are bytes: no character sets of the C library, which it would load */
	lib.read_set_options(u->a, "hdrcharset=BINARY");
	int rc = lib.read_open_fd(u->a, fd, BLOCK) ? err_set(u->e, EX_DATAERR, "%s", lib.error_string(u->a)) : pass(u, whiteouts);
	lib.read_free(u->a);
	return rc;
}

int unpack(int fd, int root, bool whiteouts, struct err *e)
{
	struct unpacking u = { .root = root, .whiteouts = whiteouts, .e = e };

	if (library_load(&library, e))
		return -1;
	int rc = (whiteouts && read_once(&u, fd, true)) || read_once(&u, fd, false) ? -1 : 0;
	stamps_set(&u);
	return rc;
}
