/* SPDX-License-Identifier: MIT */
/* The inside of a memory image, shared by image.c (pages by address), image_used.c (notes on them),
 * image_index.c (by content, and on disk), image_note.c (on disk meanwhile) and image_link.c (for CRIU). */
#ifndef EDGE_MOVE_IMAGE_INT_H
#define EDGE_MOVE_IMAGE_INT_H

#include <limits.h>
#include <pthread.h>

#include "lib/move/image.h"

#define CHUNK_BITS 21
#define PAGES_PER_CHUNK ((1u << CHUNK_BITS) / PAGE_BYTES)
#define CHUNKS_PER_WINDOW (1u << (WINDOW_BITS - CHUNK_BITS))
#define OBJECTS_MAX 32768
#define IMAGE_WINDOWS_MAX 32768 /* of all objects: a hostile peer cannot make each cost 4 KiB without end */
#define PAGE_STALE (PAGE_DATA + 1) /* no page, but its place in the file is not known to be a hole */
#define WINDOWS_MAX 8192 /* of an object: half of the 16 TiB that a file may have on ext4 */

struct chunk {
	uint8_t state[PAGES_PER_CHUNK]; /* enum page_state, or PAGE_STALE */
	uint8_t used[PAGES_PER_CHUNK / 8];
	struct digest digest[PAGES_PER_CHUNK];
	uint64_t *mark;
};

struct window {
	uint64_t number;
	int layer;
	unsigned rank; /* its place in the layer's file */
	struct chunk *chunk[CHUNKS_PER_WINDOW];
};

struct object {
	uint64_t id;
	struct window **window; /* by number */
	size_t n_windows;
	int *fd; /* one a layer */
	int n_layers;
	bool grown;
};

/* Digest to place, open addressing; an entry may be out of date, so what it leads to is checked. */
struct place {
	uint64_t key, object, addr; /* key: first eight bytes of the digest; 0 is free */
};

struct image {
	char dir[PATH_MAX];
	pthread_mutex_t lock;
	struct object **object, *last;
	size_t n_objects, windows; /* windows: of all objects */
	struct place *place, *smaller; /* smaller: the one before, half as large, until all has moved from it */
	size_t places, places_used, to_move;
	bool rough;
	bool indexed; /* by content: from the first image_find on */
	unsigned shape; /* changes when objects or windows come or go */
	double note_at; /* when the next note is written; 0: the image is at rest */
	pthread_t noter;
	pthread_cond_t note_cond;
	bool noting, note_due, note_over, note_gone; /* there is a thread; a note is to be written, or is being; no more of them; it ends */
};

/* The page's number in its chunk. */
static inline unsigned page_of(uint64_t addr)
{
	return (unsigned)(addr / PAGE_BYTES % PAGES_PER_CHUNK);
}

/* The chunk of that address, with the lock held; NULL: none, unless `make` and its window is covered. op, wp may be NULL. */
struct chunk *image_chunk_at(struct image *im, uint64_t object, uint64_t addr, struct object **op, struct window **wp, bool make);
typedef void chunk_fn(void *ctx, struct object *o, struct window *w, size_t k);
void image_each_chunk(struct image *im, chunk_fn *fn, void *ctx);
struct object *image_object_add(struct image *im, uint64_t id);
int image_layer_open(struct image *im, struct object *o, int layer, struct err *e);
void image_hash_add(struct image *im, const struct digest *d, uint64_t object, uint64_t addr);
/* Enters all pages; a sender never looks, and is spared it. */
void image_hash_all(struct image *im);
bool image_hash_find(struct image *im, const struct digest *d, uint64_t *object, uint64_t *addr);

/* The lock is held. INDEX_SYNC: until it is on disk. INDEX_BUSY: it is given back again and again, so that others go on; what they
 * change meanwhile may be in the index or not, and when they change the shape, or note_over, there is none (-1). */
enum index_how { INDEX_WHOLE, INDEX_SYNC, INDEX_BUSY };
int image_index_write(struct image *im, const char *name, enum index_how how, struct err *e);
/* From now on there may be notes; the lock is held. */
void image_note_begin(struct image *im);
/* As image_note_stop, and their thread has ended: by one thread at a time, without the lock. */
void image_note_end(struct image *im);

#endif
