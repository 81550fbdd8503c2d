/* SPDX-License-Identifier: MIT */
#include "lib/move/pagemap.h"

#include <inttypes.h>
#include <string.h>

#include "lib/base/file.h"
#include "lib/move/image.h"

#define IMG_COMMON_MAGIC 0x54564319u
#define PAGEMAP_MAGIC 0x56084025u
#define ENTRY_MAX 64
#define ENTRY_MIN 4 /* an address and a count, each at least two bytes */

/* Fields of pagemap_entry; in_parent and compat_nr_pages are what older versions read. */
enum { ENTRY_VADDR = 1, ENTRY_NR32 = 2, ENTRY_IN_PARENT = 3, ENTRY_FLAGS = 4, ENTRY_NR = 5 };

static bool varint(const uint8_t **p, const uint8_t *end, uint64_t *v)
{
	*v = 0;
	for (int shift = 0; *p < end && shift < 64; shift += 7) {
		uint8_t b = *(*p)++;

		*v |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80))
			return true;
	}
	return false;
}

/* Both messages hold numbers only. v[field] for fields 1 to 5. */
static bool numbers(const uint8_t *p, size_t n, uint64_t v[6])
{
	const uint8_t *end = p + n;
	uint64_t tag;

	memset(v, 0, 6 * sizeof(*v));
	while (p < end) {
		uint64_t value;

		if (!varint(&p, end, &tag) || (tag & 7) || !varint(&p, end, &value))
			return false;
		if (tag >> 3 < 6)
			v[tag >> 3] = value;
	}
	return true;
}

static bool parse(struct pagemap *pm, const uint8_t *p, size_t n)
{
	const uint8_t *end = p + n;
	uint32_t head[2];
	uint64_t v[6];
	bool first = true;

	if (n < sizeof(head))
		return false;
	memcpy(head, p, sizeof(head));
	if (head[0] != IMG_COMMON_MAGIC || head[1] != PAGEMAP_MAGIC)
		return false;
	pm->room = n / (sizeof(uint32_t) + ENTRY_MIN) + 1;
	pm->entry = calloc(pm->room, sizeof(*pm->entry));
	if (!pm->entry)
		return false;
	for (p += sizeof(head); p < end; first = false) {
		uint32_t len;

		if ((size_t)(end - p) < sizeof(len))
			return false;
		memcpy(&len, p, sizeof(len));
		p += sizeof(len);
		if (len > (size_t)(end - p) || !numbers(p, len, v))
			return false;
		p += len;
		if (first) {
			pm->pages_id = (unsigned)v[1];
			continue;
		}
		if (len < ENTRY_MIN || v[ENTRY_VADDR] % PAGE_BYTES)
			return false;
		pm->entry[pm->n++] = (struct pagemap_entry){
			.addr = v[ENTRY_VADDR],
			.pages = v[ENTRY_NR] ? v[ENTRY_NR] : v[ENTRY_NR32],
			.flags = (unsigned)v[ENTRY_FLAGS] | (v[ENTRY_IN_PARENT] ? PAGES_IN_PARENT : 0),
		};
	}
	return !first;
}

int pagemap_read(struct pagemap **out, const char *path, struct err *e)
{
	size_t n;
	AUTO_FREE char *data = file_slurp(path, &n, e);
	AUTO_PAGEMAP struct pagemap *pm = calloc(1, sizeof(*pm));

	if (!data)
		return -1;
	if (!pm || !parse(pm, (const uint8_t *)data, n))
		return err_set(e, EX_DATAERR, "%s: not a pagemap of CRIU", path);
	*out = TAKE_PTR(pm);
	return 0;
}

/* For one more entry. */
static int make_room(struct pagemap *pm, struct err *e)
{
	size_t room = pm->room ? pm->room * 2 : 64;
	struct pagemap_entry *bigger;

	if (pm->entry && pm->n < pm->room)
		return 0;
	bigger = realloc(pm->entry, room * sizeof(*bigger));
	if (!bigger)
		return err_set(e, EX_OSERR, "out of memory");
	pm->entry = bigger;
	pm->room = room;
	return 0;
}

int pagemap_add(struct pagemap *pm, struct pagemap_entry en, struct err *e)
{
	struct pagemap_entry *last = pm->n ? &pm->entry[pm->n - 1] : NULL;

	if (last && last->addr + last->pages * PAGE_BYTES == en.addr && last->flags == en.flags) {
		last->pages += en.pages;
		return 0;
	}
	if (make_room(pm, e))
		return -1;
	pm->entry[pm->n++] = en;
	return 0;
}

