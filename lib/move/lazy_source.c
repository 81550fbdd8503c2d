/* SPDX-License-Identifier: MIT */
#include "lib/move/lazy_source.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/move/criu_mm.h"
#include "lib/move/image.h"
#include "lib/move/pagemap.h"

/* Consecutive pages that lie one behind the other in a file. */
struct extent {
	uint64_t object, addr, pages;
	int fd;
	off_t at;
};

struct wanted {
	uint64_t object;
	struct lazy_piece piece;
};

struct lazy_source {
	struct extent *extent; /* by object and address */
	size_t n, room;
	struct wanted *wanted;
	size_t n_wanted, room_wanted;
	struct space {
		uint64_t object;
		struct criu_mm *mm; /* owned */
	} *space;
	size_t n_spaces, room_spaces;
	int *fd;
	size_t n_fds;
	struct lazy_late *late; /* owned; NULL: none */
};

void lazy_source_free(struct lazy_source *s)
{
	for (size_t i = 0; i < s->n_fds; i++)
		close(s->fd[i]);
	lazy_late_free(s->late);
	free(s->fd);
	free(s->extent);
	free(s->wanted);
	for (size_t i = 0; i < s->n_spaces; i++)
		criu_mm_free(s->space[i].mm);
	free(s->space);
	free(s);
}

/* Room for one more of `size` bytes. */
static void *one_more(void *list, size_t n, size_t *room, size_t size)
{
	size_t more = *room ? *room * 2 : 64;
	void *bigger;

	if (n < *room)
		return list;
	bigger = realloc(list, more * size);
	if (bigger)
		*room = more;
	return bigger;
}

static int add_extent(struct lazy_source *s, struct extent x)
{
	struct extent *bigger = one_more(s->extent, s->n, &s->room, sizeof(*bigger));

	if (!bigger)
		return -1;
	s->extent = bigger;
	s->extent[s->n++] = x;
	return 0;
}

static int add_wanted(struct lazy_source *s, struct wanted w)
{
	struct wanted *bigger = one_more(s->wanted, s->n_wanted, &s->room_wanted, sizeof(*bigger));

	if (!bigger)
		return -1;
	s->wanted = bigger;
	s->wanted[s->n_wanted++] = w;
	return 0;
}

static int open_pages(struct lazy_source *s, const char *dir, unsigned id, struct err *e)
{
	char path[PATH_MAX + 32];
	int *bigger = realloc(s->fd, (s->n_fds + 1) * sizeof(*bigger)), fd;

	if (!bigger)
		return err_set(e, EX_OSERR, "out of memory");
	s->fd = bigger;
	snprintf(path, sizeof(path), "%s/pages-%u.img", dir, id);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, "%s", path);
	s->fd[s->n_fds++] = fd;
	return fd;
}

static int load_mm(struct lazy_source *s, const char *dir, uint64_t object, struct err *e)
{
	struct space *bigger = one_more(s->space, s->n_spaces, &s->room_spaces, sizeof(*bigger));

	if (!bigger)
		return err_set(e, EX_OSERR, "out of memory");
	s->space = bigger;
	s->space[s->n_spaces].object = object;
	if (criu_mm_read(&s->space[s->n_spaces].mm, dir, object, e))
		return -1;
	s->n_spaces++;
	return 0;
}

/* Of the pagemap on top: what is to come later, be it that it lies in a parent or nowhere yet. */
static int load_top(struct lazy_source *s, uint64_t object, const struct pagemap *pm, struct err *e)
{
	uint64_t end = 0;

	for (size_t i = 0; i < pm->n; i++) {
		const struct pagemap_entry *en = &pm->entry[i];

		if (en->addr < end)
			return err_set(e, EX_DATAERR, "process %llu: its page at %#llx is named twice", (unsigned long long)object,
				       (unsigned long long)en->addr);
		end = en->addr + en->pages * PAGE_BYTES;
		if (!(en->flags & PAGES_LAZY))
			continue;
		if (!(en->flags & PAGES_IN_PARENT) && !s->late && !(s->late = lazy_late_new()))
			return err_set(e, EX_OSERR, "out of memory");
		if (!(en->flags & PAGES_IN_PARENT) &&
		    lazy_late_add(s->late, (struct late_run){ object, en->addr, en->pages }, e))
			return -1;
		if (add_wanted(s, (struct wanted){ object, { en->addr, en->addr, en->pages } }))
			return err_set(e, EX_OSERR, "out of memory");
	}
	return 0;
}

/* Of a parent: where pages lie. */
static int load_parent(struct lazy_source *s, const char *dir, uint64_t object, const struct pagemap *pm, struct err *e)
{
	off_t at = 0;
	int fd = -1;

	for (size_t i = 0; i < pm->n; i++) {
		const struct pagemap_entry *en = &pm->entry[i];

		if (!(en->flags & PAGES_PRESENT))
			continue;
		if (fd < 0 && (fd = open_pages(s, dir, pm->pages_id, e)) < 0)
			return -1;
		if (add_extent(s, (struct extent){ object, en->addr, en->pages, fd, at }))
			return err_set(e, EX_OSERR, "out of memory");
		at += (off_t)(en->pages * PAGE_BYTES);
	}
	return 0;
}

