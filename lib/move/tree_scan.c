/* SPDX-License-Identifier: MIT */
/* The state of a folder on this node. Runs inside the freeze too: an unchanged file costs one statx and no
 * allocation. */
#include "lib/move/tree_scan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#define HOT_NS 100000000 /* clocks of filesystems are coarse: 4 to 10 ms */

static int inode_cmp(const void *a, const void *b)
{
	const struct tree_inode *x = a, *y = b;

	if (x->ino != y->ino)
		return x->ino < y->ino ? -1 : 1;
	return x->dev < y->dev ? -1 : x->dev > y->dev;
}

static bool is_hot(const struct scan *s, int64_t sec, uint32_t ns)
{
	return sec > s->hot.tv_sec || (sec == s->hot.tv_sec && ns >= s->hot.tv_nsec);
}

/* The entry of the previous scan, if nothing can have changed since. */
static const struct tree_entry *unchanged(const struct scan *s, const struct tree_entry *was,
					  const struct tree_entry *en)
{
	struct tree_inode key = { en->dev, en->ino };

	if (!was || was->hot || was->ino != en->ino || was->dev != en->dev || was->mode != en->mode ||
	    was->size != en->size || was->mtime != en->mtime || was->mtime_ns != en->mtime_ns ||
	    was->ctime != en->ctime || was->ctime_ns != en->ctime_ns || is_hot(s, en->mtime, en->mtime_ns) ||
	    is_hot(s, en->ctime, en->ctime_ns))
		return NULL;
	if (s->n_mapped && S_ISREG(en->mode) && bsearch(&key, s->mapped, s->n_mapped, sizeof key, inode_cmp))
		return NULL;
	return was;
}

/* Both walks have the same order, so one cursor will do. */
static const struct tree_entry *find_previous(struct scan *s)
{
	int c;

	if (!s->prev)
		return NULL;
	while (s->at < s->prev->n) {
		c = path_cmp(s->prev->entries[s->at].path, s->path);
		if (!c)
			return &s->prev->entries[s->at++];
		if (c > 0)
			break;
		s->at++;
	}
	return NULL;
}

static void fill_stat(struct tree_entry *en, const struct statx *x)
{
	en->mode = x->stx_mode;
	en->uid = x->stx_uid;
	en->gid = x->stx_gid;
	en->mtime = x->stx_mtime.tv_sec;
	en->mtime_ns = x->stx_mtime.tv_nsec;
	en->size = S_ISREG(x->stx_mode) ? x->stx_size : 0;
	if (S_ISCHR(x->stx_mode) || S_ISBLK(x->stx_mode)) {
		en->major = x->stx_rdev_major;
		en->minor = x->stx_rdev_minor;
	}
	en->dev = makedev(x->stx_dev_major, x->stx_dev_minor);
	en->ino = x->stx_ino;
	en->ctime = x->stx_ctime.tv_sec;
	en->ctime_ns = x->stx_ctime.tv_nsec;
	en->nlink = x->stx_nlink;
	if (entry_whiteout(en)) { /* overlayfs makes all of one inode; only that it is there matters */
		en->mode = S_IFCHR;
		en->uid = en->gid = en->mtime_ns = 0;
		en->mtime = 0;
		en->nlink = 1;
	}
}

