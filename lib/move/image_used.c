/* SPDX-License-Identifier: MIT */
/* Notes on pages of a memory image: which of them are used, and a mark of each. */
#include <string.h>

#include "lib/move/image_int.h"

/* Pages up to the end of the chunk that holds the first of them, n at most. */
static unsigned rest_of_chunk(uint64_t addr, uint64_t n)
{
	unsigned left = PAGES_PER_CHUNK - page_of(addr);

	return n < left ? (unsigned)n : left;
}

static inline bool is_used(const struct chunk *c, unsigned p)
{
	return c->used[p / 8] >> p % 8 & 1;
}

/* Pages of [p, end) that are used, up to the first that is not: the page behind them. */
static unsigned used_until(const struct chunk *c, unsigned p, unsigned end)
{
	uint64_t w;

	for (; p < end; p++) {
		for (; p % 64 == 0 && end - p >= 64; p += 64) {
			memcpy(&w, c->used + p / 8, sizeof(w));
			if (w != UINT64_MAX)
				break;
		}
		if (p == end || !is_used(c, p))
			break;
	}
	return p;
}

/* Eight states at once: is each PAGE_ZERO or PAGE_DATA? */
static bool all_here(const uint8_t *state)
{
	const uint64_t ones = UINT64_MAX / 255;
	uint64_t w;

	_Static_assert(PAGE_ZERO == 1 && PAGE_DATA == 2 && PAGE_STALE == 3, "one of two bits");
	memcpy(&w, state, sizeof(w));
	return ((w ^ w >> 1) & ones) == ones;
}

/* Likewise those that are here, and marks them used. */
static unsigned use_until(struct chunk *c, unsigned p, unsigned end)
{
	for (; p < end; p++) {
		for (; p % 8 == 0 && end - p >= 8 && all_here(c->state + p); p += 8)
			c->used[p / 8] = 0xff;
		if (p == end || (c->state[p] != PAGE_ZERO && c->state[p] != PAGE_DATA))
			break;
		c->used[p / 8] |= (uint8_t)(1 << p % 8);
	}
	return p;
}

/* These go over all memory while the service stands still: a lock a chunk. */
enum walk { WALK_USE, WALK_USED, WALK_UNUSED, WALK_UNUSE };

/* How far that goes. */
static unsigned walk_chunk(enum walk what, struct chunk *c, unsigned p, unsigned end)
{
	switch (what) {
	case WALK_USE:
		return use_until(c, p, end);
	case WALK_USED:
		return used_until(c, p, end);
	case WALK_UNUSED:
		while (p < end && !is_used(c, p))
			p++;
		return p;
	case WALK_UNUSE:
		break;
	}
	for (; p < end; p++)
		c->used[p / 8] &= (uint8_t)~(1 << p % 8);
	return end;
}

/* Gives how many pages it went over, from the first on. */
static uint64_t walk(struct image *im, uint64_t object, uint64_t addr, uint64_t n, enum walk what)
{
	uint64_t done = 0;
	bool more = true;

	while (more && done < n) {
		unsigned first = page_of(addr), p = first, end = p + rest_of_chunk(addr, n - done);

		pthread_mutex_lock(&im->lock);
		struct chunk *c = image_chunk_at(im, object, addr, NULL, NULL, false);
		if (c)
			p = walk_chunk(what, c, first, end);
		else if (what == WALK_UNUSED || what == WALK_UNUSE)
			p = end;
		pthread_mutex_unlock(&im->lock);
		more = p == end;
		done += p - first;
		addr += (uint64_t)(p - first) * PAGE_BYTES;
	}
	return done;
}

uint64_t image_use(struct image *im, uint64_t object, uint64_t addr, uint64_t n)
{
	return walk(im, object, addr, n, WALK_USE);
}

uint64_t image_used(struct image *im, uint64_t object, uint64_t addr, uint64_t n)
{
	return walk(im, object, addr, n, WALK_USED);
}

uint64_t image_unused(struct image *im, uint64_t object, uint64_t addr, uint64_t n)
{
	return walk(im, object, addr, n, WALK_UNUSED);
}

void image_unuse(struct image *im, uint64_t object, uint64_t addr, uint64_t n)
{
	walk(im, object, addr, n, WALK_UNUSE);
}

void image_marks(struct image *im, uint64_t object, uint64_t addr, unsigned n, uint64_t *mark)
{
	while (n) {
		unsigned here = rest_of_chunk(addr, n);

		pthread_mutex_lock(&im->lock);
		struct chunk *c = image_chunk_at(im, object, addr, NULL, NULL, false);
		if (c && c->mark)
			memcpy(mark, c->mark + page_of(addr), here * sizeof(*mark));
		else
			memset(mark, 0, here * sizeof(*mark));
		pthread_mutex_unlock(&im->lock);
		mark += here;
		n -= here;
		addr += (uint64_t)here * PAGE_BYTES;
	}
}

void image_set_mark(struct image *im, uint64_t object, uint64_t addr, uint64_t mark)
{
	pthread_mutex_lock(&im->lock);
	struct chunk *c = image_chunk_at(im, object, addr, NULL, NULL, true);
	if (c && !c->mark)
		c->mark = calloc(PAGES_PER_CHUNK, sizeof(*c->mark));
	if (c && c->mark)
		c->mark[page_of(addr)] = mark;
	pthread_mutex_unlock(&im->lock);
}
