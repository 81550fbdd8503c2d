/* SPDX-License-Identifier: MIT */
/* Changes a folder from one state to another. The order: save what would be overwritten, remove, make and
 * truncate, copy, take what is sent; then owners, modes and xattrs, folders last and from the deepest up, as
 * each step changes times. */
#include "lib/move/tree_apply.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/sysmacros.h>

#define PAGE 4096u

void tree_apply_free(struct tree_apply *a)
{
	if (!a)
		return;
	apply_close(a);
	if (a->root >= 0)
		close(a->root);
	if (a->spool >= 0)
		close(a->spool);
	free(a->touched);
	free(a->buf);
	free(a);
}

void apply_close(struct tree_apply *a)
{
	struct cached *all[] = { &a->folder, &a->file, &a->source };
	size_t i;

	for (i = 0; i < 3; i++) {
		if (all[i]->fd >= 0)
			close(all[i]->fd);
		all[i]->fd = -1;
	}
}

int apply_folder(struct tree_apply *a, const struct tree_entry *en, const char **name, struct err *e)
{
	const char *slash = strrchr(en->path, '/');
	size_t len = slash ? (size_t)(slash - en->path) : 0;
	char path[TREE_PATH_MAX + 1];

	*name = slash ? slash + 1 : en->path;
	if (a->folder.fd >= 0 && a->folder_len == len && !memcmp(a->folder_path, en->path, len))
		return a->folder.fd;
	if (a->folder.fd >= 0)
		close(a->folder.fd);
	memcpy(path, en->path, len);
	path[len] = 0;
	a->folder.fd = open_beneath(a->root, path, O_PATH | O_DIRECTORY, 0);
	if (a->folder.fd < 0)
		return err_sys(e, "%s: cannot open its folder", path_show(en));
	a->folder_path = en->path;
	a->folder_len = len;
	return a->folder.fd;
}

/* The descriptor of a regular file, kept until another is asked for. */
static int open_cached(struct tree_apply *a, struct cached *c, const struct tree_entry *en, uint32_t i,
		       int flags, struct err *e)
{
	struct stat st;

	if (c->fd >= 0 && c->entry == i)
		return c->fd;
	if (c->fd >= 0)
		close(c->fd);
	c->entry = i;
	c->fd = open_beneath(a->root, en->path, flags | O_NONBLOCK | O_NOCTTY, 0);
	if (c->fd < 0 || fstat(c->fd, &st))
		return err_sys(e, "%s: cannot open", path_show(en));
	if (!S_ISREG(st.st_mode)) {
		close(c->fd);
		c->fd = -1;
		return err_set(e, EX_DATAERR, "%s: changed while it was brought up to date", path_show(en));
	}
	return c->fd;
}

static int write_at(int fd, const uint8_t *p, size_t n, off_t at)
{
	while (n) {
		ssize_t k = pwrite(fd, p, n, at);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0) {
			errno = k ? errno : EIO;
			return -1;
		}
		p += k;
		n -= (size_t)k;
		at += k;
	}
	return 0;
}

/* Of a file that was empty before, pages of zeros stay holes. */
static int write_sparse(int fd, const uint8_t *p, uint32_t n, off_t at)
{
	uint32_t from = 0, to;

	while (from < n) {
		for (; from < n && all_zero(p + from, n - from < PAGE ? n - from : PAGE); from += PAGE)
			;
		for (to = from; to < n && !all_zero(p + to, n - to < PAGE ? n - to : PAGE); to += PAGE)
			;
		if (from < n && write_at(fd, p + from, (to < n ? to : n) - from, at + from))
			return -1;
		from = to;
	}
	return 0;
}