static int name_cmp(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int links_grow(struct scan *s, struct err *e)
{
	uint32_t cap = s->links_cap ? s->links_cap * 2 : 256, *old = s->links, i, h;

	s->links = malloc(cap * sizeof *s->links);
	if (!s->links) {
		s->links = old;
		return no_memory(e);
	}
	memset(s->links, 0xff, cap * sizeof *s->links);
	for (i = 0; i < s->links_cap; i++) {
		if (old[i] == TREE_NONE)
			continue;
		h = (uint32_t)(s->t->entries[old[i]].ino * 0x9e3779b97f4a7c15ull >> 32) & (cap - 1);
		while (s->links[h] != TREE_NONE)
			h = (h + 1) & (cap - 1);
		s->links[h] = old[i];
	}
	s->links_cap = cap;
	free(old);
	return 0;
}

/* The entry that is this inode's first name: 0 when found, 1 when there is none (slot is where to note
 * it). */
static int links_find(struct scan *s, uint64_t ino, uint32_t *slot, struct err *e)
{
	uint32_t h;

	if (s->n_links * 2 >= s->links_cap && links_grow(s, e))
		return -1;
	h = (uint32_t)(ino * 0x9e3779b97f4a7c15ull >> 32) & (s->links_cap - 1);
	while (s->links[h] != TREE_NONE && s->t->entries[s->links[h]].ino != ino)
		h = (h + 1) & (s->links_cap - 1);
	*slot = h;
	return s->links[h] == TREE_NONE;
}

/* Adds what statx told. 1: vanished. Not inlined, for the same reason as read_names. */
static __attribute__((noinline)) int add_entry(struct scan *s, int dir, const char *name,
					       struct tree_entry *en, struct err *e)
{
	const struct tree_entry *was = find_previous(s), *same = unchanged(s, was, en);
	bool several = en->nlink > 1 && !S_ISDIR(en->mode);
	uint32_t slot = 0, nlink = en->nlink;
	int rc = several ? links_find(s, en->ino, &slot, e) : 1;

	if (rc < 0)
		return -1;
	en->path = s->path;
	en->path_len = (uint32_t)s->path_len;
	en->link = TREE_NONE;
	if (!rc) {
		if (!tree_add(s->t, en, true, e))
			return -1;
		tree_link(s->t, s->t->n - 1, s->links[slot]);
		return 0;
	}
	if (same) {
		*en = *same;
		en->nlink = nlink;
		en->link = TREE_NONE;
	} else {
		rc = scan_file(s, dir, name, en, was, e);
		if (rc)
			return rc;
	}
	if (same ? !tree_add(s->t, en, s->deep, e) : !tree_add(s->t, en, false, e))
		return -1;
	if (!same) { /* all but the content is still scratch memory */
		struct tree_entry *to = &s->t->entries[s->t->n - 1];

		to->path = arena_copy(s->t->own, en->path, en->path_len + 1);
		if (en->target)
			to->target = arena_copy(s->t->own, en->target, strlen(en->target) + 1);
		if (en->xattrs)
			to->xattrs = arena_copy(s->t->own, en->xattrs, en->xattrs_len);
		if (!to->path || (en->target && !to->target) || (en->xattrs && !to->xattrs))
			return no_memory(e);
	}
	if (several) {
		s->links[slot] = s->t->n - 1;
		s->n_links++;
	}
	return 0;
}

/* All names of a folder into s->names; their number, or -1. Not inlined: the walk's recursion must not carry
 * its buffer. */
static __attribute__((noinline)) ssize_t read_names(struct scan *s, int fd, struct err *e)
{
	_Alignas(8) char buf[32768];
	ssize_t n, count = 0;
	char *p;

	s->names_len = 0;
	while ((n = syscall(SYS_getdents64, fd, buf, sizeof buf)) > 0) {
		for (p = buf; p < buf + n; p += ((struct dirent64 *)p)->d_reclen) {
			const char *name = ((struct dirent64 *)p)->d_name;
			size_t len = strlen(name) + 1;

			if (!strcmp(name, ".") || !strcmp(name, ".."))
				continue;
			if (s->names_cap - s->names_len < len) {
				size_t cap = s->names_cap * 2 + 65536;
				char *more = realloc(s->names, cap);

				if (!more)
					return no_memory(e);
				s->names = more;
				s->names_cap = cap;
			}
			memcpy(s->names + s->names_len, name, len);
			s->names_len += len;
			if (++count > TREE_ENTRIES_MAX)
				return err_set(e, EX_DATAERR, "%s: more than %u files", scan_where(s),
					       TREE_ENTRIES_MAX);
		}
	}
	if (n < 0)
		return err_sys(e, "%s: cannot read folder", scan_where(s));
	return count;
}

static int scan_folder(struct scan *s, int fd, int depth, uint32_t self, uint32_t was, struct err *e);

/* `was`: the same folder in the previous tree, when its names are still the same; else TREE_NONE. */
static int descend(struct scan *s, int dir, const char *name, int depth, uint32_t was, struct err *e)
{
	AUTO_FD int fd = open_beneath(dir, name, O_RDONLY | O_DIRECTORY, 0);

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)) {
		s->t->n--; /* gone since statx */
		return 0;
	}
	if (fd < 0 && errno == EXDEV)
		return 0;
	if (fd < 0)
		return err_sys(e, "%s: cannot open folder", scan_where(s));
	if (depth == TREE_DEPTH_MAX)
		return err_set(e, EX_DATAERR, "%s: more than %d folders deep", scan_where(s), TREE_DEPTH_MAX);
	return scan_folder(s, fd, depth + 1, s->t->n - 1, was, e);
}

