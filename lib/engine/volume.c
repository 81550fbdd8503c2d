/* SPDX-License-Identifier: MIT */
/* Where a volume really is: the kernel, and so CRIU, knows mounts by paths without links. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/engine/engine.h"

#define LINKS_MAX 40

/* Does the upper layer hide what is below a folder on the way to `path`? */
static bool masked(const char *upper, const char *path)
{
	char at[2 * PATH_MAX], opaque;

	for (const char *p = strchr(path + 1, '/'); p; p = strchr(p + 1, '/')) {
		snprintf(at, sizeof(at), "%s%.*s", upper, (int)(p - path), path);
		if (lgetxattr(at, "trusted.overlay.opaque", &opaque, 1) == 1 && opaque == 'y')
			return true;
	}
	return false;
}

/* What the service will find at `path`, whose folders have no links: its mode, 0 for nothing. A link's target. */
static mode_t look(const struct service *s, const char *path, char target[PATH_MAX])
{
	char at[2 * PATH_MAX];
	struct stat st;
	ssize_t n = 0;

	snprintf(at, sizeof(at), "%s%s", service_dir(s, "upper"), path);
	if (lstat(at, &st)) {
		if (masked(service_dir(s, "upper"), path))
			return 0;
		snprintf(at, sizeof(at), "%s%s", strcmp(s->root, "/") ? s->root : "", path);
		if (lstat(at, &st))
			return 0;
	}
	if (S_ISLNK(st.st_mode) && (n = readlink(at, target, PATH_MAX - 1)) < 0)
		return 0;
	target[n] = '\0';
	return st.st_mode;
}

/* Follows the links in `path` inside the service's root. */
static int resolve(const struct service *s, char path[PATH_MAX], struct err *e)
{
	char done[PATH_MAX] = "", rest[PATH_MAX], target[PATH_MAX], next[2 * PATH_MAX];
	int links = 0;

	snprintf(rest, sizeof(rest), "%s", path);
	for (char *p = rest; *(p += strspn(p, "/"));) {
		size_t n = strcspn(p, "/"), was = strlen(done);

		if (n == 2 && !strncmp(p, "..", n)) {
			*(strrchr(done, '/') ? strrchr(done, '/') : done) = '\0';
		} else if (n != 1 || *p != '.') {
			if (was + n + 2 > sizeof(done))
				return err_set(e, EX_USAGE, "volume %s: too long", path);
			snprintf(done + was, sizeof(done) - was, "/%.*s", (int)n, p);
			mode_t mode = look(s, done, target);
			if (mode && !S_ISDIR(mode) && !S_ISLNK(mode))
				return err_set(e, EX_UNAVAILABLE, "volume %s: %s is not a folder", path, done);
			if (S_ISLNK(mode)) {
				snprintf(next, sizeof(next), "%s/%s", target, p + n);
				if (++links > LINKS_MAX || strlen(next) >= sizeof(rest))
					return err_set(e, EX_UNAVAILABLE, "volume %s: %s", path, strerror(ELOOP));
				done[*target == '/' ? 0 : was] = '\0';
				memcpy(rest, next, strlen(next) + 1);
				p = rest;
				continue;
			}
		}
		p += n;
	}
	if (!*done || !strcmp(done, "/proc") || !strncmp(done, "/proc/", 6))
		return err_set(e, EX_USAGE, "volume %s: cannot be %s", path, *done ? "in /proc" : "the root");
	memcpy(path, done, sizeof(done));
	return 0;
}

static int resolve_one(struct service *s, int i, struct err *e)
{
	struct service_volume *v = &s->volumes[i];
	char host[PATH_MAX];

	if (!realpath(v->host, host))
		return err_sys(e, "volume %s", v->host);
	memcpy(v->host, host, strlen(host) + 1);
	if (resolve(s, v->path, e))
		return -1;
	if (!service_path_valid(v->host) || !service_path_valid(v->path))
		return err_set(e, EX_UNAVAILABLE, "volume %s on %s: not plain absolute paths", v->host, v->path);
	for (int k = 0; k < i; k++)
		if (file_is_below(s->volumes[k].path, v->path))
			return err_set(e, EX_USAGE, "volume %s: hides the one on %s", v->path, s->volumes[k].path);
	return 0;
}

