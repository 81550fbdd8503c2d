/* SPDX-License-Identifier: MIT */
#include "lib/move/image.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "lib/base/file.h"
#include "lib/move/image_int.h"

#define FOLIO_BYTES (32u << 10)

bool digest_equal(const struct digest *a, const struct digest *b)
{
	return !memcmp(a, b, sizeof(*a));
}

/* ---- objects, windows, chunks: by address; the lock is held ---- */

static struct object *object_find(struct image *im, uint64_t id)
{
	if (im->last && im->last->id == id)
		return im->last;
	for (size_t i = 0; i < im->n_objects; i++)
		if (im->object[i]->id == id)
			return im->last = im->object[i];
	return NULL;
}

struct object *image_object_add(struct image *im, uint64_t id)
{
	struct object *o = object_find(im, id), **bigger;

	if (o || im->n_objects >= OBJECTS_MAX)
		return o;
	bigger = realloc(im->object, (im->n_objects + 1) * sizeof(*bigger));
	if (!bigger)
		return NULL;
	im->object = bigger;
	o = calloc(1, sizeof(*o));
	if (!o)
		return NULL;
	o->id = id;
	im->shape++;
	return im->object[im->n_objects++] = o;
}

static struct window *window_find(const struct object *o, uint64_t number)
{
	size_t lo = 0, hi = o->n_windows;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (o->window[mid]->number < number)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < o->n_windows && o->window[lo]->number == number ? o->window[lo] : NULL;
}

static int window_add(struct image *im, struct object *o, uint64_t number, int layer)
{
	struct window **bigger = realloc(o->window, (o->n_windows + 1) * sizeof(*bigger));
	struct window *w = calloc(1, sizeof(*w));
	size_t at = o->n_windows;

	if (bigger)
		o->window = bigger;
	if (!bigger || !w) {
		free(w);
		return -1;
	}
	for (; at && o->window[at - 1]->number > number; at--)
		o->window[at] = o->window[at - 1];
	w->number = number;
	w->layer = layer;
	o->window[at] = w;
	o->n_windows++;
	im->shape++;
	return 0;
}

struct chunk *image_chunk_at(struct image *im, uint64_t object, uint64_t addr, struct object **op, struct window **wp, bool make)
{
	struct object *o = object_find(im, object);
	struct window *w = o ? window_find(o, addr >> WINDOW_BITS) : NULL;
	size_t c = (addr >> CHUNK_BITS) % CHUNKS_PER_WINDOW;

	if (!w)
		return NULL;
	if (!w->chunk[c] && make)
		w->chunk[c] = calloc(1, sizeof(struct chunk));
	if (op)
		*op = o;
	if (wp)
		*wp = w;
	return w->chunk[c];
}

static off_t offset_of(const struct window *w, uint64_t addr)
{
	return (off_t)w->rank << WINDOW_BITS | (off_t)(addr & ((1ULL << WINDOW_BITS) - 1));
}

/* ---- layers: the files ---- */

int image_layer_open(struct image *im, struct object *o, int layer, struct err *e)
{
	uint64_t windows = 0;
	char path[PATH_MAX];

	if (o->n_layers <= layer) {
		int *bigger = realloc(o->fd, (size_t)(layer + 1) * sizeof(*bigger));

		if (!bigger)
			return err_set(e, EX_OSERR, "out of memory");
		o->fd = bigger;
		while (o->n_layers <= layer)
			o->fd[o->n_layers++] = -1;
	}
	for (size_t i = 0; i < o->n_windows; i++)
		if (o->window[i]->layer == layer)
			o->window[i]->rank = (unsigned)windows++;
	snprintf(path, sizeof(path), "%s/%016" PRIx64 ".%d", im->dir, o->id, layer);
	o->fd[layer] = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (o->fd[layer] < 0)
		return err_sys(e, "%s", path);
	/* Full length at once: CRIU may read up to a window's end. */
	if (ftruncate(o->fd[layer], (off_t)(windows << WINDOW_BITS)))
		return err_sys(e, "%s", path);
	return 0;
}

/* Takes back what a failed image_cover has begun: no window may be without its file. */
static void cover_undo(struct image *im, struct object *o, int layer)
{
	size_t kept = 0;

	for (size_t i = 0; i < o->n_windows; i++)
		if (o->window[i]->layer < layer)
			o->window[kept++] = o->window[i];
		else
			free(o->window[i]);
	im->windows -= o->n_windows - kept;
	im->shape++;
	o->n_windows = kept;
	for (; o->n_layers > layer; o->n_layers--)
		if (o->fd[o->n_layers - 1] >= 0)
			close(o->fd[o->n_layers - 1]);
}

