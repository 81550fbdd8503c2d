/* SPDX-License-Identifier: MIT */
/* What is still to come of a process's memory, against a list with one entry a page. */
#include "lib/move/lazy_space.h"

#include <stdlib.h>

#include "lib/move/image.h"
#include "tests/unit/tap.h"

#define PAGES 256
#define STEPS 20000

static uint64_t model[PAGES]; /* 0: nothing; else where the page was */

static uint64_t address(uint64_t page)
{
	return page * PAGE_BYTES;
}

static bool same(const struct lazy_space *s)
{
	uint64_t end = 0;

	for (size_t i = 0, page = 0; i <= s->n; i++) {
		uint64_t next = i < s->n ? s->piece[i].addr / PAGE_BYTES : PAGES;

		if (next < page || (i < s->n && (s->piece[i].addr < end || !s->piece[i].pages)))
			return false;
		for (; page < next; page++)
			if (model[page])
				return false;
		for (uint64_t k = 0; i < s->n && k < s->piece[i].pages; k++, page++)
			if (model[page] != s->piece[i].from + address(k))
				return false;
		end = i < s->n ? address(page) : end;
	}
	return true;
}

static void add(struct lazy_space *s, uint64_t at, uint64_t n)
{
	uint64_t from = address(1000 + (uint64_t)(random() % 1000));

	for (uint64_t i = at; i < at + n; i++)
		if (model[i])
			return;
	for (uint64_t i = at; i < at + n; i++)
		model[i] = from + address(i - at);
	lazy_space_add(s, (struct lazy_piece){ address(at), from, n });
}

static void move(struct lazy_space *s, uint64_t at, uint64_t n, uint64_t to)
{
	uint64_t had[PAGES];

	if (to + n > PAGES || (to < at + n && at < to + n)) /* the kernel refuses that */
		return;
	memcpy(had, model + at, n * sizeof(*had));
	memset(model + at, 0, n * sizeof(*had));
	memcpy(model + to, had, n * sizeof(*had));
	lazy_space_move(s, address(at), address(to), n);
}

static bool take(struct lazy_space *s, uint64_t most)
{
	struct lazy_piece p;
	bool there = false;

	for (int i = 0; i < PAGES; i++)
		there |= model[i] != 0;
	if (lazy_space_take(s, most, &p) != there || (there && (!p.pages || p.pages > most)))
		return false;
	for (uint64_t i = 0; there && i < p.pages; i++) {
		if (model[p.addr / PAGE_BYTES + i] != p.from + address(i))
			return false;
		model[p.addr / PAGE_BYTES + i] = 0;
	}
	return true;
}

static bool find(const struct lazy_space *s, uint64_t at)
{
	struct lazy_piece p;
	bool found = lazy_space_find(s, address(at), 3, &p);

	return found == (model[at] != 0) && (!found || (p.addr == address(at) && p.from == model[at] && p.pages && p.pages <= 3));
}

static void test_random(void)
{
	struct lazy_space s = { 0 }, other = { 0 };
	bool right = true;

	srandom(7);
	for (int i = 0; i < STEPS && right; i++) {
		uint64_t n = 1 + (uint64_t)(random() % 20), at = (uint64_t)random() % (PAGES - n);

		switch (random() % 6) {
		case 0:
		case 1:
			add(&s, at, n);
			break;
		case 2:
			memset(model + at, 0, n * sizeof(*model));
			lazy_space_cut(&s, address(at), n);
			break;
		case 3:
			move(&s, at, n, (uint64_t)random() % PAGES);
			break;
		case 4:
			right = take(&s, n);
			break;
		default:
			right = find(&s, at);
		}
		right = right && same(&s);
	}
	ok(right, "after adding, cutting, moving and taking at random all pages are where they should be");
	ok(!lazy_space_copy(&s, &other) && same(&other), "... and in a copy, too");
	lazy_space_clear(&s);
	lazy_space_clear(&other);
}

static void test_pieces(void)
{
	struct lazy_space s = { 0 };
	struct lazy_piece p;

	lazy_space_add(&s, (struct lazy_piece){ address(10), address(10), 10 });
	ok(lazy_space_find(&s, address(12), 4, &p) && p.addr == address(12) && p.from == address(12) && p.pages == 4,
	   "a page is found with some of those behind it");
	ok(lazy_space_find(&s, address(18), 4, &p) && p.pages == 2, "... that are in the same piece");
	ok(!lazy_space_find(&s, address(20), 4, &p) && !lazy_space_find(&s, address(9), 4, &p), "... and no other");
	lazy_space_move(&s, address(12), address(100), 4);
	ok(s.n == 3 && s.piece[2].addr == address(100) && s.piece[2].from == address(12) && s.piece[2].pages == 4,
	   "what moves keeps its old name");
	struct lazy_space given = { 0 };
	ok(!lazy_space_give(&s, &given, address(11), 4, true) && given.n == 2 && given.piece[0].addr == address(11) &&
		   given.piece[0].pages == 1 && given.piece[1].addr == address(100) && given.piece[1].pages == 3 &&
		   s.n == 3 && s.piece[2].addr == address(103) && s.piece[2].from == address(15),
	   "pages are given away by their old names, wherever they are");
	ok(!lazy_space_give(&s, &given, address(17), 100, false) && s.n == 3 && s.piece[1].addr == address(16) && s.piece[1].pages == 1,
	   "... also where none has moved");
	lazy_space_clear(&given);
	lazy_space_cut(&s, 0, 1000);
	ok(!s.n && !lazy_space_take(&s, 1, &p), "what is cut is wanted no more");
	lazy_space_clear(&s);
}

int main(void)
{
	test_pieces();
	test_random();
	return done();
}
