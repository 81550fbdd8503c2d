/* SPDX-License-Identifier: MIT */
/* A service's folders become what a checkpoint's copies say, and, when the service cannot be restored after all, what they
 * were. */
#include <fcntl.h>
#include <string.h>

#include "lib/base/file.h"
#include "lib/move/checkpoint_int.h"

/* A block of `before` that the copy does not have at that place. */
struct saved_block {
	struct tree_block at;
	uint32_t len;
};

struct folder_back {
	char own[PATH_MAX], copy[PATH_MAX], what[80];
	bool exchanged;      /* the two have changed places; else: */
	int root, file;      /* the service's folder; the content of the blocks, each at a multiple of TREE_BLOCK */
	struct tree *before; /* what it was */
	struct saved_block *saved; /* ascending */
	size_t n;
};

struct checkpoint_back {
	struct folder_back folder[CHECKPOINT_FOLDERS];
	int n; /* that were changed, or are being changed */
};

void checkpoint_back_free(struct checkpoint_back *back)
{
	for (int k = 0; k < CHECKPOINT_FOLDERS; k++) {
		struct folder_back *f = &back->folder[k];

		if (f->root >= 0)
			close(f->root);
		if (f->file >= 0)
			close(f->file);
		if (f->before)
			tree_free(f->before);
		free(f->saved);
	}
	free(back);
}

AUTO_DEFINE(struct checkpoint_back, checkpoint_back_free)
#define AUTO_BACK AUTO(checkpoint_back_free_auto)

static struct checkpoint_back *back_new(struct err *e)
{
	struct checkpoint_back *back = calloc(1, sizeof(*back));

	if (!back)
		err_set(e, EX_OSERR, "out of memory");
	for (int k = 0; back && k < CHECKPOINT_FOLDERS; k++)
		back->folder[k].root = back->folder[k].file = -1;
	return back;
}

static int save_block(struct folder_back *f, struct tree_reader *r, struct tree_block b, uint8_t *buf, struct err *e)
{
	struct saved_block *s = &f->saved[f->n];
	size_t len;
	int rc = tree_read(r, b, buf, &len, e);

	if (rc)
		return rc < 0 ? -1 : err_set(e, EX_TEMPFAIL, "files change although nothing runs");
	if (fd_pwrite_all(f->file, buf, len, (off_t)f->n * TREE_BLOCK))
		return err_sys(e, "cannot save what is there");
	*s = (struct saved_block){ b, (uint32_t)len };
	f->n++;
	return 0;
}

/* All that `before` has and the copy has not at the same place. */
static int save(struct folder_back *f, const struct tree *copy, const char *dir, struct err *e)
{
	AUTO_TREE_PLAN struct tree_plan *plan = NULL;
	AUTO_TREE_READER struct tree_reader *r = NULL;
	AUTO_FREE uint8_t *buf = malloc(TREE_BLOCK);
	struct tree_block b;
	size_t n = 0;

	if (tree_plan(&plan, copy, f->before, e))
		return -1;
	while (tree_plan_block(plan, n, &b))
		n++;
	f->saved = calloc(n + 1, sizeof(*f->saved));
	if (!buf || !f->saved)
		return err_set(e, EX_OSERR, "out of memory");
	f->file = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (f->file < 0)
		return err_sys(e, "%s", dir);
	if (tree_reader_open(&r, f->root, f->before, e))
		return -1;
	for (size_t i = 0; i < n; i++)
		if (!tree_plan_block(plan, i, &b) || save_block(f, r, b, buf, e))
			return -1;
	return 0;
}

