/* SPDX-License-Identifier: MIT */
/* The root of a service: an overlay whose upper layer holds all that is the service's own. No tmpfs anywhere: the
 * dump of one would be a copy of its files made while the service is frozen. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "lib/base/file.h"
#include "lib/engine/engine.h"
#include "lib/engine/process.h"

struct mask {
	const char *path;
	mode_t mode;
};

static int upper_dir(const char *upper, const char *path, mode_t mode, bool opaque, struct err *e)
{
	char at[PATH_MAX];

	if (snprintf(at, sizeof(at), "%s%s", upper, path) >= (int)sizeof(at))
		return err_set(e, EX_DATAERR, "%s: path too long", path);
	if (file_mkdirs(at, 0755, e))
		return -1;
	if (chmod(at, mode) || (opaque && setxattr(at, "trusted.overlay.opaque", "y", 1, 0)))
		return err_sys(e, "%s", at);
	return 0;
}

static int upper_text(const char *upper, const char *path, const char *text, struct err *e)
{
	char at[PATH_MAX];

	if (snprintf(at, sizeof(at), "%s%s", upper, path) >= (int)sizeof(at))
		return err_set(e, EX_DATAERR, "%s: path too long", path);
	return file_write(at, text, strlen(text), 0644, e);
}

static int upper_dev(const char *upper, struct err *e)
{
	static const struct {
		const char *path;
		unsigned minor_of, major_of;
	} nodes[] = { { "/dev/null", 3, 1 },   { "/dev/zero", 5, 1 },    { "/dev/full", 7, 1 },
		      { "/dev/random", 8, 1 }, { "/dev/urandom", 9, 1 }, { "/dev/tty", 0, 5 } };
	static const char *const links[][2] = { { "/dev/fd", "/proc/self/fd" },
						{ "/dev/stdin", "/proc/self/fd/0" },
						{ "/dev/stdout", "/proc/self/fd/1" },
						{ "/dev/stderr", "/proc/self/fd/2" },
						{ "/dev/ptmx", "pts/ptmx" } };
	char at[PATH_MAX];

	if (upper_dir(upper, "/dev", 0755, true, e) || upper_dir(upper, "/dev/shm", 01777, false, e) ||
	    upper_dir(upper, "/dev/mqueue", 01777, false, e) || upper_dir(upper, "/dev/pts", 0755, false, e))
		return -1;
	for (size_t i = 0; i < sizeof(nodes) / sizeof(*nodes); i++) {
		snprintf(at, sizeof(at), "%.4000s%s", upper, nodes[i].path);
		if (mknod(at, S_IFCHR | 0666, makedev(nodes[i].major_of, nodes[i].minor_of)) || chmod(at, 0666))
			return err_sys(e, "%s", at);
	}
	for (size_t i = 0; i < sizeof(links) / sizeof(*links); i++) {
		snprintf(at, sizeof(at), "%.4000s%s", upper, links[i][0]);
		if (symlink(links[i][1], at))
			return err_sys(e, "%s", at);
	}
	return 0;
}

/* Its own name, and those that its definition knows: "NAME=IP". */
static char *hosts_text(const struct service *s)
{
	AUTO_JSON struct json *hosts = s->about ? json_get(s->about, "hosts") : NULL;
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	fprintf(f, "127.0.0.1\tlocalhost\n::1\tlocalhost\n%s\t%s\n", service_ip(s) ? service_ip(s) : "127.0.1.1", s->name);
	for (size_t i = 0; hosts && i < json_len(hosts, NULL); i++) {
		AUTO_JSON struct json *item = json_at(hosts, i);
		const char *name = item ? json_value(item) : NULL, *ip = name ? strchr(name, '=') : NULL;

		if (ip && !strpbrk(name, " \t\n"))
			fprintf(f, "%s\t%.*s\n", ip + 1, (int)(ip - name), name);
	}
	fclose(f);
	return text;
}

/* A root of its own has no file of the node that tells who answers for names. */
static int upper_resolv(const struct service *s, const char *upper, struct err *e)
{
	AUTO_FREE char *text = NULL;

	if (!strcmp(s->root, "/") || access("/etc/resolv.conf", R_OK))
		return 0;
	text = file_slurp("/etc/resolv.conf", NULL, e);
	return text ? upper_text(upper, "/etc/resolv.conf", text, e) : -1;
}