static int cover_window(struct image *im, struct image_window w, struct err *e)
{
	struct object *o;

	if (w.number >= 1ULL << (56 - WINDOW_BITS))
		return err_set(e, EX_DATAERR, "memory image: address out of range");
	o = image_object_add(im, w.object);
	if (!o)
		return err_set(e, EX_UNAVAILABLE, "memory image: too many address spaces, or out of memory");
	if (window_find(o, w.number))
		return 0;
	if (o->n_windows >= WINDOWS_MAX || im->windows >= IMAGE_WINDOWS_MAX)
		return err_set(e, EX_UNAVAILABLE, "memory image: address space too scattered");
	if (window_add(im, o, w.number, o->n_layers))
		return err_set(e, EX_OSERR, "out of memory");
	im->windows++;
	o->grown = true;
	return 0;
}

int image_cover(struct image *im, const struct image_window *w, size_t n, struct err *e)
{
	int rc = 0;

	pthread_mutex_lock(&im->lock);
	for (size_t i = 0; i < n && !rc; i++)
		rc = cover_window(im, w[i], e);
	for (size_t i = 0; i < im->n_objects; i++) {
		struct object *o = im->object[i];
		int layer = o->n_layers;

		if (!o->grown)
			continue;
		o->grown = false;
		if (rc || (rc = image_layer_open(im, o, layer, e)))
			cover_undo(im, o, layer);
	}
	pthread_mutex_unlock(&im->lock);
	return rc;
}

/* ---- pages ---- */

enum page_state image_get(struct image *im, uint64_t object, uint64_t addr, struct digest *d)
{
	enum page_state state = PAGE_NONE;

	pthread_mutex_lock(&im->lock);
	struct chunk *c = image_chunk_at(im, object, addr, NULL, NULL, false);
	if (c && c->state[page_of(addr)] != PAGE_STALE)
		state = c->state[page_of(addr)];
	if (state == PAGE_DATA)
		*d = c->digest[page_of(addr)];
	pthread_mutex_unlock(&im->lock);
	return state;
}

/* Where pages of one chunk lie; their state is set meanwhile, so that nobody trusts half-written ones. */
static int pages_locate(struct image *im, uint64_t object, uint64_t addr, unsigned n, int *fd, off_t *at)
{
	struct object *o;
	struct window *w;

	pthread_mutex_lock(&im->lock);
	struct chunk *c = image_chunk_at(im, object, addr, &o, &w, true);
	if (c) {
		memset(c->state + page_of(addr), PAGE_STALE, n);
		*fd = o->fd[w->layer];
		*at = offset_of(w, addr);
	}
	pthread_mutex_unlock(&im->lock);
	return c ? 0 : -1;
}

static void pages_settle(struct image *im, uint64_t object, uint64_t addr, enum page_state state, const struct digest *d,
			 unsigned n)
{
	pthread_mutex_lock(&im->lock);
	struct chunk *c = image_chunk_at(im, object, addr, NULL, NULL, false);
	if (c) /* not swept meanwhile */
		memset(c->state + page_of(addr), state, n);
	for (unsigned i = 0; c && i < n && state == PAGE_DATA; i++) {
		c->digest[page_of(addr) + i] = d[i];
		if (im->indexed)
			image_hash_add(im, &d[i], object, addr + (uint64_t)i * PAGE_BYTES);
	}
	pthread_mutex_unlock(&im->lock);
}

/* The page cache takes what is written in one go as one folio, and ext4 goes through all blocks of a folio for each page that is
 * written to it later: so no folio becomes large. */
static int write_small(int fd, const void *pages, size_t n, off_t at)
{
	for (size_t done = 0, part; done < n; done += part) {
		part = n - done < FOLIO_BYTES ? n - done : FOLIO_BYTES;
		if (fd_pwrite_all(fd, (const char *)pages + done, part, at + (off_t)done))
			return -1;
	}
	return 0;
}

int image_put_run(struct image *im, uint64_t object, uint64_t addr, const struct digest *d, const void *pages, unsigned n,
		  struct err *e)
{
	off_t at = 0;
	int fd = -1;