/* One folder of the chain. *n: how many pagemaps it has. */
static int load_folder(struct lazy_source *s, const char *dir, bool top, int *n, struct err *e)
{
	DIR *d = opendir(dir);
	struct dirent *de;
	int rc = 0;

	*n = 0;
	if (!d)
		return errno == ENOENT && !top ? 0 : err_sys(e, "%s", dir);
	while (!rc && (de = readdir(d))) {
		AUTO_PAGEMAP struct pagemap *pm = NULL;
		uint64_t object = pagemap_object(de->d_name);
		char path[PATH_MAX + 256];

		if (!object || object & OBJECT_SHARED)
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, de->d_name);
		rc = pagemap_read(&pm, path, e) ||
		     (top ? load_top(s, object, pm, e) || load_mm(s, dir, object, e) : load_parent(s, dir, object, pm, e)) ? -1 : 0;
		(*n)++;
	}
	closedir(d);
	return rc;
}

static int by_place(const void *a, const void *b)
{
	const struct extent *x = a, *y = b;

	if (x->object != y->object)
		return x->object < y->object ? -1 : 1;
	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

int lazy_source_open(struct lazy_source **out, const char *images, struct err *e)
{
	AUTO_LAZY_SOURCE struct lazy_source *s = calloc(1, sizeof(*s));
	char dir[PATH_MAX];
	int n;

	if (!s)
		return err_set(e, EX_OSERR, "out of memory");
	snprintf(dir, sizeof(dir), "%s", images);
	if (load_folder(s, dir, true, &n, e) || (s->late && lazy_late_ready(s->late, dir, e)))
		return -1;
	for (n = 1; n && strlen(dir) + sizeof("/parent") < sizeof(dir);) {
		strcat(dir, "/parent");
		if (load_folder(s, dir, false, &n, e))
			return -1;
	}
	if (s->n)
		qsort(s->extent, s->n, sizeof(*s->extent), by_place);
	*out = TAKE_PTR(s);
	return 0;
}

struct lazy_late *lazy_source_late(const struct lazy_source *s)
{
	return s->late;
}

int lazy_source_wanted(const struct lazy_source *s, uint64_t object, struct lazy_space *space, struct lazy_space *late)
{
	for (size_t i = 0; i < s->n_wanted; i++) {
		struct lazy_piece p = s->wanted[i].piece;
		uint64_t left = p.pages;

		for (; s->wanted[i].object == object && left; left -= p.pages, p.addr = p.from += p.pages * PAGE_BYTES) {
			enum late_state state = lazy_late_state(s->late, object, p.from, left, &p.pages);

			if (lazy_space_add(state == LATE_LACKING ? late : space, p))
				return -1;
		}
	}
	return 0;
}

const struct criu_mm *lazy_source_mm(const struct lazy_source *s, uint64_t object)
{
	for (size_t i = 0; i < s->n_spaces; i++)
		if (s->space[i].object == object)
			return s->space[i].mm;
	return NULL;
}

/* By what pages are called: they may have moved. */
static int wipe(const struct criu_vma *v, struct lazy_space *space)
{
	for (size_t i = space->n; i-- > 0;) {
		struct lazy_piece p = space->piece[i];
		uint64_t end = p.from + p.pages * PAGE_BYTES, from = v->start > p.from ? v->start : p.from;
		uint64_t to = v->end < end ? v->end : end;

		if (from < to && lazy_space_cut(space, p.addr + from - p.from, (to - from) / PAGE_BYTES))
			return -1;
	}
	return 0;
}

int lazy_source_fork(const struct lazy_source *s, uint64_t object, struct lazy_space *space)
{
	const struct criu_mm *mm = lazy_source_mm(s, object);

	for (size_t i = 0; mm && i < mm->n; i++)
		if (mm->vma[i].wiped && wipe(&mm->vma[i], space))
			return -1;
	return 0;
}

/* The extent that holds the page; NULL. */
static const struct extent *extent_of(const struct lazy_source *s, uint64_t object, uint64_t addr)
{
	size_t lo = 0, hi = s->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		const struct extent *x = &s->extent[mid];

		if (x->object < object || (x->object == object && x->addr + x->pages * PAGE_BYTES <= addr))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < s->n && s->extent[lo].object == object && s->extent[lo].addr <= addr ? &s->extent[lo] : NULL;
}

int lazy_source_read(const struct lazy_source *s, uint64_t object, uint64_t addr, uint64_t pages, void *buf)
{
	uint64_t end = addr + pages * PAGE_BYTES;
	char *to = buf;

	while (addr < end) {
		const struct extent *x = extent_of(s, object, addr);
		uint64_t here = x ? x->addr + x->pages * PAGE_BYTES - addr : 0, alike;

		if (lazy_late_is(s->late, object, addr, (end - addr) / PAGE_BYTES, &alike)) {
			if (lazy_late_read(s->late, (struct late_run){ object, addr, alike }, to))
				return -1;
			addr += alike * PAGE_BYTES;
			to += alike * PAGE_BYTES;
			continue;
		}

		if (!x) {
			errno = ENXIO;
			return -1;
		}
		if (here > alike * PAGE_BYTES)
			here = alike * PAGE_BYTES;
		ssize_t n = pread(x->fd, to, here, x->at + (off_t)(addr - x->addr));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < (ssize_t)PAGE_BYTES) {
			if (n >= 0)
				errno = EIO; /* it is too short */
			return -1;
		}
		/* A page that was read in part is read again. */
		n -= n % PAGE_BYTES;
		addr += (uint64_t)n;
		to += n;
	}
	return 0;
}
