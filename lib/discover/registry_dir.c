/* SPDX-License-Identifier: MIT */
/* A registry as a folder: one record in one line per file, PREFIX/NAME.json. It may lie on a shared filesystem. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/discover/registry_kind.h"

#define SUFFIX ".json"
#define LOCK_MS 5000

struct dir {
	char path[PATH_MAX];
	int notify;       /* -1 before the first watch */
	char watched[64]; /* the prefix that `notify` watches */
	int staged;       /* a file on disk, without a name yet; -1: none */
	char *text;       /* what is in it */
};

static int dir_open(void **out, const char *rest, struct err *e)
{
	struct dir *d;

	if (strlen(rest) >= sizeof(d->path) - 256)
		return err_set(e, EX_USAGE, "registry dir:%s: path too long", rest);
	if (!(d = calloc(1, sizeof(*d))))
		return err_sys(e, "registry dir:%s", rest);
	memcpy(d->path, rest, strlen(rest) + 1);
	d->notify = d->staged = -1;
	*out = d;
	return 0;
}

static void unstage(struct dir *d)
{
	if (d->staged >= 0)
		close(TAKE_FD(d->staged));
	free(TAKE_PTR(d->text));
}

static void dir_close(void *self)
{
	struct dir *d = self;

	unstage(d);
	if (d->notify >= 0)
		close(d->notify);
	free(d);
}

static const char *below(const struct dir *d, const char *key, const char *suffix, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%.3800s/%.250s%s", d->path, key, suffix);
	return path;
}

static void version_of(const char *text, size_t n, struct registry_version *v)
{
	snprintf(v->text, sizeof(v->text), "%016llx", (unsigned long long)XXH64(text, n, 0));
}

/* *rec stays NULL, and the version "", when there is no such file. */
static int dir_get(void *self, const char *key, struct json **rec, struct registry_version *v, struct err *e)
{
	struct registry_version none;
	char path[PATH_MAX];
	size_t n = 0;

	*rec = NULL;
	if (!v)
		v = &none;
	v->text[0] = '\0';
	if (access(below(self, key, SUFFIX, path), F_OK) && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	AUTO_FREE char *text = file_slurp(path, &n, e);
	if (!text)
		return -1;
	version_of(text, n, v);
	if (!(*rec = json_parse(text, n, e)))
		return err_wrap(e, "%s", path);
	return 0;
}

static int names_only(const struct dirent *d)
{
	size_t n = strlen(d->d_name), s = strlen(SUFFIX);

	return d->d_name[0] != '.' && n > s && !strcmp(d->d_name + n - s, SUFFIX);
}

/* By name without the suffix, so that "a-b" comes behind "a". */
static int by_name(const struct dirent **a, const struct dirent **b)
{
	char x[256], y[256];

	snprintf(x, sizeof(x), "%.*s", (int)(strlen((*a)->d_name) - strlen(SUFFIX)), (*a)->d_name);
	snprintf(y, sizeof(y), "%.*s", (int)(strlen((*b)->d_name) - strlen(SUFFIX)), (*b)->d_name);
	return strcmp(x, y);
}

static int dir_list(void *self, const char *prefix, struct json **array, struct err *e)
{
	char path[PATH_MAX], key[512];
	struct dirent **names = NULL;
	AUTO_JSON struct json *all = json_array();
	int n = scandir(below(self, prefix, "", path), &names, names_only, by_name), rc = 0;

	if (n < 0 && errno != ENOENT)
		return err_sys(e, "registry %s", path);
	for (int i = 0; i < n; i++) {
		struct json *rec = NULL;

		snprintf(key, sizeof(key), "%s/%.*s", prefix, (int)(strlen(names[i]->d_name) - strlen(SUFFIX)),
			 names[i]->d_name);
		if (!rc && !(rc = dir_get(self, key, &rec, NULL, e)) && rec)
			json_add(all, rec);
		free(names[i]);
	}
	free(names);
	if (!rc)
		*array = TAKE_PTR(all);
	return rc;
}

static int lock(const struct dir *d, struct err *e)
{
	char path[PATH_MAX];
	double end = clock_ms() + LOCK_MS;
	AUTO_FD int fd = open(below(d, ".lock", "", path), O_RDWR | O_CREAT | O_CLOEXEC, 0644);

	if (fd < 0)
		return err_sys(e, "registry %s", path);
	while (flock(fd, LOCK_EX | LOCK_NB)) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return err_sys(e, "registry %s", path);
		if (clock_ms() > end)
			return err_set(e, EX_TEMPFAIL, "registry %s: locked for more than %d ms", path, LOCK_MS);
		usleep(2000);
	}
	return TAKE_FD(fd);
}

