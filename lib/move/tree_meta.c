/* SPDX-License-Identifier: MIT */
/* What a file is beside its content. All by a descriptor that was opened beneath the root without following
 * anything. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/xattr.h>

#include "lib/move/tree_apply.h"

#define LIST_MAX 65536

static bool wanted(const struct tree_entry *en, const char *name)
{
	const uint8_t *p = en->xattrs, *end = p ? p + en->xattrs_len : NULL;
	struct xattr x;

	while (xattr_next(&p, end, &x))
		if (!strcmp(x.name, name))
			return true;
	return false;
}

static int remove_xattrs(const struct tree_entry *en, const char *proc, bool *changed, struct err *e)
{
	AUTO_FREE char *list = NULL;
	ssize_t len = listxattr(proc, NULL, 0);
	char *p;

	if (len > 0) {
		list = malloc(LIST_MAX);
		if (!list)
			return no_memory(e);
		len = listxattr(proc, list, LIST_MAX);
	}
	if (len < 0 && errno != EOPNOTSUPP)
		return err_sys(e, "%s: cannot list attributes", path_show(en));
	for (p = list; p && p < list + len; p += strlen(p) + 1) {
		if (!strcmp(p, "trusted.overlay.origin") || wanted(en, p))
			continue;
		*changed = true;
		/* a label that this machine's policy gives to every file cannot be taken away */
		if (removexattr(proc, p) && errno != ENODATA && strcmp(p, "security.selinux"))
			return err_sys(e, "%s: cannot remove attribute %s", path_show(en), p);
	}
	return 0;
}

static int set_xattrs(const struct tree_entry *en, const char *proc, bool *changed, struct err *e)
{
	const uint8_t *p = en->xattrs, *end;
	AUTO_FREE uint8_t *now = NULL;
	struct xattr x;

	if (!p)
		return 0;
	end = p + en->xattrs_len;
	now = malloc(XATTR_VALUE_MAX);
	if (!now)
		return no_memory(e);
	while (xattr_next(&p, end, &x)) {
		ssize_t n = getxattr(proc, x.name, now, XATTR_VALUE_MAX);

		if (n == (ssize_t)x.value_len && !memcmp(now, x.value, x.value_len))
			continue;
		*changed = true;
		if (setxattr(proc, x.name, x.value, x.value_len, 0))
			return err_sys(e, "%s: cannot set attribute %s", path_show(en), x.name);
	}
	return 0;
}

/* In this order: chown takes away set-id bits and capabilities, an ACL changes the mode. */
static int set_all(const struct tree_entry *en, int fd, const struct stat *st, struct err *e)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT },
				     { .tv_sec = en->mtime, .tv_nsec = en->mtime_ns } };
	bool changed = (st->st_mode & 07777) != (en->mode & 07777);
	char proc[40];

	snprintf(proc, sizeof proc, "/proc/self/fd/%d", fd);
	if (st->st_uid != en->uid || st->st_gid != en->gid) {
		changed = true;
		if (fchownat(fd, "", en->uid, en->gid, AT_EMPTY_PATH))
			return err_sys(e, "%s: cannot set owner", path_show(en));
	}
	if (remove_xattrs(en, proc, &changed, e) || set_xattrs(en, proc, &changed, e))
		return -1;
	if (changed && !S_ISLNK(en->mode) && chmod(proc, en->mode & 07777))
		return err_sys(e, "%s: cannot set mode", path_show(en));
	if ((st->st_mtim.tv_sec != en->mtime || st->st_mtim.tv_nsec != en->mtime_ns) &&
	    utimensat(fd, "", times, AT_EMPTY_PATH))
		return err_sys(e, "%s: cannot set times", path_show(en));
	return 0;
}

int apply_meta(struct tree_apply *a, uint32_t i, struct err *e)
{
	const struct tree_entry *en = &a->plan->want->entries[i];
	const char *name = "";
	AUTO_FD int fd = -1;
	struct stat st;
	int dir = a->root;

	if (entry_whiteout(en))
		return 0;
	if (i && (dir = apply_folder(a, en, &name, e)) < 0)
		return -1;
	fd = open_beneath(dir, name, O_PATH, 0);
	if (fd < 0 || fstat(fd, &st))
		return err_sys(e, "%s: cannot open", path_show(en));
	if ((st.st_mode & S_IFMT) != (en->mode & S_IFMT))
		return err_set(e, EX_DATAERR, "%s: changed while it was brought up to date", path_show(en));
	return set_all(en, fd, &st, e);
}
