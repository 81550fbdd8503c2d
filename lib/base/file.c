/* SPDX-License-Identifier: MIT */
#include "lib/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/clock.h"

#define SLURP_MAX (64u << 20)
#define DEPTH_MAX 64 /* open folders at a time in file_remove_tree */
#define FILLED_MAX 16 /* times that somebody may put something into a folder that goes */

const char *file_path(const char *fmt, ...)
{
	static _Thread_local char ring[8][PATH_MAX];
	static _Thread_local unsigned int next;
	char *buf = ring[next++ % 8];
	const char *root = getenv("EDGE_ROOT");
	size_t n = 0;
	va_list ap;

	if (root)
		n = (size_t)snprintf(buf, PATH_MAX, "%s", root);
	if (n >= PATH_MAX)
		n = PATH_MAX - 1; /* too long a path: the system calls will refuse it */
	va_start(ap, fmt);
	vsnprintf(buf + n, PATH_MAX - n, fmt, ap);
	va_end(ap);
	return buf;
}

bool file_is_below(const char *path, const char *folder)
{
	size_t n = strcmp(folder, "/") ? strlen(folder) : 0; /* all absolute paths are below it */

	return !strncmp(path, folder, n) && (!path[n] || path[n] == '/');
}

int file_mkdirs(const char *path, mode_t mode, struct err *e)
{
	char buf[PATH_MAX];
	size_t n = strlen(path);
	struct stat st;

	if (n >= sizeof(buf)) {
		errno = ENAMETOOLONG;
		return err_sys(e, "%.100s", path);
	}
	memcpy(buf, path, n + 1);
	for (char *p = buf + 1; n > 0; p++) {
		char c = *p;

		if (c != '/' && c != '\0')
			continue;
		*p = '\0';
		if (mkdir(buf, mode) && errno != EEXIST)
			return err_sys(e, "%s: cannot make folder", buf);
		*p = c;
		if (c == '\0')
			break;
	}
	if (stat(path, &st))
		return err_sys(e, "%s", path);
	if (!S_ISDIR(st.st_mode)) {
		errno = ENOTDIR;
		return err_sys(e, "%s", path);
	}
	return 0;
}

int file_mkdir_private(const char *path, struct err *e)
{
	char above[PATH_MAX];
	const char *slash = strrchr(path, '/');
	struct stat st;

	snprintf(above, sizeof(above), "%.*s", slash ? (int)(slash - path) : 0, path);
	if ((*above && file_mkdirs(above, 0755, e)) || file_mkdirs(path, 0700, e))
		return -1;
	AUTO_FD int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		return err_sys(e, "%s", path);
	if (st.st_uid != geteuid())
		return err_set(e, EX_NOPERM, "%s: belongs to user %u", path, (unsigned)st.st_uid);
	return (st.st_mode & 07777) != 0700 && fchmod(fd, 0700) ? err_sys(e, "%s", path) : 0;
}

char *file_slurp(const char *path, size_t *len, struct err *e)
{
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	AUTO_FREE char *buf = NULL;
	size_t n = 0, room = 0;
	struct stat st;

	if (fd < 0 || fstat(fd, &st)) {
		err_sys(e, "%s", path);
		return NULL;
	}
	for (;;) {
		ssize_t r;

		if (n + 1 >= room) {
			/* files of /proc say they are empty, so the size is only a first guess */
			off_t guess = st.st_size > 0 && st.st_size <= SLURP_MAX ? st.st_size + 2 : 4096;
			size_t more = room ? room * 2 : (size_t)guess;
			char *p = realloc(buf, more);

			if (!p) {
				err_sys(e, "%s", path);
				return NULL;
			}
			buf = p;
			room = more;
		}
		r = read(fd, buf + n, room - n - 1);
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0) {
			err_sys(e, "%s", path);
			return NULL;
		}
		n += (size_t)r;
		if (n > SLURP_MAX) {
			err_set(e, EX_DATAERR, "%s: larger than 64 MB", path);
			return NULL;
		}
		if (r == 0)
			break;
	}
	buf[n] = '\0';
	if (len)
		*len = n;
	return TAKE_PTR(buf);
}

