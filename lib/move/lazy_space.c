/* SPDX-License-Identifier: MIT */
#include "lib/move/lazy_space.h"

#include <stdlib.h>
#include <string.h>

#include "lib/move/image.h"

static inline uint64_t end_of(const struct lazy_piece *p)
{
	return p->addr + p->pages * PAGE_BYTES;
}

void lazy_space_clear(struct lazy_space *s)
{
	free(s->piece);
	*s = (struct lazy_space){ 0 };
}

/* The first piece that ends behind the address. */
static size_t place_of(const struct lazy_space *s, uint64_t addr)
{
	size_t lo = 0, hi = s->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (end_of(&s->piece[mid]) <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static int make_room(struct lazy_space *s, size_t more)
{
	size_t room = s->room ? s->room : 64;
	struct lazy_piece *bigger;

	if (s->n + more <= s->room)
		return 0;
	while (room < s->n + more)
		room *= 2;
	bigger = realloc(s->piece, room * sizeof(*bigger));
	if (!bigger)
		return -1;
	s->piece = bigger;
	s->room = room;
	return 0;
}

int lazy_space_add(struct lazy_space *s, struct lazy_piece p)
{
	size_t at = place_of(s, p.addr);

	if (!p.pages)
		return 0;
	if (make_room(s, 1))
		return -1;
	memmove(s->piece + at + 1, s->piece + at, (s->n - at) * sizeof(*s->piece));
	s->piece[at] = p;
	s->n++;
	return 0;
}

/* What of a piece lies behind an address. */
static struct lazy_piece behind(struct lazy_piece p, uint64_t addr)
{
	uint64_t skip = addr > p.addr ? (addr - p.addr) / PAGE_BYTES : 0;

	return (struct lazy_piece){ p.addr + skip * PAGE_BYTES, p.from + skip * PAGE_BYTES, p.pages - skip };
}

int lazy_space_cut(struct lazy_space *s, uint64_t addr, uint64_t pages)
{
	uint64_t end = addr + pages * PAGE_BYTES;
	size_t at = place_of(s, addr), last;
	struct lazy_piece rest = { 0 };

	if (make_room(s, 1))
		return -1;
	if (at < s->n && s->piece[at].addr < addr) {
		if (end_of(&s->piece[at]) > end)
			rest = behind(s->piece[at], end);
		s->piece[at].pages = (addr - s->piece[at].addr) / PAGE_BYTES;
		at++;
	}
	for (last = at; last < s->n && end_of(&s->piece[last]) <= end; last++)
		;
	memmove(s->piece + at, s->piece + last, (s->n - last) * sizeof(*s->piece));
	s->n -= last - at;
	if (at < s->n && s->piece[at].addr < end)
		s->piece[at] = behind(s->piece[at], end);
	return rest.pages ? lazy_space_add(s, rest) : 0;
}

int lazy_space_move(struct lazy_space *s, uint64_t from, uint64_t to, uint64_t pages)
{
	struct lazy_space moved = { 0 };
	struct lazy_piece p;
	int rc = 0;

	for (uint64_t at = from, end = from + pages * PAGE_BYTES; at < end && !rc;) {
		size_t i = place_of(s, at);

		if (i == s->n || s->piece[i].addr >= end)
			break;
		p = behind(s->piece[i], at);
		at = end_of(&p);
		if (at > end)
			p.pages = (end - p.addr) / PAGE_BYTES;
		p.addr = p.addr - from + to;
		rc = lazy_space_add(&moved, p);
	}
	rc = rc || lazy_space_cut(s, from, pages) || lazy_space_cut(s, to, pages) || lazy_space_copy(&moved, s) ? -1 : 0;
	lazy_space_clear(&moved);
	return rc;
}

bool lazy_space_find(const struct lazy_space *s, uint64_t addr, uint64_t most, struct lazy_piece *p)
{
	size_t at = place_of(s, addr);

	if (at == s->n || s->piece[at].addr > addr)
		return false;
	*p = behind(s->piece[at], addr);
	if (p->pages > most)
		p->pages = most;
	return true;
}

bool lazy_space_next(const struct lazy_space *s, uint64_t addr, struct lazy_piece *p)
{
	size_t at = place_of(s, addr);

	if (at == s->n)
		return false;
	*p = behind(s->piece[at], addr);
	return true;
}

/* From the end, where nothing has to be moved up. */
bool lazy_space_take(struct lazy_space *s, uint64_t most, struct lazy_piece *p)
{
	struct lazy_piece *last = s->n ? &s->piece[s->n - 1] : NULL;

	if (!last)
		return false;
	*p = behind(*last, last->pages > most ? end_of(last) - most * PAGE_BYTES : last->addr);
	last->pages -= p->pages;
	if (!last->pages)
		s->n--;
	return true;
}

int lazy_space_copy(const struct lazy_space *s, struct lazy_space *to)
{
	if (make_room(to, s->n))
		return -1;
	for (size_t i = 0; i < s->n; i++)
		if (lazy_space_add(to, s->piece[i]))
			return -1;
	return 0;
}

/* What of the piece is called so in the image. */
static struct lazy_piece named(const struct lazy_piece *p, uint64_t from, uint64_t end)
{
	uint64_t first = p->from > from ? p->from : from;
	uint64_t last = p->from + p->pages * PAGE_BYTES < end ? p->from + p->pages * PAGE_BYTES : end;

	return (struct lazy_piece){ p->addr + first - p->from, first, first < last ? (last - first) / PAGE_BYTES : 0 };
}

int lazy_space_named(const struct lazy_space *s, struct lazy_space *to, uint64_t from, uint64_t pages, bool moved)
{
	uint64_t end = from + pages * PAGE_BYTES;

	for (size_t i = moved ? 0 : place_of(s, from); i < s->n && (moved || s->piece[i].addr < end); i++)
		if (lazy_space_add(to, named(&s->piece[i], from, end)))
			return -1;
	return 0;
}

int lazy_space_give(struct lazy_space *s, struct lazy_space *to, uint64_t from, uint64_t pages, bool moved)
{
	struct lazy_space given = { 0 };
	int rc = lazy_space_named(s, &given, from, pages, moved);

	for (size_t i = 0; i < given.n && !rc; i++)
		rc = lazy_space_cut(s, given.piece[i].addr, given.piece[i].pages) || lazy_space_add(to, given.piece[i]) ? -1 : 0;
	lazy_space_clear(&given);
	return rc;
}