	if (page_of(addr) + n > PAGES_PER_CHUNK)
		return err_set(e, EX_SOFTWARE, "memory image: run of pages crosses a chunk");
	if (pages_locate(im, object, addr, n, &fd, &at))
		return err_set(e, EX_DATAERR, "memory image: page %#" PRIx64 " lies outside", addr);
	if (write_small(fd, pages, (size_t)n * PAGE_BYTES, at))
		return err_sys(e, "memory image");
	pages_settle(im, object, addr, PAGE_DATA, d, n);
	return 0;
}

void image_uncache(struct image *im)
{
	size_t n = 0, i = 0;
	int *fd;

	/* Files are only ever added; and the kernel may take its time. */
	pthread_mutex_lock(&im->lock);
	for (size_t k = 0; k < im->n_objects; k++)
		n += (size_t)im->object[k]->n_layers;
	fd = calloc(n + 1, sizeof(*fd));
	for (size_t k = 0; fd && k < im->n_objects; k++)
		for (int l = 0; l < im->object[k]->n_layers; l++)
			fd[i++] = im->object[k]->fd[l];
	pthread_mutex_unlock(&im->lock);
	while (i)
		posix_fadvise(fd[--i], 0, 0, POSIX_FADV_DONTNEED);
	free(fd);
}

/* A page of zeros. CRIU reads the file, so it must be a hole: one that was never written is. */
static int put_zero(struct image *im, uint64_t object, uint64_t addr, struct err *e)
{
	struct object *o;
	struct window *w;
	bool written = false;
	off_t at = 0;
	int fd = -1;

	pthread_mutex_lock(&im->lock);
	struct chunk *c = image_chunk_at(im, object, addr, &o, &w, true);
	if (c) {
		uint8_t *state = &c->state[page_of(addr)];

		written = *state == PAGE_DATA || *state == PAGE_STALE;
		*state = written ? PAGE_STALE : PAGE_ZERO;
		fd = o->fd[w->layer];
		at = offset_of(w, addr);
	}
	pthread_mutex_unlock(&im->lock);
	if (!c)
		return err_set(e, EX_DATAERR, "memory image: page %#" PRIx64 " lies outside", addr);
	if (!written)
		return 0;
	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, PAGE_BYTES))
		return err_sys(e, "memory image");
	pages_settle(im, object, addr, PAGE_ZERO, NULL, 1);
	return 0;
}

int image_put(struct image *im, uint64_t object, uint64_t addr, const struct digest *d, const void *page, struct err *e)
{
	return page ? image_put_run(im, object, addr, d, page, 1, e) : put_zero(im, object, addr, e);
}

int image_read(struct image *im, uint64_t object, uint64_t addr, void *buf)
{
	struct digest want, got;
	struct object *o;
	struct window *w;
	int fd = -1;
	off_t at = 0;

	pthread_mutex_lock(&im->lock);
	struct chunk *c = image_chunk_at(im, object, addr, &o, &w, false);
	unsigned state = c ? c->state[page_of(addr)] : PAGE_NONE;
	if (state == PAGE_DATA) {
		want = c->digest[page_of(addr)];
		fd = o->fd[w->layer];
		at = offset_of(w, addr);
	}
	pthread_mutex_unlock(&im->lock);
	if (state == PAGE_ZERO)
		memset(buf, 0, PAGE_BYTES);
	if (state != PAGE_DATA)
		return state == PAGE_ZERO ? 0 : -1;
	if (pread(fd, buf, PAGE_BYTES, at) != PAGE_BYTES)
		return -1;
	digest_of(buf, PAGE_BYTES, &got);
	return digest_equal(&want, &got) ? 0 : -1;
}

int image_find(struct image *im, const struct digest *d, void *buf)
{
	uint64_t object, addr;
	struct digest got;
	bool found;

	pthread_mutex_lock(&im->lock);
	if (!im->indexed)
		image_hash_all(im);
	found = image_hash_find(im, d, &object, &addr);
	pthread_mutex_unlock(&im->lock);
	if (!found || image_read(im, object, addr, buf))
		return -1;
	/* The place may have been overwritten since it was entered. */
	digest_of(buf, PAGE_BYTES, &got);
	return digest_equal(d, &got) ? 0 : -1;
}

void image_each_chunk(struct image *im, chunk_fn *fn, void *ctx)
{
	for (size_t i = 0; i < im->n_objects; i++)
		for (size_t j = 0; j < im->object[i]->n_windows; j++)
			for (size_t k = 0; k < CHUNKS_PER_WINDOW; k++)
				if (im->object[i]->window[j]->chunk[k])
					fn(ctx, im->object[i], im->object[i]->window[j], k);
}
