/* SPDX-License-Identifier: MIT */
#include "lib/move/lazy_late.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/move/image.h"

/* Consecutive pages; those of all runs are numbered, and lie in the file in that order. */
struct place {
	struct late_run run;
	uint64_t number; /* of the first */
};

struct lazy_late {
	struct place *place; /* by object and address; owned */
	size_t n, room;
	uint64_t pages, left;
	uint8_t *here, *asked; /* a bit a page; owned */
	int fd;
};

struct lazy_late *lazy_late_new(void)
{
	struct lazy_late *l = calloc(1, sizeof(*l));

	if (l)
		l->fd = -1;
	return l;
}

void lazy_late_free(struct lazy_late *l)
{
	if (!l)
		return;
	if (l->fd >= 0)
		close(l->fd);
	free(l->place);
	free(l->here);
	free(l->asked);
	free(l);
}

static inline bool bit(const uint8_t *bits, uint64_t i)
{
	return bits[i / 8] >> i % 8 & 1;
}

static inline void set_bit(uint8_t *bits, uint64_t i)
{
	bits[i / 8] |= (uint8_t)(1 << i % 8);
}

/* ---- places ---- */

int lazy_late_add(struct lazy_late *l, struct late_run run, struct err *e)
{
	if (l->n == l->room) {
		size_t room = l->room ? l->room * 2 : 64;
		struct place *bigger = realloc(l->place, room * sizeof(*bigger));

		if (!bigger)
			return err_set(e, EX_OSERR, "out of memory");
		l->place = bigger;
		l->room = room;
	}
	l->place[l->n++].run = run;
	return 0;
}

static inline uint64_t end_of(const struct late_run *r)
{
	return r->addr + r->pages * PAGE_BYTES;
}