static int version_check(struct dir *d, const char *key, const struct registry_version *expect, struct err *e)
{
	struct registry_version now = { "" };
	char path[PATH_MAX];
	size_t n = 0;

	if (!expect)
		return 0;
	if (!access(below(d, key, SUFFIX, path), F_OK)) { /* not parsed: a broken record can be replaced */
		AUTO_FREE char *text = file_slurp(path, &n, e);

		if (!text)
			return -1;
		version_of(text, n, &now);
	}
	return strcmp(now.text, expect->text) ? 1 : 0;
}

/* The folder of the key's file, made if need be. */
static const char *folder_of(const struct dir *d, const char *key, char path[PATH_MAX], struct err *e)
{
	char prefix[64];

	snprintf(prefix, sizeof(prefix), "%.*s", (int)strcspn(key, "/"), key);
	return file_mkdirs(below(d, prefix, "", path), 0755, e) ? NULL : path;
}

static int dir_stage(void *self, const char *key, const struct json *rec, struct err *e)
{
	struct dir *d = self;
	char path[PATH_MAX];

	unstage(d);
	if (!folder_of(d, key, path, e))
		return -1;
	d->staged = open(path, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0644);
	d->text = json_line(rec);
	/* Not every filesystem has files without a name. */
	if (d->staged < 0 || !d->text || fchmod(d->staged, 0644) || fd_write_all(d->staged, d->text, strlen(d->text)) || fsync(d->staged))
		unstage(d);
	return 0;
}

/* Gives the staged file its name, if it is the one. 1: it is not, or somebody was faster. */
static int put_staged(struct dir *d, const char *key, const struct json *rec, struct err *e)
{
	char path[PATH_MAX], link[32];

	if (d->staged < 0)
		return 1;
	AUTO_FREE char *text = json_line(rec);
	if (!text || strcmp(text, d->text))
		return 1;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", d->staged);
	if (linkat(AT_FDCWD, link, AT_FDCWD, below(d, key, SUFFIX, path), AT_SYMLINK_FOLLOW))
		return 1;
	unstage(d);
	return file_sync_folder(path, e);
}

static int dir_put(void *self, const char *key, const struct json *rec, const struct registry_version *expect,
		   struct err *e)
{
	struct dir *d = self;
	char path[PATH_MAX];
	int rc;

	if (!folder_of(d, key, path, e))
		return -1;
	AUTO_FD int held = lock(d, e);
	if (held < 0)
		return -1;
	if ((rc = version_check(d, key, expect, e)))
		return rc;
	if (rec && (rc = put_staged(d, key, rec, e)) <= 0)
		return rc;
	below(d, key, SUFFIX, path);
	if (rec)
		return json_write_file(rec, path, e);
	return unlink(path) && errno != ENOENT ? err_sys(e, "%s", path) : 0;
}

static int watch_begin(struct dir *d, const char *prefix, struct err *e)
{
	char path[PATH_MAX];

	if (d->notify >= 0 && !strcmp(d->watched, prefix))
		return 0;
	if (file_mkdirs(below(d, prefix, "", path), 0755, e))
		return -1;
	if (d->notify >= 0)
		close(d->notify);
	d->notify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (d->notify < 0 || inotify_add_watch(d->notify, path, IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_MOVED_FROM) < 0)
		return err_sys(e, "registry %s: cannot watch", path);
	snprintf(d->watched, sizeof(d->watched), "%s", prefix);
	return 0;
}

/* The watch stays between calls: what changes meanwhile is told by the next one. */
static int dir_watch(void *self, const char *prefix, int timeout_ms, struct err *e)
{
	struct dir *d = self;
	double end = clock_ms() + timeout_ms;
	_Alignas(struct inotify_event) char room[4096];

	if (watch_begin(d, prefix, e))
		return -1;
	for (;;) {
		struct pollfd p = { .fd = d->notify, .events = POLLIN };
		double left = end - clock_ms();
		bool changed = false;
		ssize_t n;

		if (poll(&p, 1, left > 0 ? (int)left + 1 : 0) < 0 && errno != EINTR)
			return err_sys(e, "registry %s", d->path);
		while ((n = read(d->notify, room, sizeof(room))) > 0)
			for (char *at = room; at < room + n;) {
				struct inotify_event *ev = (struct inotify_event *)at;
				size_t len = ev->len ? strlen(ev->name) : 0;

				/* temporary names do not count; an overflow does */
				changed |= !ev->len || (len > strlen(SUFFIX) && ev->name[0] != '.' &&
							!strcmp(ev->name + len - strlen(SUFFIX), SUFFIX));
				at += sizeof(*ev) + ev->len;
			}
		if (changed)
			return 1;
		if (clock_ms() >= end)
			return 0;
	}
}

const struct registry_kind registry_dir = {
	.scheme = "dir",
	.open = dir_open,
	.close = dir_close,
	.list = dir_list,
	.get = dir_get,
	.put = dir_put,
	.stage = dir_stage,
	.watch = dir_watch,
};