/* Verifies, and writes to all places that want this content. */
static int place(struct tree_apply *a, struct plan_block *b, const void *data, size_t len, struct err *e)
{
	const struct tree *want = a->plan->want;
	const struct tree_entry *en = &want->entries[b->at.entry];
	uint8_t now[TREE_DIGEST];
	uint32_t next;

	digest_of(data, len, now);
	if (len != block_len(en->size, b->at.block) || memcmp(now, b->digest, TREE_DIGEST))
		return err_set(e, EX_DATAERR, "%s: block %u is not what the manifest says", path_show(en),
			       b->at.block);
	for (;; b = &a->plan->blocks[next]) {
		off_t at = (off_t)b->at.block * TREE_BLOCK;
		int fd;

		en = &want->entries[b->at.entry];
		if (len !=
		    block_len(en->size,
			      b->at.block)) /* one digest for two lengths: no honest manifest has that */
			return err_set(e, EX_DATAERR, "%s: block %u is not what the manifest says",
				       path_show(en), b->at.block);
		fd = open_cached(a, &a->file, en, b->at.entry, O_WRONLY, e);
		if (fd < 0)
			return -1;
		if (a->plan->act[b->at.entry] == FRESH ? write_sparse(fd, data, (uint32_t)len, at)
						       : write_at(fd, data, len, at))
			return err_sys(e, "%s: cannot write", path_show(en));
		b->done = true;
		next = b->next;
		if (next == TREE_NONE)
			return 0;
	}
}

static int read_source(struct tree_apply *a, const struct plan_block *b, uint32_t *len, struct err *e)
{
	const struct tree_entry *en = &a->plan->have->entries[b->src.entry];
	int fd = open_cached(a, &a->source, en, b->src.entry, O_RDONLY, e);

	if (fd < 0)
		return -1;
	*len = block_len(en->size, b->src.block);
	if (pread(fd, a->buf, *len, (off_t)b->src.block * TREE_BLOCK) != (ssize_t)*len)
		return err_sys(e, "%s: cannot read", path_show(en));
	return 0;
}

static int open_spool(struct tree_apply *a, struct err *e)
{
	static const char name[] = ".edge-spool";

	a->spool = open_beneath(a->root, "", O_TMPFILE | O_RDWR, 0600);
	if (a->spool < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
		a->touched[0] = 1;
		unlinkat(a->root, name, 0);
		a->spool = open_beneath(a->root, name, O_CREAT | O_EXCL | O_RDWR, 0600);
		if (a->spool >= 0)
			unlinkat(a->root, name, 0);
	}
	return a->spool < 0 ? err_sys(e, "files: cannot make a temporary file") : 0;
}

static int save_sources(struct tree_apply *a, struct err *e)
{
	off_t slot = 0;
	size_t i;

	for (i = 0; i < a->plan->n_blocks; i++) {
		const struct plan_block *b = &a->plan->blocks[i];
		uint32_t len;

		if (b->repeat || !b->spool)
			continue;
		if ((a->spool < 0 && open_spool(a, e)) || read_source(a, b, &len, e))
			return -1;
		if (write_at(a->spool, a->buf, len, slot++ * TREE_BLOCK))
			return err_sys(e, "%s: cannot save",
				       path_show(&a->plan->have->entries[b->src.entry]));
	}
	return 0;
}

static int copy_sources(struct tree_apply *a, struct err *e)
{
	off_t slot = 0;
	size_t i;

	for (i = 0; i < a->plan->n_blocks; i++) {
		struct plan_block *b = &a->plan->blocks[i];
		uint32_t len;

		if (b->repeat || b->src.entry == TREE_NONE)
			continue;
		if (b->spool) {
			len = block_len(a->plan->have->entries[b->src.entry].size, b->src.block);
			if (pread(a->spool, a->buf, len, slot++ * TREE_BLOCK) != (ssize_t)len)
				return err_sys(e, "files: cannot read what was saved");
		} else if (read_source(a, b, &len, e)) {
			return -1;
		}
		if (place(a, b, a->buf, len, e))
			return -1;
	}
	return 0;
}