/* A folder whose times are old and equal has the names that it had: it need not be listed. */
static uint32_t same_names(const struct scan *s)
{
	const struct tree_entry *now = &s->t->entries[s->t->n - 1], *was;

	if (!s->at)
		return TREE_NONE;
	was = &s->prev->entries[s->at - 1];
	return was->path_len == now->path_len && !path_cmp(was->path, now->path) && unchanged(s, was, now)
		       ? s->at - 1
		       : TREE_NONE;
}

static int scan_name(struct scan *s, int dir, uint32_t folder, const char *name, int depth, struct err *e)
{
	struct tree_entry en;
	struct statx x;
	int rc = 1, tries;
	bool mount;

	for (tries = 0; rc == 1 && tries < 3; tries++) { /* a file replaced by rename is there at each look */
		if (statx(dir, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_BASIC_STATS, &x)) {
			if (errno == ENOENT)
				return 0;
			return err_sys(e, "%s: cannot stat", scan_where(s));
		}
		memset(&en, 0, sizeof en);
		fill_stat(&en, &x);
		mount = en.dev != s->dev || (x.stx_attributes & STATX_ATTR_MOUNT_ROOT);
		if (mount && !S_ISDIR(en.mode)) {
			s->t->entries[folder].hot =
				true; /* unmounting it would not change the folder's times */
			return 0;
		}
		rc = add_entry(s, dir, name, &en, e);
	}
	if (rc)
		return rc < 0 ? -1 : 0;
	return S_ISDIR(en.mode) && !mount ? descend(s, dir, name, depth, same_names(s), e) : 0;
}

/* One name of the folder whose path has path_len bytes. */
static int scan_child(struct scan *s, int fd, uint32_t folder, size_t path_len, const char *name, int depth,
		      struct err *e)
{
	size_t len = strlen(name);

	if (path_len + 1 + len > TREE_PATH_MAX)
		return err_set(e, EX_DATAERR, "%s: path longer than %d bytes", scan_where(s), TREE_PATH_MAX);
	if (path_len)
		s->path[path_len++] = '/';
	memcpy(s->path + path_len, name, len + 1);
	s->path_len = path_len + len;
	return scan_name(s, fd, folder, name, depth, e);
}

/* By the names of the previous tree. Deeper entries have larger parents than `was`, those behind it smaller
 * ones. */
static int scan_known(struct scan *s, int fd, int depth, uint32_t folder, uint32_t was, struct err *e)
{
	const struct tree_entry *prev = s->prev->entries;
	size_t path_len = s->path_len;
	uint32_t j = was + 1;

	while (j < s->prev->n && prev[j].parent >= was) {
		if (prev[j].parent == was &&
		    scan_child(s, fd, folder, path_len, prev[j].path + path_len + !!path_len, depth, e))
			return -1;
		j = s->at > j ? s->at : j + 1;
	}
	s->path_len = path_len;
	s->path[path_len] = 0;
	return 0;
}

