/* SPDX-License-Identifier: MIT */
/* The memory image of one instance: what a node knows of its memory, before, between and after its moves.
 *
 * An object is one address space that CRIU dumps: the private memory of a process, or a shared segment. Its pages lie
 * in sparse files by address, cut into windows of 1 GiB: a file holds some windows in order of address, so it can be
 * handed to CRIU as a pages image without copying a byte. Windows that appear later go into a further file (a layer).
 * An index holds the SHA-256 of every page; it finds a page by address or by content.
 *
 * All functions may be called from several threads. A page is 4096 bytes, addresses are multiples of it. */
#ifndef EDGE_MOVE_IMAGE_H
#define EDGE_MOVE_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/auto.h"
#include "lib/base/digest.h"
#include "lib/base/err.h"

#define PAGE_BYTES 4096u
#define WINDOW_BITS 30

struct digest {
	uint8_t byte[DIGEST_BYTES];
};

enum page_state { PAGE_NONE, PAGE_ZERO, PAGE_DATA };

/* Objects are named by CRIU's ids: the pid inside the service's PID namespace, or the id of a shared segment. */
#define OBJECT_SHARED (1ULL << 63)

struct image;

/* The image kept in the folder `dir`, which is made if need be. Of one that nobody came to save, what image_note has last
 * written down; its pages are then to be read before they are counted on. */
int image_open(struct image **im, const char *dir, struct err *e);
void image_free(struct image *im);
AUTO_DEFINE(struct image, image_free)
#define AUTO_IMAGE AUTO(image_free_auto)
/* Nobody came to save it, and to sweep away what was not looked at since: a page that it knows may have been overwritten. */
bool image_rough(const struct image *im);

/* Between these two the folder has no index that is right. */
int image_begin(struct image *im, struct err *e);
/* Now and then, while the service runs: what there is is written down, by and by, if that was not done just now. It takes a fiftieth
 * of the time, more of a large image or on a slow disk. */
void image_note(struct image *im);
/* No more of them until image_begin: the disk and the processors are for who stands still. One that is being written is given up, and
 * waited for so many milliseconds. */
void image_note_stop(struct image *im, int ms);
#define IMAGE_SWEEP 1 /* forget the pages that image_use has not named since image_begin */
#define IMAGE_SYNC 2  /* wait until all of it is on disk */
int image_save(struct image *im, int flags, struct err *e);

/* A window that pages may be put into: number = address >> WINDOW_BITS. */
struct image_window {
	uint64_t object, number;
};

/* Makes room for those windows that are new, all in one layer per object. */
int image_cover(struct image *im, const struct image_window *w, size_t n, struct err *e);

enum page_state image_get(struct image *im, uint64_t object, uint64_t addr, struct digest *d);
/* Writes a page and its digest; page NULL: a page of zeros. Its window must have been covered (else EX_DATAERR). */
int image_put(struct image *im, uint64_t object, uint64_t addr, const struct digest *d, const void *page, struct err *e);
/* The same for n pages of data one behind the other, which must not cross a multiple of IMAGE_RUN bytes: one write. */
#define IMAGE_RUN (2u << 20)
int image_put_run(struct image *im, uint64_t object, uint64_t addr, const struct digest *d, const void *pages, unsigned n,
		  struct err *e);
/* Its pages need not stay in memory: those that are on disk leave it, the others are on their way there. */
void image_uncache(struct image *im);
/* The page at an address into buf, checked against its digest: 0, or -1 when it is not there or damaged. */
int image_read(struct image *im, uint64_t object, uint64_t addr, void *buf);
/* A page anywhere in the image with that content, checked: 0 and the page in buf; else -1. */
int image_find(struct image *im, const struct digest *d, void *buf);
/* Says that the service has these n pages now. Gives how many, from the first on, the image holds; it stops there. */
uint64_t image_use(struct image *im, uint64_t object, uint64_t addr, uint64_t n);
/* How many of these n pages, from the first on, image_use has named, or not named. */
uint64_t image_used(struct image *im, uint64_t object, uint64_t addr, uint64_t n);
uint64_t image_unused(struct image *im, uint64_t object, uint64_t addr, uint64_t n);
/* Takes it back: the service has other ones there. */
void image_unuse(struct image *im, uint64_t object, uint64_t addr, uint64_t n);

/* A scratch number per page for the sender's fast comparison, 0 at first and after image_begin. */
void image_marks(struct image *im, uint64_t object, uint64_t addr, unsigned n, uint64_t *mark);
void image_set_mark(struct image *im, uint64_t object, uint64_t addr, uint64_t mark);

/* Builds below the folder `images`, on the same filesystem, the chain of CRIU parent images that holds all pages: "parent",
 * "parent/parent", ... */
int image_link_parents(struct image *im, const char *images, struct err *e);

uint64_t image_pages(struct image *im); /* pages with data */

bool digest_equal(const struct digest *a, const struct digest *b);

#endif