static int by_addr(const void *a, const void *b)
{
	const struct pagemap_entry *x = a, *y = b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

static uint64_t end_of(const struct pagemap_entry *en)
{
	return en->addr + en->pages * PAGE_BYTES;
}

/* What of an entry none of `own` has. *from: the first of these that may touch it. */
static int add_gaps(struct pagemap *pm, size_t own, size_t *from, struct pagemap_entry en, struct err *e)
{
	uint64_t at = en.addr, end = end_of(&en);

	while (*from < own && end_of(&pm->entry[*from]) <= at)
		++*from;
	for (size_t i = *from; at < end; i++) {
		bool hit = i < own && pm->entry[i].addr < end;
		uint64_t stop = hit ? pm->entry[i].addr : end;

		if (stop > at) {
			if (make_room(pm, e))
				return -1;
			pm->entry[pm->n++] = (struct pagemap_entry){ at, (stop - at) / PAGE_BYTES, en.flags };
		}
		at = hit && end_of(&pm->entry[i]) > at ? end_of(&pm->entry[i]) : stop;
	}
	return 0;
}

int pagemap_merge(struct pagemap *pm, const struct pagemap *more, struct err *e)
{
	size_t own = pm->n, from = 0;

	if (!more->n)
		return 0;
	for (size_t i = 0; i < more->n; i++)
		if (add_gaps(pm, own, &from, more->entry[i], e))
			return -1;
	qsort(pm->entry, pm->n, sizeof(*pm->entry), by_addr);
	return 0;
}

static size_t put_varint(uint8_t *p, uint64_t v)
{
	size_t n = 0;

	for (; v >= 0x80; v >>= 7)
		p[n++] = (uint8_t)(v | 0x80);
	p[n++] = (uint8_t)v;
	return n;
}

static size_t put_field(uint8_t *p, int field, uint64_t v)
{
	size_t n = put_varint(p, (uint64_t)field << 3);

	return n + put_varint(p + n, v);
}

static void write_message(FILE *f, const uint8_t *p, size_t n)
{
	uint32_t len = (uint32_t)n;

	fwrite(&len, sizeof(len), 1, f);
	fwrite(p, n, 1, f);
}

int pagemap_write(const struct pagemap *pm, const char *path, struct err *e)
{
	const uint32_t head[2] = { IMG_COMMON_MAGIC, PAGEMAP_MAGIC };
	AUTO_FILE FILE *f = fopen(path, "we");
	uint8_t buf[ENTRY_MAX] = { 0 };

	if (!f)
		return err_sys(e, "%s", path);
	fwrite(head, sizeof(head), 1, f);
	write_message(f, buf, put_field(buf, 1, pm->pages_id));
	for (size_t i = 0; i < pm->n; i++) {
		const struct pagemap_entry *en = &pm->entry[i];
		size_t n = put_field(buf, ENTRY_VADDR, en->addr);

		n += put_field(buf + n, ENTRY_NR32, en->pages > UINT32_MAX ? 0 : en->pages);
		if (en->flags & PAGES_IN_PARENT)
			n += put_field(buf + n, ENTRY_IN_PARENT, 1);
		n += put_field(buf + n, ENTRY_FLAGS, en->flags);
		n += put_field(buf + n, ENTRY_NR, en->pages);
		write_message(f, buf, n);
	}
	if (fflush(f) || ferror(f))
		return err_sys(e, "%s", path);
	return 0;
}

void pagemap_free(struct pagemap *pm)
{
	free(pm->entry);
	free(pm);
}

static uint64_t object_of(const char *file)
{
	uint64_t id;

	if (sscanf(file, "pagemap-shmem-%" SCNu64, &id) == 1)
		return id | OBJECT_SHARED;
	return sscanf(file, "pagemap-%" SCNu64, &id) == 1 ? id : 0;
}

uint64_t pagemap_object(const char *file)
{
	uint64_t object = object_of(file);
	char name[64];

	/* One object has one name, so that what was checked is what CRIU reads. */
	pagemap_name(object, name);
	return strcmp(name, file) ? 0 : object;
}

void pagemap_name(uint64_t object, char name[64])
{
	snprintf(name, 64, "pagemap-%s%" PRIu64 ".img", object & OBJECT_SHARED ? "shmem-" : "",
		 (uint64_t)(object & ~OBJECT_SHARED));
}