static int by_place(const void *a, const void *b)
{
	const struct late_run *x = &((const struct place *)a)->run, *y = &((const struct place *)b)->run;

	if (x->object != y->object)
		return x->object < y->object ? -1 : 1;
	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

int lazy_late_ready(struct lazy_late *l, const char *dir, struct err *e)
{
	if (l->n)
		qsort(l->place, l->n, sizeof(*l->place), by_place);
	for (size_t i = 0; i < l->n; i++) {
		const struct late_run *r = &l->place[i].run;

		if (i && r->object == l->place[i - 1].run.object && r->addr < end_of(&l->place[i - 1].run))
			return err_set(e, EX_DATAERR, "page %#llx is named twice", (unsigned long long)r->addr);
		l->place[i].number = l->pages;
		l->pages += r->pages;
	}
	l->left = l->pages;
	l->here = calloc(l->pages / 8 + 1, 1);
	l->asked = calloc(l->pages / 8 + 1, 1);
	if (!l->here || !l->asked)
		return err_set(e, EX_OSERR, "out of memory");
	l->fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (l->fd < 0)
		return err_sys(e, "%s: file for late pages", dir);
	/* A disk that is full is found out here, while the service can still go on at its source. */
	if (l->pages && fallocate(l->fd, 0, 0, (off_t)(l->pages * PAGE_BYTES)) &&
	    (errno != EOPNOTSUPP || ftruncate(l->fd, (off_t)(l->pages * PAGE_BYTES))))
		return err_sys(e, "%s: room for late pages", dir);
	return 0;
}

/* The first place that ends behind the address. */
static const struct place *place_from(const struct lazy_late *l, uint64_t object, uint64_t addr)
{
	size_t lo = 0, hi = l->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		const struct late_run *r = &l->place[mid].run;

		if (r->object < object || (r->object == object && end_of(r) <= addr))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < l->n && l->place[lo].run.object == object ? &l->place[lo] : NULL;
}

/* The number of the page; UINT64_MAX when it is none of them. *pages: how many from there on are, or are not. */
static uint64_t look(const struct lazy_late *l, uint64_t object, uint64_t addr, uint64_t most, uint64_t *pages)
{
	const struct place *p = l ? place_from(l, object, addr) : NULL;
	uint64_t n = !p ? most : p->run.addr > addr ? (p->run.addr - addr) / PAGE_BYTES : (end_of(&p->run) - addr) / PAGE_BYTES;

	*pages = n < most ? n : most;
	return p && p->run.addr <= addr ? p->number + (addr - p->run.addr) / PAGE_BYTES : UINT64_MAX;
}

bool lazy_late_is(const struct lazy_late *l, uint64_t object, uint64_t addr, uint64_t most, uint64_t *pages)
{
	return look(l, object, addr, most, pages) != UINT64_MAX;
}

enum late_state lazy_late_state(const struct lazy_late *l, uint64_t object, uint64_t addr, uint64_t most, uint64_t *pages)
{
	uint64_t first = look(l, object, addr, most, pages), n = 1;

	if (first == UINT64_MAX)
		return LATE_NOT;
	while (n < *pages && bit(l->here, first + n) == bit(l->here, first))
		n++;
	*pages = n;
	return bit(l->here, first) ? LATE_HERE : LATE_LACKING;
}

/* The number of its first page; UINT64_MAX when it does not lie in one place. */
static uint64_t number_of(const struct lazy_late *l, const struct late_run *run)
{
	uint64_t pages, number = look(l, run->object, run->addr, run->pages, &pages);

	return pages == run->pages ? number : UINT64_MAX;
}

/* ---- data ---- */

int lazy_late_write(const struct lazy_late *l, struct late_run run, const void *data)
{
	uint64_t number = number_of(l, &run);

	if (number == UINT64_MAX) {
		errno = ENXIO;
		return -1;
	}
	return fd_pwrite_all(l->fd, data, run.pages * PAGE_BYTES, (off_t)(number * PAGE_BYTES));
}

int lazy_late_read(const struct lazy_late *l, struct late_run run, void *data)
{
	uint64_t number = number_of(l, &run);
	size_t left = run.pages * PAGE_BYTES;
	off_t at = (off_t)(number * PAGE_BYTES);
	char *to = data;

	if (number == UINT64_MAX) {
		errno = ENXIO;
		return -1;
	}
	while (left) {
		ssize_t n = pread(l->fd, to, left, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			if (!n)
				errno = EIO;
			return -1;
		}
		to += n;
		at += n;
		left -= (size_t)n;
	}
	return 0;
}

/* ---- what has arrived ---- */

void lazy_late_arrived(struct lazy_late *l, struct late_run run)
{
	uint64_t number = number_of(l, &run);

	for (uint64_t i = 0; number != UINT64_MAX && i < run.pages; i++)
		if (!bit(l->here, number + i)) {
			set_bit(l->here, number + i);
			l->left--;
		}
}

uint64_t lazy_late_ask(struct lazy_late *l, uint64_t object, uint64_t addr, uint64_t most)
{
	uint64_t pages, first = look(l, object, addr, most, &pages), n = 0;

	if (first == UINT64_MAX)
		return 0;
	while (n < pages && !bit(l->here, first + n) && !bit(l->asked, first + n))
		set_bit(l->asked, first + n++);
	return n;
}

void lazy_late_ask_again(struct lazy_late *l)
{
	memset(l->asked, 0, l->pages / 8 + 1);
}

/* The first place that has a page of that number or a later one. */
static size_t place_number(const struct lazy_late *l, uint64_t number)
{
	size_t lo = 0, hi = l->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (l->place[mid].number + l->place[mid].run.pages <= number)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

bool lazy_late_lacking(const struct lazy_late *l, uint64_t *at, struct late_run *run)
{
	while (*at < l->pages && bit(l->here, *at))
		(*at)++;
	if (*at == l->pages)
		return false;
	const struct place *p = &l->place[place_number(l, *at)];
	uint64_t n = *at, end = p->number + p->run.pages;
	while (n < end && !bit(l->here, n))
		n++;
	*run = (struct late_run){ p->run.object, p->run.addr + (*at - p->number) * PAGE_BYTES, n - *at };
	*at = n;
	return true;
}

uint64_t lazy_late_left(const struct lazy_late *l)
{
	return l->left;
}
