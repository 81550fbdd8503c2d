/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/move/outgoing_int.h"
#include "lib/move/pagemap.h"

/* One pagemap's pages as CRIU wrote them. */
struct dumped {
	uint8_t *data;
	size_t len;
};

static void dumped_clear(struct dumped *d)
{
	if (d->data)
		munmap(d->data, d->len);
}

static int dumped_open(struct dumped *d, const char *dir, unsigned id, struct err *e)
{
	char path[PATH_MAX + 32];
	struct stat st;

	snprintf(path, sizeof(path), "%s/pages-%u.img", dir, id);
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		return err_sys(e, "%s", path);
	d->len = (size_t)st.st_size;
	if (!d->len)
		return 0;
	d->data = mmap(NULL, d->len, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (d->data != MAP_FAILED)
		return 0;
	d->data = NULL;
	return err_sys(e, "%s", path);
}

static int add_run(struct page_runs *r, struct page_run run, struct err *e)
{
	return page_runs_add(r, &run) ? err_set(e, EX_OSERR, "out of memory") : 0;
}

static pid_t pid_of_object(struct outgoing *o, uint64_t object)
{
	AUTO_FREE pid_t *pids = NULL;
	int n;

	if (outgoing_pids(o, &pids, &n, NULL))
		return 0;
	for (int i = 0; i < n; i++)
		if ((uint64_t)memory_ns_pid(pids[i]) == object)
			return pids[i];
	return 0;
}

/* What of an entry is not in the image in its final state yet: pages that CRIU wrote because nobody else could read
 * them, and lazy ones that the last round did not see. */
static int entry_runs(struct outgoing *o, uint64_t object, const struct pagemap_entry *en, const uint8_t *data,
		      struct page_runs *out, struct err *e)
{
	pid_t pid = 0;

	for (uint64_t p = 0; p < en->pages;) {
		struct page_run run = { .object = object, .addr = en->addr + p * PAGE_BYTES };

		if (!data) {
			p += image_used(o->im, object, run.addr, en->pages - p);
			if (p == en->pages)
				break;
			run.addr = en->addr + p * PAGE_BYTES;
			if (!pid && !(pid = pid_of_object(o, object)))
				return err_set(e, EX_SOFTWARE, "memory: no process for pages of object %llu",
					       (unsigned long long)object);
			run.pid = pid;
			run.vaddr = run.addr;
			run.pages = 1;
		} else {
			run.vaddr = (uintptr_t)data + p * PAGE_BYTES;
			run.pages = en->pages - p < RUN_PAGES ? (uint32_t)(en->pages - p) : RUN_PAGES;
		}
		if (add_run(out, run, e))
			return -1;
		p += run.pages;
	}
	return 0;
}

static int object_runs(struct outgoing *o, uint64_t object, const struct pagemap *pm, const struct dumped *d,
		       struct page_runs *out, struct err *e)
{
	size_t at = 0;

	for (size_t i = 0; i < pm->n; i++) {
		const struct pagemap_entry *en = &pm->entry[i];
		bool here = en->flags & PAGES_PRESENT;

		if (here && (en->pages > d->len / PAGE_BYTES || at + en->pages * PAGE_BYTES > d->len))
			return err_set(e, EX_SOFTWARE, "criu: its pagemap names more pages than there are");
		/* What may come later, and is not in the image, comes after the service. */
		if ((here || !o->post_copy || !(en->flags & PAGES_LAZY)) && entry_runs(o, object, en, here ? d->data + at : NULL, out, e))
			return -1;
		if (here)
			at += en->pages * PAGE_BYTES;
	}
	return 0;
}

/* What of its pages is in the image is in the parent; what is not is late, and called lazy alone. */
static int split_entry(struct outgoing *o, uint64_t object, const struct pagemap_entry *en, struct pagemap *out, struct err *e)
{
	for (uint64_t p = 0, n; p < en->pages; p += n) {
		uint64_t addr = en->addr + p * PAGE_BYTES;
		bool late = en->flags == PAGES_LAZY && o->post_copy && (n = image_unused(o->im, object, addr, en->pages - p));

		if (!late)
			n = o->post_copy && en->flags == PAGES_LAZY ? image_used(o->im, object, addr, en->pages - p) : en->pages;
		if (pagemap_add(out, (struct pagemap_entry){ addr, n, late ? PAGES_LAZY : PAGES_IN_PARENT | (en->flags & PAGES_LAZY) }, e))
			return -1;
	}
	return 0;
}

/* Its pages into the image: those that CRIU lists or wrote, then those that it was not told of, which are listed here. */
static int settle_pages(struct outgoing *o, uint64_t object, struct pagemap *pm, struct pages_stats *st, struct err *e)
{
	AUTO_PAGEMAP struct pagemap *hidden = calloc(1, sizeof(*hidden));
	struct page_runs runs = { 0 };
	struct dumped d = { 0 }, none = { 0 };
	int rc;

	if (!hidden || dumped_open(&d, o->ck->dir, pm->pages_id, e))
		return hidden ? -1 : err_set(e, EX_OSERR, "out of memory");
	rc = object_runs(o, object, pm, &d, &runs, e) || outgoing_hidden(o, object, hidden, e) ||
			     object_runs(o, object, hidden, &none, &runs, e) || pagemap_merge(pm, hidden, e) ?
		     -1 : 0;
	if (!rc && runs.n)
		rc = sender_round(o->sender, &runs, false, true, st, e);
	page_runs_clear(&runs);
	dumped_clear(&d);
	return rc;
}

/* One pagemap: written anew with every page in the parent; what may come later still may. */
static int settle_pagemap(struct outgoing *o, const char *name, struct pages_stats *st, struct err *e)
{
	uint64_t object = pagemap_object(name);
	AUTO_PAGEMAP struct pagemap *pm = NULL, *settled = calloc(1, sizeof(*settled));
	char path[PATH_MAX + 256];

	snprintf(path, sizeof(path), "%s/%s", o->ck->dir, name);
	if (!settled)
		return err_set(e, EX_OSERR, "out of memory");
	if (pagemap_read(&pm, path, e) || settle_pages(o, object, pm, st, e))
		return -1;
	settled->pages_id = pm->pages_id;
	for (size_t i = 0; i < pm->n; i++)
		if (split_entry(o, object, &pm->entry[i], settled, e))
			return -1;
	snprintf(path, sizeof(path), "%s/pages-%u.img", o->ck->dir, pm->pages_id);
	if (truncate(path, 0))
		return err_sys(e, "%s", path);
	snprintf(path, sizeof(path), "%s/%s", o->ck->dir, name);
	return pagemap_write(settled, path, e);
}

static int send_image(struct outgoing *o, const char *name, struct err *e)
{
	char path[PATH_MAX + 256];
	size_t len;

	snprintf(path, sizeof(path), "%s/%s", o->ck->dir, name);
	AUTO_FREE char *data = file_slurp(path, &len, e);
	if (!data)
		return -1;
	o->rep.image_bytes += len;
	return wire_send(o->ctl, FRAME_IMAGE, name, strlen(name) + 1, data, len, e);
}

static int each_image(struct outgoing *o, int (*fn)(struct outgoing *, const char *, struct pages_stats *, struct err *),
		      struct pages_stats *st, struct err *e)
{
	DIR *d = opendir(o->ck->dir);
	struct dirent *de;
	int rc = 0;

	if (!d)
		return err_sys(e, "%s", o->ck->dir);
	while (!rc && (de = readdir(d)))
		if (checkpoint_is_image(de->d_name))
			rc = fn(o, de->d_name, st, e);
	closedir(d);
	return rc;
}

static int settle_one(struct outgoing *o, const char *name, struct pages_stats *st, struct err *e)
{
	return pagemap_object(name) ? settle_pagemap(o, name, st, e) : 0;
}

static int send_one(struct outgoing *o, const char *name, struct pages_stats *st, struct err *e)
{
	(void)st;
	return send_image(o, name, e);
}

int outgoing_send_images(struct outgoing *o, struct err *e)
{
	return each_image(o, send_one, NULL, e);
}

struct json *outgoing_call_with_images(struct outgoing *o, const char *verb, struct err *e)
{
	AUTO_JSON struct json *call = wire_request(verb), *digests = checkpoint_digests(o->ck, e);

	if (!digests)
		return NULL;
	json_set(call, "images", TAKE_PTR(digests));
	return wire_call(o->ctl, TAKE_PTR(call), e);
}

int outgoing_images(struct outgoing *o, struct pages_stats *st, struct err *e)
{
	if (outgoing_hidden_settle(o, e) || each_image(o, settle_one, st, e))
		return -1;
	return o->ctl ? outgoing_send_images(o, e) : 0;
}

static int list_one(struct outgoing *o, const char *name, struct pages_stats *st, struct err *e)
{
	uint64_t object = pagemap_object(name);
	AUTO_PAGEMAP struct pagemap *pm = NULL;
	char path[PATH_MAX + 256];

	(void)st;
	if (!object)
		return 0;
	snprintf(path, sizeof(path), "%s/%s", o->ck->dir, name);
	if (pagemap_read(&pm, path, e))
		return -1;
	for (size_t i = 0; i < pm->n; i++)
		for (uint64_t p = 0; p < pm->entry[i].pages; p += RUN_PAGES) {
			uint64_t left = pm->entry[i].pages - p;
			struct page_run run = {
				.object = object,
				.addr = pm->entry[i].addr + p * PAGE_BYTES,
				.pid = -1,
				.pages = left < RUN_PAGES ? (uint32_t)left : RUN_PAGES,
			};

			if (add_run(&o->runs, run, e))
				return -1;
		}
	return 0;
}

int outgoing_image_runs(struct outgoing *o, struct err *e)
{
	o->runs.n = 0;
	o->runs.pages = 0;
	return each_image(o, list_one, NULL, e);
}

/* ---- files that change without their times telling ---- */

/* Where a path inside the service lies on this node, if it is in a folder that travels; else a path that is not there. */
static void host_path(const struct service *s, const char *inside, char *out, size_t size)
{
	for (int i = 0; i < s->n_volumes; i++) {
		size_t n = strlen(s->volumes[i].path);

		if (!strncmp(inside, s->volumes[i].path, n) && (inside[n] == '/' || !inside[n])) {
			snprintf(out, size, "%s%s", s->volumes[i].host, inside + n);
			return;
		}
	}
	snprintf(out, size, "%s%s", service_dir(s, "upper"), inside);
}

static int add_mapped(struct outgoing *o, const char *inside, struct tree_inode **list, size_t *n, struct err *e)
{
	char path[2 * PATH_MAX];
	struct stat st;

	host_path(o->svc, inside, path, sizeof(path));
	if (lstat(path, &st) || !S_ISREG(st.st_mode))
		return 0;
	struct tree_inode *bigger = realloc(*list, (*n + 1) * sizeof(*bigger));
	if (!bigger)
		return err_set(e, EX_OSERR, "out of memory");
	*list = bigger;
	(*list)[(*n)++] = (struct tree_inode){ st.st_dev, st.st_ino };
	return 0;
}

int outgoing_mapped_files(struct outgoing *o, struct tree_inode **list, size_t *n, struct err *e)
{
	AUTO_FREE pid_t *pids = NULL;
	AUTO_FREE char *line = NULL;
	size_t room = 0;
	int n_pids, rc = 0;

	if (outgoing_pids(o, &pids, &n_pids, e))
		return -1;
	for (int i = 0; i < n_pids && !rc; i++) {
		char path[64], perms[5];
		int name;

		snprintf(path, sizeof(path), "/proc/%d/maps", pids[i]);
		AUTO_FILE FILE *f = fopen(path, "re");
		while (!rc && f && getline(&line, &room, f) > 0) {
			name = 0;
			if (sscanf(line, "%*s %4s %*s %*s %*s %n", perms, &name) != 1 || perms[1] != 'w' ||
			    perms[3] != 's' || line[name] != '/')
				continue;
			line[strcspn(line, "\n")] = 0;
			rc = add_mapped(o, line + name, list, n, e);
		}
	}
	return rc;
}
