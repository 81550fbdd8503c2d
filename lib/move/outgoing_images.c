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

/* One pagemap's pages as CRIU wrote them. Most are in the image already: what is not looked at is not mapped. */
struct dumped {
	unsigned id;
	uint8_t *data; /* NULL: not yet */
	size_t len;
};

static const char *dumped_path(const struct outgoing *o, unsigned id, char path[PATH_MAX + 32])
{
	snprintf(path, PATH_MAX + 32, "%s/pages-%u.img", o->ck->dir, id);
	return path;
}

static void dumped_clear(struct dumped *d)
{
	if (d->data)
		munmap(d->data, d->len);
}

static int dumped_find(struct dumped *d, const struct outgoing *o, unsigned id, struct err *e)
{
	char path[PATH_MAX + 32];
	struct stat st;

	if (stat(dumped_path(o, id, path), &st))
		return err_sys(e, "%s", path);
	d->id = id;
	d->len = (size_t)st.st_size;
	return 0;
}

static int dumped_map(struct dumped *d, const struct outgoing *o, struct err *e)
{
	char path[PATH_MAX + 32];

	if (d->data)
		return 0;
	AUTO_FD int fd = open(dumped_path(o, d->id, path), O_RDONLY | O_CLOEXEC);
	void *data = fd < 0 ? MAP_FAILED : mmap(NULL, d->len, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (data == MAP_FAILED)
		return err_sys(e, "%s", path);
	d->data = data;
	return 0;
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

/* The first of the runs of shared memory that the last round has read, while it stood still, that ends behind this address; NULL. Not
 * after a round whose pages are to come later. In private memory that round may have met code of criu's, which its own copy has not. */
static const struct page_run *read_last(const struct outgoing *o, uint64_t object, uint64_t addr)
{
	const struct page_run *r = o->runs.run;
	size_t from = 0, to = o->runs.n;

	if (o->post_copy || !(object & OBJECT_SHARED))
		return NULL;
	while (from < to) {
		size_t at = (from + to) / 2;

		if (r[at].object < object || (r[at].object == object && r[at].addr + (uint64_t)r[at].pages * PAGE_BYTES <= addr))
			from = at + 1;
		else
			to = at;
	}
	return from < o->runs.n && r[from].object == object ? &r[from] : NULL;
}

/* Pages that CRIU wrote, as nobody else could read them, or as no process has touched them where it has mapped that shared memory. */
static int dumped_runs(struct outgoing *o, uint64_t object, const struct pagemap_entry *en, struct dumped *d, size_t at,
		       struct page_runs *out, struct err *e)
{
	for (uint64_t p = 0; p < en->pages;) {
		uint64_t addr = en->addr + p * PAGE_BYTES, n = en->pages - p;
		const struct page_run *last = read_last(o, object, addr);

		if (last && last->addr <= addr) { /* it is in the image */
			p += last->pages - (addr - last->addr) / PAGE_BYTES;
			continue;
		}
		if (last && (last->addr - addr) / PAGE_BYTES < n)
			n = (last->addr - addr) / PAGE_BYTES;
		if (dumped_map(d, o, e))
			return -1;
		struct page_run run = { .object = object, .addr = addr, .vaddr = (uintptr_t)d->data + at + p * PAGE_BYTES,
					.pages = n < RUN_PAGES ? (uint32_t)n : RUN_PAGES };
		if (add_run(out, run, e))
			return -1;
		p += run.pages;
	}
	return 0;
}

/* Pages that were left to us, and that the last round did not see. */
static int left_runs(struct outgoing *o, uint64_t object, const struct pagemap_entry *en, struct page_runs *out, struct err *e)
{
	pid_t pid = 0;

	for (uint64_t p = 0; p < en->pages; p++) {
		p += image_used(o->im, object, en->addr + p * PAGE_BYTES, en->pages - p);
		if (p == en->pages)
			break;
		if (!pid && !(pid = pid_of_object(o, object)))
			return err_set(e, EX_SOFTWARE, "memory: no process for pages of object %llu", (unsigned long long)object);
		struct page_run run = { .object = object, .addr = en->addr + p * PAGE_BYTES, .pid = pid, .pages = 1 };
		run.vaddr = run.addr;
		if (add_run(out, run, e))
			return -1;
	}
	return 0;
}

/* What is not in the image in its final state yet. */
static int object_runs(struct outgoing *o, uint64_t object, const struct pagemap *pm, struct dumped *d,
		       struct page_runs *out, struct err *e)
{
	size_t at = 0;

	for (size_t i = 0; i < pm->n; i++) {
		const struct pagemap_entry *en = &pm->entry[i];
		bool here = en->flags & PAGES_PRESENT;

		if (here && (en->pages > d->len / PAGE_BYTES || at + en->pages * PAGE_BYTES > d->len))
			return err_set(e, EX_SOFTWARE, "criu: its pagemap names more pages than there are");
		/* What may come later, and is not in the image, comes after the service. */
		if (here ? dumped_runs(o, object, en, d, at, out, e) :
			   !(o->post_copy && en->flags & PAGES_LAZY) && left_runs(o, object, en, out, e))
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

/* One object's pages as criu has left them. */
struct settled {
	uint64_t object;
	struct pagemap *pm;
	struct dumped dumped;
};

/* All of them: what of their pages has to go into the image still goes there in one round. */
struct settling {
	struct settled *list;
	size_t n;
	struct page_runs runs;
};

/* Those that CRIU lists or wrote, then those that it was not told of, which are listed here. */
static int find_left(struct outgoing *o, struct settled *s, struct page_runs *runs, struct err *e)
{
	AUTO_PAGEMAP struct pagemap *hidden = calloc(1, sizeof(*hidden));
	struct dumped none = { .len = 0 };

	if (!hidden)
		return err_set(e, EX_OSERR, "out of memory");
	return dumped_find(&s->dumped, o, s->pm->pages_id, e) || object_runs(o, s->object, s->pm, &s->dumped, runs, e) ||
			       outgoing_hidden(o, s->object, hidden, e) || object_runs(o, s->object, hidden, &none, runs, e) ||
			       pagemap_merge(s->pm, hidden, e) ?
		       -1 : 0;
}

static int settle_one(struct outgoing *o, const char *name, void *ctx, struct err *e)
{
	uint64_t object = pagemap_object(name);
	char path[PATH_MAX + 256];
	struct settling *all = ctx;

	if (!object)
		return 0;
	struct settled *bigger = realloc(all->list, (all->n + 1) * sizeof(*bigger));
	if (!bigger)
		return err_set(e, EX_OSERR, "out of memory");
	all->list = bigger;
	struct settled *s = &all->list[all->n++];
	*s = (struct settled){ .object = object };
	snprintf(path, sizeof(path), "%s/%s", o->ck->dir, name);
	return pagemap_read(&s->pm, path, e) || find_left(o, s, &all->runs, e) ? -1 : 0;
}

/* One pagemap: written anew with every page in the parent; what may come later still may. */
static int write_settled(struct outgoing *o, const struct settled *s, struct err *e)
{
	AUTO_PAGEMAP struct pagemap *out = calloc(1, sizeof(*out));
	char path[PATH_MAX + 256], name[64];

	if (!out)
		return err_set(e, EX_OSERR, "out of memory");
	out->pages_id = s->pm->pages_id;
	for (size_t i = 0; i < s->pm->n; i++)
		if (split_entry(o, s->object, &s->pm->entry[i], out, e))
			return -1;
	if (truncate(dumped_path(o, out->pages_id, path), 0))
		return err_sys(e, "%s", path);
	pagemap_name(s->object, name);
	snprintf(path, sizeof(path), "%s/%s", o->ck->dir, name);
	return pagemap_write(out, path, e);
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

static int each_image(struct outgoing *o, int (*fn)(struct outgoing *, const char *, void *, struct err *), void *ctx, struct err *e)
{
	DIR *d = opendir(o->ck->dir);
	struct dirent *de;
	int rc = 0;

	if (!d)
		return err_sys(e, "%s", o->ck->dir);
	while (!rc && (de = readdir(d)))
		if (checkpoint_is_image(de->d_name))
			rc = fn(o, de->d_name, ctx, e);
	closedir(d);
	return rc;
}

static int settle(struct outgoing *o, struct pages_stats *st, struct err *e)
{
	struct settling all = { 0 };
	int rc = each_image(o, settle_one, &all, e);

	if (!rc && all.runs.n)
		rc = sender_round(o->sender, &all.runs, false, true, st, e);
	for (size_t i = 0; i < all.n; i++) {
		rc = rc || write_settled(o, &all.list[i], e) ? -1 : 0;
		dumped_clear(&all.list[i].dumped);
		if (all.list[i].pm)
			pagemap_free(all.list[i].pm);
	}
	page_runs_clear(&all.runs);
	free(all.list);
	return rc;
}

static int send_one(struct outgoing *o, const char *name, void *ctx, struct err *e)
{
	(void)ctx;
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
	if (outgoing_hidden_settle(o, e) || settle(o, st, e))
		return -1;
	return o->ctl ? outgoing_send_images(o, e) : 0;
}

static int list_one(struct outgoing *o, const char *name, void *ctx, struct err *e)
{
	uint64_t object = pagemap_object(name);
	AUTO_PAGEMAP struct pagemap *pm = NULL;
	char path[PATH_MAX + 256];

	(void)ctx;
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
