/* SPDX-License-Identifier: MIT */
/* One file of a scan, when it has to be read: its attributes, content or target. */
#include "lib/move/tree_scan.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/xattr.h>

static int name_cmp(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int xattr_add(struct scan *s, const char *proc, const char *name, bool self, struct err *e)
{
	struct xattr x = { .name = name, .name_len = (uint32_t)strlen(name), .value = s->value };
	ssize_t n = self ? getxattr(proc, name, s->value, XATTR_VALUE_MAX)
			 : lgetxattr(proc, name, s->value, XATTR_VALUE_MAX);
	size_t need;

	if (n < 0)
		return errno == ENODATA || errno == ENOENT || errno == ENOTDIR
			       ? 0
			       : err_sys(e, "%s: cannot read attribute %s", scan_where(s), name);
	x.value_len = (uint32_t)n;
	need = s->xattrs_len + xattr_put(NULL, &x);
	if (need > s->xattrs_cap) {
		uint8_t *p = realloc(s->xattrs, need * 2);

		if (!p)
			return no_memory(e);
		s->xattrs = p;
		s->xattrs_cap = need * 2;
	}
	s->xattrs_len += xattr_put(s->xattrs + s->xattrs_len, &x);
	return 0;
}

/* Of the file `name` in the folder fd, or of fd itself. By way of /proc, as no f*xattr takes a folder and a
 * name. */
static int read_xattrs(struct scan *s, int fd, const char *name, struct tree_entry *en, struct err *e)
{
	char proc[64 + NAME_MAX];
	const char *names[TREE_XATTRS_MAX];
	ssize_t len;
	size_t n = 0, i;
	char *p;

	snprintf(proc, sizeof proc, *name ? "/proc/self/fd/%d/%s" : "/proc/self/fd/%d", fd, name);
	len = *name ? llistxattr(proc, s->list, XATTR_LIST_MAX) : listxattr(proc, s->list, XATTR_LIST_MAX);
	if (len < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == EOPNOTSUPP
			       ? 0
			       : err_sys(e, "%s: cannot list attributes", scan_where(s));
	for (p = s->list; p < s->list + len; p += strlen(p) + 1) {
		if (!strcmp(p, "trusted.overlay.origin"))
			continue;
		if (n == TREE_XATTRS_MAX)
			return err_set(e, EX_DATAERR, "%s: more than %d attributes", scan_where(s),
				       TREE_XATTRS_MAX);
		names[n++] = p;
	}
	qsort(names, n, sizeof *names, name_cmp);
	s->xattrs_len = 0;
	for (i = 0; i < n; i++)
		if (xattr_add(s, proc, names[i], !*name, e))
			return -1;
	if (!s->xattrs_len)
		return 0;
	en->xattrs = s->xattrs;
	en->xattrs_len = (uint32_t)s->xattrs_len;
	return 0;
}

/* 1: the name stands for another file by now. */
static int read_content(struct scan *s, int dir, const char *name, struct tree_entry *en,
			const struct tree_entry *was, struct err *e)
{
	AUTO_FD int fd = -1;
	struct stat st;
	int path;
	char proc[40];

	if (!en->size)
		return 0;
	if (en->size > TREE_FILE_MAX)
		return err_set(e, EX_DATAERR, "%s: larger than 16 TiB", scan_where(s));
	path = open_beneath(dir, name, O_PATH, 0);
	if (path < 0)
		return errno == ENOENT || errno == EXDEV ? 1 : err_sys(e, "%s: cannot open", scan_where(s));
	if (fstat(path, &st) || !S_ISREG(st.st_mode) || st.st_ino != en->ino) {
		close(path);
		return 1;
	}
	snprintf(proc, sizeof proc, "/proc/self/fd/%d", path);
	fd = open(proc, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOATIME);
	if (fd < 0 && errno == EPERM)
		fd = open(proc, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	close(path);
	if (fd < 0)
		return err_sys(e, "%s: cannot open", scan_where(s));
	return content_read(&s->content, fd, s->t, en, was && S_ISREG(was->mode) ? was : NULL, e);
}

int scan_file(struct scan *s, int dir, const char *name, struct tree_entry *en, const struct tree_entry *was,
	      struct err *e)
{
	if (!entry_whiteout(en) && read_xattrs(s, dir, name, en, e))
		return -1;
	if (S_ISREG(en->mode))
		return read_content(s, dir, name, en, was, e);
	if (S_ISLNK(en->mode)) {
		ssize_t n = readlinkat(dir, name, s->target, sizeof s->target);

		if (n < 0 && (errno == ENOENT || errno == EINVAL))
			return 1;
		if (n < 0)
			return err_sys(e, "%s: cannot read link", scan_where(s));
		if ((size_t)n == sizeof s->target)
			return err_set(e, EX_DATAERR, "%s: target too long", scan_where(s));
		s->target[n] = 0;
		en->target = s->target;
	}
	return 0;
}