static int scan_folder(struct scan *s, int fd, int depth, uint32_t folder, uint32_t was, struct err *e)
{
	AUTO_FREE char **sorted = NULL;
	AUTO_FREE char *own = NULL;
	size_t path_len = s->path_len, i;
	ssize_t count;
	char *p;

	if (was != TREE_NONE)
		return scan_known(s, fd, depth, folder, was, e);
	count = read_names(s, fd, e);
	if (count <= 0)
		return (int)count;
	own = malloc(s->names_len + 1);
	sorted = reallocarray(NULL, (size_t)count, sizeof *sorted);
	if (!own || !sorted)
		return no_memory(e);
	memcpy(own, s->names, s->names_len);
	for (i = 0, p = own; i < (size_t)count; i++, p += strlen(p) + 1)
		sorted[i] = p;
	qsort(sorted, (size_t)count, sizeof *sorted, name_cmp);
	for (i = 0; i < (size_t)count; i++)
		if (scan_child(s, fd, folder, path_len, sorted[i], depth, e))
			return -1;
	s->path_len = path_len;
	s->path[path_len] = 0;
	return 0;
}

static int scan_init(struct scan *s, const struct tree *prev, const struct tree_inode *mapped, size_t n,
		     struct err *e)
{
	s->t = tree_new();
	s->list = malloc(XATTR_LIST_MAX);
	s->value = malloc(XATTR_VALUE_MAX);
	s->mapped = reallocarray(NULL, n + 1, sizeof *mapped);
	if (!s->t || !s->list || !s->value || !s->mapped)
		return no_memory(e);
	if (n)
		memcpy(s->mapped, mapped, n * sizeof *mapped);
	s->n_mapped = n;
	qsort(s->mapped, n, sizeof *mapped, inode_cmp);
	clock_gettime(CLOCK_REALTIME_COARSE, &s->t->start);
	if (prev && prev->start.tv_sec) { /* a decoded tree knows nothing of this node's files */
		s->prev = prev;
		s->deep = !tree_share(s->t, prev);
		s->t->seed = prev->seed;
		s->hot = prev->start;
		s->hot.tv_nsec -= HOT_NS;
		if (s->hot.tv_nsec < 0) {
			s->hot.tv_nsec += 1000000000;
			s->hot.tv_sec--;
		}
	} else if (getrandom(&s->t->seed, sizeof s->t->seed, 0) != sizeof s->t->seed) {
		return err_sys(e, "files: cannot get random bytes");
	}
	return content_init(&s->content, s->t->seed, e);
}

static int scan_root(struct scan *s, int root, struct err *e)
{
	AUTO_FD int fd = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct tree_entry en;
	struct statx x;

	if (fd < 0 || statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &x))
		return err_sys(e, "files: cannot open folder");
	memset(&en, 0, sizeof en);
	fill_stat(&en, &x);
	s->dev = en.dev;
	if (add_entry(s, fd, "", &en, e) || scan_folder(s, fd, 0, 0, same_names(s), e))
		return -1;
	return tree_check(s->t, e);
}

int tree_scan(struct tree **out, int root, const struct tree *prev, const struct tree_inode *mapped,
	      size_t n_mapped, struct err *e)
{
	AUTO_FREE struct scan *s = calloc(1, sizeof *s);
	int rc;

	if (!s)
		return no_memory(e);
	rc = scan_init(s, prev, mapped, n_mapped, e);
	if (!rc)
		rc = scan_root(s, root, e);
	content_release(&s->content);
	free(s->mapped);
	free(s->names);
	free(s->links);
	free(s->list);
	free(s->value);
	free(s->xattrs);
	if (rc)
		tree_free(s->t);
	else
		*out = s->t;
	return rc;
}