static int change(struct folder_back *f, struct files *from, const char *dir, int *n, struct err *e)
{
	AUTO_TREE_PLAN struct tree_plan *plan = NULL;

	f->root = open(f->own, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (f->root < 0)
		return err_sys(e, "%s", f->own);
	if ((!from->tree && tree_scan(&from->tree, from->root, NULL, NULL, 0, e)) ||
	    tree_scan(&f->before, f->root, NULL, NULL, 0, e) || save(f, from->tree, dir, e) ||
	    tree_plan(&plan, f->before, from->tree, e))
		return -1;
	++*n;
	return checkpoint_carry_out(plan, from->root, from->tree, f->root, TREE_DEVICES, e);
}

/* Not where the two lie on different filesystems, or on one that cannot do this. */
static bool exchange(struct folder_back *f)
{
	return f->exchanged = !renameat2(AT_FDCWD, f->own, AT_FDCWD, f->copy, RENAME_EXCHANGE);
}

/* What lay here for an unknown time is read before the first folder is touched. */
static int read_copies(const struct checkpoint *ck, struct files *from, int n, struct err *e)
{
	for (int k = 0; k < n && !ck->held; k++)
		if (tree_scan(&from[k].tree, from[k].root, NULL, NULL, 0, e) || checkpoint_check_copy(ck, k, from[k].tree, e))
			return err_wrap(e, "%s", from[k].what);
	return 0;
}

static int change_all(const struct checkpoint *ck, bool use_up, struct files *from, struct checkpoint_back *back,
		      struct err *e)
{
	folder_paths own;
	struct files names[CHECKPOINT_FOLDERS];
	int n = checkpoint_name_folders(ck->service, names, own);

	for (int k = 0; k < n; k++) {
		struct folder_back *f = &back->folder[k];

		memcpy(f->own, own[k], PATH_MAX);
		memcpy(f->what, names[k].what, sizeof(f->what));
		checkpoint_copy_path(ck, k, f->copy);
		if (use_up && checkpoint_is_inside(ck->service, f->own) && exchange(f))
			back->n++;
		else if (change(f, &from[k], ck->dir, &back->n, e))
			return err_wrap(e, "%s", f->what);
	}
	return 0;
}

int checkpoint_put_back(const struct checkpoint *ck, bool use_up, struct checkpoint_back **out, struct err *e)
{
	struct files from[CHECKPOINT_FOLDERS];
	AUTO_BACK struct checkpoint_back *back = back_new(e);
	int n, rc;

	*out = NULL;
	if (!back)
		return -1;
	n = checkpoint_copied_folders(ck, from, e);
	if (n < 0)
		return -1;
	if (ck->n_copies != n)
		rc = err_set(e, EX_DATAERR, "checkpoint %s: it has no copies of the service's folders", ck->id);
	else
		rc = read_copies(ck, from, n, e);
	if (!rc)
		rc = change_all(ck, use_up, from, back, e);
	for (int k = 0; k < n; k++)
		files_clear(&from[k]);
	if (back->n)
		*out = TAKE_PTR(back);
	return rc;
}

/* ---- undone ---- */

static int put_saved(const struct folder_back *f, struct tree_apply *a, struct tree_block b, uint8_t *buf, struct err *e)
{
	size_t lo = 0, hi = f->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct saved_block *s = &f->saved[mid];

		if (s->at.entry == b.entry && s->at.block == b.block)
			return pread(f->file, buf, s->len, (off_t)mid * TREE_BLOCK) != (ssize_t)s->len
				       ? err_sys(e, "cannot read what was saved")
				       : tree_apply_put(a, b, buf, s->len, e);
		if (s->at.entry < b.entry || (s->at.entry == b.entry && s->at.block < b.block))
			lo = mid + 1;
		else
			hi = mid;
	}
	return err_set(e, EX_SOFTWARE, "a block was not saved");
}

/* From whatever state it is in. */
static int change_back(struct folder_back *f, struct err *e)
{
	AUTO_TREE struct tree *have = NULL;
	AUTO_TREE_PLAN struct tree_plan *plan = NULL;
	AUTO_TREE_APPLY struct tree_apply *a = NULL;
	AUTO_FREE uint8_t *buf = malloc(TREE_BLOCK);
	size_t n;

	if (!buf)
		return err_set(e, EX_OSERR, "out of memory");
	if (tree_scan(&have, f->root, NULL, NULL, 0, e) || tree_plan(&plan, have, f->before, e) ||
	    tree_apply_start(&a, plan, f->root, TREE_DEVICES, e))
		return -1;
	const struct tree_block *need = tree_plan_needs(plan, &n);
	for (size_t i = 0; i < n; i++)
		if (put_saved(f, a, need[i], buf, e))
			return -1;
	return tree_apply_finish(a, e);
}

int checkpoint_undo(struct checkpoint_back *back, struct err *e)
{
	struct err first = { 0 };
	int rc = 0;

	while (back->n) {
		struct folder_back *f = &back->folder[--back->n];
		struct err why = { 0 };
		int bad = !f->exchanged		  ? change_back(f, &why)
			  : exchange(f) ? 0
					  : err_sys(&why, "%s", f->own);

		if (bad && !rc) {
			rc = err_wrap(&why, "%s", f->what);
			first = why;
		}
	}
	if (rc && e)
		*e = first;
	return rc;
}