/* Where the name begins, behind the last slash. */
static int name_at(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? (int)(slash - path) + 1 : 0;
}

int file_sync_folder(const char *path, struct err *e)
{
	char folder[PATH_MAX];
	int n = name_at(path);

	snprintf(folder, sizeof(folder), "%.*s", n ? n : 1, n ? path : ".");
	AUTO_FD int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || fsync(fd) ? err_sys(e, "%s: cannot sync its folder", path) : 0;
}

static int write_whole(const char *path, const void *data, size_t len, mode_t mode, bool sync, struct err *e)
{
	char tmp[PATH_MAX];
	AUTO_FD int fd = -1;
	int name = name_at(path);
	/* the dot keeps it out of listings */
	int n = snprintf(tmp, sizeof(tmp), "%.*s.%s.XXXXXX", name, path, path + name);

	if (n < 0 || (size_t)n >= sizeof(tmp)) {
		errno = ENAMETOOLONG;
		return err_sys(e, "%.100s: cannot write", path);
	}
	fd = mkostemp(tmp, O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, "%s: cannot write", path);
	/* Without waiting for the disk it at least begins: most filesystems have the name there only after what is in the file. */
	if (fchmod(fd, mode) || fd_write_all(fd, data, len) ||
	    (sync ? fsync(fd) : (sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE), 0)) || rename(tmp, path)) {
		err_sys(e, "%s: cannot write", path);
		unlink(tmp);
		return -1;
	}
	return sync ? file_sync_folder(path, e) : 0;
}

int file_write(const char *path, const void *data, size_t len, mode_t mode, struct err *e)
{
	return write_whole(path, data, len, mode, true, e);
}

int file_write_cached(const char *path, const void *data, size_t len, mode_t mode, struct err *e)
{
	return write_whole(path, data, len, mode, false, e);
}

int file_poke(const char *path, const char *text, struct err *e)
{
	AUTO_FD int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return err_sys(e, "%s", path);
	if (fd_write_all(fd, text, strlen(text)))
		return err_sys(e, "%s: cannot write '%.60s'", path, text);
	return 0;
}

struct removal {
	int root;           /* the top folder */
	dev_t dev;          /* its filesystem */
	unsigned int moved; /* folders moved up because they were too deep */
	const char *path;
};

static int remove_entries(struct removal *r, int dir, int depth, struct err *e);

static int remove_entry(struct removal *r, int dir, const char *name, int depth, struct err *e)
{
	AUTO_FD int sub = -1;
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW))
		return errno == ENOENT ? 0 : err_sys(e, "%s: cannot remove %s", r->path, name);
	if (!S_ISDIR(st.st_mode)) {
		if (unlinkat(dir, name, 0) && errno != ENOENT)
			return err_sys(e, "%s: cannot remove %s", r->path, name);
		return 0;
	}
	if (st.st_dev != r->dev)
		return err_set(e, EX_TEMPFAIL, "%s: cannot remove %s: another filesystem is mounted there",
		               r->path, name);
	if (depth >= DEPTH_MAX) {
		/* to the top, where a later pass finds it: depth is not bounded by descriptors */
		char up[64];

		snprintf(up, sizeof(up), ".deep-%d-%u", (int)getpid(), r->moved++);
		if (renameat(dir, name, r->root, up))
			return err_sys(e, "%s: cannot remove %s", r->path, name);
		return 0;
	}
	sub = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (sub < 0)
		return err_sys(e, "%s: cannot remove %s", r->path, name);
	if (remove_entries(r, sub, depth + 1, e))
		return -1;
	if (unlinkat(dir, name, AT_REMOVEDIR) && errno != ENOENT)
		return err_sys(e, "%s: cannot remove %s", r->path, name);
	return 0;
}