int root_prepare(const struct service *s, struct err *e)
{
	static const struct mask masks[] = {
		{ "/root", 0700 }, { "/home", 0755 }, { "/etc/ssh", 0755 }, { "/etc/edge", 0700 }, { "/var/lib/edge", 0700 },
		{ "/tmp", 01777 }, { "/run", 0755 },  { "/var/tmp", 01777 },
	};
	const char *own = file_path("/");
	char upper[PATH_MAX], name[SERVICE_NAME_MAX + 2];

	if (snprintf(upper, sizeof(upper), "%s", service_dir(s, "upper")) >= (int)sizeof(upper))
		return err_set(e, EX_DATAERR, "service %s: path too long", s->name);
	if (file_mkdirs(upper, 0755, e) || file_mkdirs(service_dir(s, "work"), 0755, e) ||
	    file_mkdirs(service_dir(s, "root"), 0755, e) || upper_dir(upper, "/proc", 0555, false, e))
		return -1;
	if (chmod(upper, 0755))
		return err_sys(e, "%s", upper);
	/* A root of the user's own is shown whole: only the node's own root has what others must not see. */
	for (size_t i = 0; i < sizeof(masks) / sizeof(*masks) && !strcmp(s->root, "/"); i++)
		if (upper_dir(upper, masks[i].path, masks[i].mode, true, e))
			return -1;
	if (!strcmp(s->root, "/") && (upper_dir(upper, "/run/lock", 01777, false, e) ||
				      (strcmp(own, "/") && upper_dir(upper, own, 0700, true, e))))
		return -1;
	if (s->bundle[0]) /* the rest of it comes with the bundle's own root and list of mounts */
		return 0;
	if (upper_dev(upper, e))
		return -1;
	AUTO_FREE char *hosts = hosts_text(s);
	if (!hosts)
		return err_sys(e, "service %s", s->name);
	if (upper_dir(upper, "/etc", 0755, false, e) || upper_text(upper, "/etc/hosts", hosts, e) || upper_resolv(s, upper, e))
		return -1;
	snprintf(name, sizeof(name), "%s\n", s->name);
	return upper_text(upper, "/etc/hostname", name, e);
}

/* A path as the service would see it: links are followed inside its root, never out of it. */
static int open_in_root(int root, const char *path, struct err *e)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	int fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));

	return fd >= 0 ? fd : err_sys(e, "volume %s", path);
}

/* Opens the mount point, making the folders that are missing. */
static int mount_point(int root, const char *path, struct err *e)
{
	char part[PATH_MAX];
	AUTO_FD int at = open_in_root(root, "/", e);

	for (const char *p = path; at >= 0 && *p;) {
		const char *end = strchrnul(p + 1, '/');

		snprintf(part, sizeof(part), "%.*s", (int)(end - path), path);
		int next = open_in_root(root, part, NULL);
		if (next < 0 && errno == ENOENT) {
			snprintf(part, sizeof(part), "%.*s", (int)(end - p - 1), p + 1);
			if (part[0] && mkdirat(at, part, 0755) && errno != EEXIST)
				return err_sys(e, "volume %s", path);
			snprintf(part, sizeof(part), "%.*s", (int)(end - path), path);
			next = open_in_root(root, part, NULL);
		}
		if (next < 0)
			return err_sys(e, "volume %s", path);
		close(at);
		at = next;
		p = end;
	}
	return TAKE_FD(at);
}

int root_mount(const struct service *s, struct err *e)
{
	char root[PATH_MAX], options[3 * PATH_MAX + 128], target[64];

	snprintf(root, sizeof(root), "%s", service_dir(s, "root"));
	/* metacopy and redirects would leave in the upper layer files that say nothing without this very lower one */
	snprintf(options, sizeof(options),
		 "lowerdir=%s,upperdir=%s,workdir=%s,xino=off,index=off,metacopy=off,redirect_dir=off", s->root,
		 service_dir(s, "upper"), service_dir(s, "work"));
	if (mount("overlay", root, "overlay", 0, options))
		return err_sys(e, "service %s: overlay over %s", s->name, s->root);
	AUTO_FD int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, "%s", root);
	for (int i = 0; i < s->n_volumes && !s->bundle[0]; i++) { /* runc mounts those of a bundle itself */
		const struct service_volume *v = &s->volumes[i];
		AUTO_FD int at = mount_point(fd, v->path, e);

		if (at < 0)
			return err_wrap(e, "service %s", s->name);
		snprintf(target, sizeof(target), "/proc/self/fd/%d", at);
		if (mount(v->host, target, NULL, MS_BIND, NULL))
			return err_sys(e, "service %s: volume %s on %s", s->name, v->host, v->path);
		if (mount(NULL, target, NULL, MS_PRIVATE, NULL) && errno != EINVAL)
			return err_sys(e, "service %s: volume %s", s->name, v->host);
	}
	return 0;
}