static int remove_old(struct tree_apply *a, struct err *e)
{
	const struct tree_plan *p = a->plan;
	uint32_t j, i, up;

	for (j = p->have->n; j-- > 1;) {
		const struct tree_entry *en = &p->have->entries[j];
		const char *name;
		int fd;

		i = p->to[j];
		if (i != TREE_NONE && p->act[i] != FRESH && p->act[i] != LINK)
			continue;
		fd = apply_folder(a, en, &name, e);
		if (fd < 0)
			return -1;
		if (unlinkat(fd, name, S_ISDIR(en->mode) ? AT_REMOVEDIR : 0) && errno != ENOENT)
			return err_sys(e, "%s: cannot remove", path_show(en));
		up = p->to[en->parent];
		if (up != TREE_NONE)
			a->touched[up] = 1;
	}
	apply_close(a); /* a folder may be made again at the place of a removed one */
	return 0;
}

static int punch(int fd, off_t at, off_t n)
{
	static uint8_t zeros[TREE_BLOCK]; /* not const: then the program has no such bytes in its file */

	if (!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, n))
		return 0;
	if (errno != EOPNOTSUPP && errno != ENOSYS)
		return -1;
	for (; n > 0; at += TREE_BLOCK, n -= TREE_BLOCK)
		if (write_at(fd, zeros, n < (off_t)TREE_BLOCK ? (size_t)n : TREE_BLOCK, at))
			return -1;
	return 0;
}

/* Size, and holes where content was and none is to be. */
static int patch_file(struct tree_apply *a, uint32_t i, struct err *e)
{
	const struct tree_entry *en = &a->plan->want->entries[i],
				*was = &a->plan->have->entries[a->plan->from[i]];
	uint32_t blocks = entry_blocks(en->size), r, b, from, hint = 0;
	int fd = open_cached(a, &a->file, en, i, O_WRONLY, e);

	if (fd < 0)
		return -1;
	if (was->size != en->size && ftruncate(fd, (off_t)en->size))
		return err_sys(e, "%s: cannot set size", path_show(en));
	for (r = 0; r < was->n_runs; r++) {
		uint32_t end = was->runs[r].first + was->runs[r].n;

		for (b = was->runs[r].first; b < end && b < blocks; b++) {
			for (from = b; b < end && b < blocks && !entry_run(en, b, &hint); b++)
				;
			if (b > from &&
			    punch(fd, (off_t)from * TREE_BLOCK,
				  (off_t)(b - from - 1) * TREE_BLOCK + block_len(en->size, b - 1)))
				return err_sys(e, "%s: cannot make a hole", path_show(en));
		}
	}
	return 0;
}

static int make_link(struct tree_apply *a, const struct tree_entry *en, int fd, const char *name,
		     struct err *e)
{
	const struct tree_entry *first = &a->plan->want->entries[en->link];
	const char *slash = strrchr(first->path, '/');
	char path[TREE_PATH_MAX + 1];
	size_t len = slash ? (size_t)(slash - first->path) : 0;
	AUTO_FD int dir = -1;

	memcpy(path, first->path, len);
	path[len] = 0;
	dir = open_beneath(a->root, path, O_PATH | O_DIRECTORY, 0);
	if (dir < 0 || linkat(dir, slash ? slash + 1 : first->path, fd, name, 0))
		return err_sys(e, "%s: cannot link", path_show(en));
	return 0;
}

static int make_entry(struct tree_apply *a, uint32_t i, struct err *e)
{
	const struct tree_entry *en = &a->plan->want->entries[i];
	const char *name;
	int dir = apply_folder(a, en, &name, e), rc, fd;

	if (dir < 0)
		return -1;
	a->touched[en->parent] = 1;
	if (a->plan->act[i] == LINK)
		return make_link(a, en, dir, name, e);
	if (S_ISDIR(en->mode)) {
		rc = mkdirat(dir, name, 0700);
	} else if (S_ISLNK(en->mode)) {
		rc = symlinkat(en->target, dir, name);
	} else if (!S_ISREG(en->mode)) {
		rc = mknodat(dir, name, (en->mode & S_IFMT) | (entry_whiteout(en) ? 0 : 0600),
			     makedev(en->major, en->minor));
	} else {
		fd = openat(dir, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600);
		rc = fd < 0 ? -1 : 0;
		if (fd >= 0) {
			if (a->file.fd >= 0)
				close(a->file.fd);
			a->file = (struct cached){ fd, i };
			rc = en->size ? ftruncate(fd, (off_t)en->size) : 0;
		}
	}
	return rc ? err_sys(e, "%s: cannot create", path_show(en)) : 0;
}