int volumes_resolve(struct service *s, struct err *e)
{
	for (int i = 0; i < s->n_volumes; i++)
		if (resolve_one(s, i, e))
			return err_wrap(e, "service %s", s->name);
	return 0;
}

int volumes_movable(const struct service *s, struct err *e)
{
	static const char *const states[] = { "/etc/edge", "/var/lib/edge", "/run/edge" };
	char state[PATH_MAX];

	for (int i = 0; i < s->n_volumes; i++)
		for (size_t k = 0; k < sizeof(states) / sizeof(*states); k++)
			if (realpath(file_path("%s", states[k]), state) && file_is_below(state, s->volumes[i].host))
				return err_set(e, EX_UNAVAILABLE, "service %s: volume %s: holds this node's own state (%s)", s->name,
					       s->volumes[i].host, state);
	return 0;
}

/* ---- files ---- */

/* The folder of a path in the upper layer, each part like the one below it. */
static int upper_folder(const struct service *s, const char *path, char at[2 * PATH_MAX], struct err *e)
{
	const char *lower = strcmp(s->root, "/") ? s->root : "";
	char below[2 * PATH_MAX];
	struct stat st;

	for (const char *p = path; *p; p = strchrnul(p + 1, '/')) {
		int n = (int)(strchrnul(p + 1, '/') - path);

		snprintf(at, 2 * PATH_MAX, "%s%.*s", service_dir(s, "upper"), n, path);
		snprintf(below, sizeof(below), "%s%.*s", lower, n, path);
		if (!mkdir(at, 0755)) {
			if (!stat(below, &st) && (chown(at, st.st_uid, st.st_gid) || chmod(at, st.st_mode & 07777)))
				return err_sys(e, "volume %s", path);
		} else if (errno != EEXIST) {
			return err_sys(e, "volume %s", path);
		}
	}
	return 0;
}

static int copy_file(const struct service *s, const struct service_volume *v, struct err *e)
{
	char folder[PATH_MAX], at[2 * PATH_MAX], *slash;
	AUTO_FREE char *data = NULL;
	struct stat st;
	size_t len;

	snprintf(folder, sizeof(folder), "%s", v->path);
	if (!(slash = strrchr(folder, '/')) || !slash[1])
		return err_set(e, EX_USAGE, "volume %s: is a file, and cannot be the root", v->path);
	*slash = '\0';
	if (*folder && resolve(s, folder, e))
		return -1;
	snprintf(at, sizeof(at), "%s", service_dir(s, "upper"));
	if (upper_folder(s, folder, at, e) || !(data = file_slurp(v->host, &len, e)) || stat(v->host, &st))
		return err_wrap(e, "volume %s", v->host);
	size_t n = strlen(at);
	snprintf(at + n, sizeof(at) - n, "/%s", strrchr(v->path, '/') + 1);
	if (file_write(at, data, len, st.st_mode & 07777, e))
		return -1;
	return chown(at, st.st_uid, st.st_gid) ? err_sys(e, "%s", at) : 0;
}

int volumes_copy_files(struct service *s, struct err *e)
{
	struct stat st;
	int kept = 0;

	for (int i = 0; i < s->n_volumes; i++) {
		if (stat(s->volumes[i].host, &st) || !S_ISREG(st.st_mode)) {
			s->volumes[kept++] = s->volumes[i];
			continue;
		}
		if (copy_file(s, &s->volumes[i], e))
			return err_wrap(e, "service %s", s->name);
	}
	s->n_volumes = kept;
	return 0;
}