static int remove_entries(struct removal *r, int dir, int depth, struct err *e)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* fdopendir keeps it */
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *de;
	int rc = 0;

	if (!d) {
		if (fd >= 0)
			close(fd);
		return err_sys(e, "%s", r->path);
	}
	while (rc == 0 && (de = readdir(d)))
		if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0)
			rc = remove_entry(r, dir, de->d_name, depth, e);
	closedir(d);
	return rc;
}

int file_remove_tree(const char *path, struct err *e)
{
	AUTO_FD int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct removal r = { .root = fd, .path = path };
	unsigned int before;
	struct stat st;

	if (fd < 0) {
		if (errno == ENOENT)
			return 0;
		if ((errno != ENOTDIR && errno != ELOOP) || (unlink(path) && errno != ENOENT))
			return err_sys(e, "%s: cannot remove", path);
		return 0;
	}
	if (fstat(fd, &st))
		return err_sys(e, "%s", path);
	r.dev = st.st_dev;
	for (int filled = 0; filled < FILLED_MAX; filled++) {
		do {
			before = r.moved;
			if (remove_entries(&r, fd, 0, e))
				return -1;
		} while (r.moved != before);
		if (!rmdir(path) || errno == ENOENT)
			return 0;
		/* As who has just seen its service end notes down how. */
		if (errno != ENOTEMPTY && errno != EEXIST)
			break;
	}
	return err_sys(e, "%s: cannot remove", path);
}

int fd_read_all(int fd, void *buf, size_t n)
{
	char *p = buf;

	while (n > 0) {
		ssize_t r = read(fd, p, n);

		if (r < 0 && errno == EINTR)
			continue;
		if (r == 0)
			errno = EPIPE;
		if (r <= 0)
			return -1;
		p += r;
		n -= (size_t)r;
	}
	return 0;
}

int fd_write_all(int fd, const void *buf, size_t n)
{
	const char *p = buf;

	while (n > 0) {
		ssize_t r = write(fd, p, n);

		if (r < 0 && errno == EINTR)
			continue;
		if (r == 0)
			errno = EPIPE;
		if (r <= 0)
			return -1;
		p += r;
		n -= (size_t)r;
	}
	return 0;
}

int fd_pwrite_all(int fd, const void *buf, size_t n, off_t at)
{
	const char *p = buf;

	while (n > 0) {
		ssize_t r = pwrite(fd, p, n, at);

		if (r < 0 && errno == EINTR)
			continue;
		if (r == 0)
			errno = EPIPE;
		if (r <= 0)
			return -1;
		p += r;
		at += r;
		n -= (size_t)r;
	}
	return 0;
}

int file_lock(const char *name, struct err *e)
{
	const char *path = file_path("/run/edge/%s.lock", name);
	AUTO_FD int fd = -1;
	char who[16] = "";

	if (file_mkdirs(file_path("/run/edge"), 0755, e))
		return -1;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_sys(e, "%s: cannot lock: %s", name, path);
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		if (errno != EWOULDBLOCK)
			return err_sys(e, "%s: cannot lock: %s", name, path);
		if (pread(fd, who, sizeof(who) - 1, 0) <= 0 || atoi(who) <= 0)
			return err_set(e, EX_TEMPFAIL, "%s: busy: locked by another program", name);
		return err_set(e, EX_TEMPFAIL, "%s: busy: locked by process %d", name, atoi(who));
	}
	/* only for the message above, so that a full disk is no reason to fail */
	if (ftruncate(fd, 0) == 0)
		dprintf(fd, "%d\n", (int)getpid());
	return TAKE_FD(fd);
}

int file_lock_wait(const char *name, int wait_ms, struct err *e)
{
	double end = clock_ms() + wait_ms;
	struct err cause = { 0 };
	int fd;

	while ((fd = file_lock(name, &cause)) < 0 && cause.code == EX_TEMPFAIL && clock_ms() < end)
		usleep(5000);
	if (fd < 0 && e)
		*e = cause;
	return fd;
}