static int make_new(struct tree_apply *a, struct err *e)
{
	const struct tree_plan *p = a->plan;
	uint32_t i;

	for (i = 0; i < p->want->n; i++) {
		if (p->act[i] == PATCH && patch_file(a, i, e))
			return -1;
		if ((p->act[i] == FRESH || p->act[i] == LINK) && make_entry(a, i, e))
			return -1;
	}
	return 0;
}

static bool device_allowed(const struct tree_entry *en)
{
	static const uint8_t usual[][2] = { { 0, 0 }, { 1, 3 }, { 1, 5 }, { 1, 7 },
					    { 1, 8 }, { 1, 9 }, { 5, 0 }, { 5, 2 } };
	size_t i;

	for (i = 0; S_ISCHR(en->mode) && i < sizeof usual / sizeof *usual; i++)
		if (en->major == usual[i][0] && en->minor == usual[i][1])
			return true;
	return false;
}

static int check_devices(const struct tree *want, struct err *e)
{
	uint32_t i;

	for (i = 0; i < want->n; i++) {
		const struct tree_entry *en = &want->entries[i];

		if ((S_ISCHR(en->mode) || S_ISBLK(en->mode)) && !device_allowed(en))
			return err_set(e, EX_NOPERM, "%s: %s device %u:%u is not allowed", path_show(en),
				       S_ISCHR(en->mode) ? "character" : "block", en->major, en->minor);
	}
	return 0;
}

int tree_apply_start(struct tree_apply **out, const struct tree_plan *p, int root, int flags, struct err *e)
{
	struct tree_apply *a;

	if (!(flags & TREE_DEVICES) && check_devices(p->want, e))
		return -1;
	a = calloc(1, sizeof *a);
	if (!a)
		return no_memory(e);
	a->plan = p;
	a->flags = flags;
	a->spool = a->folder.fd = a->file.fd = a->source.fd = -1;
	a->root = openat(root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	a->buf = malloc(TREE_BLOCK);
	a->touched = calloc(p->want->n, 1);
	if (a->root < 0)
		err_sys(e, "files: cannot open folder");
	else if (!a->buf || !a->touched)
		no_memory(e);
	else if (!digest_load(e) && !save_sources(a, e) && !remove_old(a, e) && !make_new(a, e) &&
		 !copy_sources(a, e)) {
		*out = a;
		return 0;
	}
	tree_apply_free(a);
	return -1;
}

int tree_apply_put(struct tree_apply *a, struct tree_block at, const void *data, size_t len, struct err *e)
{
	struct plan_block *b = plan_find(a->plan, at);

	if (!b || b->repeat || b->done)
		return 0;
	return place(a, b, data, len, e);
}

int tree_apply_finish(struct tree_apply *a, struct err *e)
{
	const struct tree_plan *p = a->plan;
	uint32_t i;
	size_t k;

	for (k = 0; k < p->n_blocks; k++) {
		const struct plan_block *b = &p->blocks[k];

		if (!b->repeat && !b->done && !((a->flags & TREE_LIVE) && tree_lost(p->want, b->digest)))
			return err_set(e, EX_DATAERR, "%s: block %u has not come",
				       path_show(&p->want->entries[b->at.entry]), b->at.block);
	}
	apply_close(a);
	for (i = 0; i < p->want->n; i++)
		if (!S_ISDIR(p->want->entries[i].mode) && p->act[i] != KEEP && p->act[i] != LINK &&
		    apply_meta(a, i, e))
			return -1;
	for (i = p->want->n; i--;)
		if (S_ISDIR(p->want->entries[i].mode) && (p->act[i] != KEEP || a->touched[i]) &&
		    apply_meta(a, i, e))
			return -1;
	return 0;
}

int tree_sync(int root, struct err *e)
{
	AUTO_FD int fd = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || syncfs(fd) ? err_sys(e, "files: cannot write to disk") : 0;
}
