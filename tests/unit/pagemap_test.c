/* SPDX-License-Identifier: MIT */
#include "lib/move/pagemap.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/file.h"
#include "lib/move/image.h"
#include "tests/unit/tap.h"

static char top[] = "/tmp/pagemap_test.XXXXXX";
static struct err e;

static const char *in(const char *name)
{
	static char ring[4][PATH_MAX];
	static int next;
	char *p = ring[next++ % 4];

	snprintf(p, PATH_MAX, "%s/%s", top, name);
	return p;
}

/* Reads these bytes behind the two magic numbers. */
static int read_bytes(struct pagemap **pm, const char *bytes, size_t n)
{
	uint8_t buf[4096] = { 0x19, 0x43, 0x56, 0x54, 0x25, 0x40, 0x08, 0x56 };

	memcpy(buf + 8, bytes, n);
	file_write(in("bytes"), buf, n + 8, 0600, &e);
	return pagemap_read(pm, in("bytes"), &e);
}

static void test_round(void)
{
	static struct pagemap_entry entry[] = {
		{ 0x1000, 1, PAGES_PRESENT },
		{ 0x7fff00000000, 1ULL << 33, PAGES_IN_PARENT },
		{ 0x7fff12345000, 127, PAGES_LAZY | PAGES_PRESENT },
	};
	const struct pagemap pm = { .pages_id = 300, .entry = entry, .n = 3 };
	AUTO_PAGEMAP struct pagemap *got = NULL;
	bool same = true;

	is_int(pagemap_write(&pm, in("a"), &e), 0, "a pagemap is written");
	is_int(pagemap_read(&got, in("a"), &e), 0, "... and read");
	ok(got && got->pages_id == 300 && got->n == 3, "... with its id and entries");
	for (size_t i = 0; got && i < 3; i++)
		same &= got->entry[i].addr == entry[i].addr && got->entry[i].pages == entry[i].pages &&
			got->entry[i].flags == entry[i].flags;
	ok(same, "... which are the same");
	is_int(pagemap_write(&pm, in("none/a"), &e), -1, "no folder, no pagemap");
	ok(strstr(e.text, "none/a: No such file") != NULL, "... and it is named");
}

/* As criu itself writes them: 3.x a 32-bit count and in_parent, 4.2 both counts. */
static void test_criu(void)
{
	static const char bytes[] = "\x2\0\0\0" "\x8\x1"
				    "\x7\0\0\0" "\x8\x80\x20\x10\x5\x18\x1"
				    "\xb\0\0\0" "\x8\x80\x80\x4\x10\0\x20\x5\x28\x80\x1";
	AUTO_PAGEMAP struct pagemap *pm = NULL;

	is_int(read_bytes(&pm, bytes, sizeof(bytes) - 1), 0, "entries of old and new versions of criu");
	ok(pm && pm->pages_id == 1 && pm->n == 2, "... are all read");
	ok(pm && pm->entry[0].addr == 0x1000 && pm->entry[0].pages == 5 && pm->entry[0].flags == PAGES_IN_PARENT,
	   "... in_parent is a flag");
	ok(pm && pm->entry[1].addr == 0x10000 && pm->entry[1].pages == 128 &&
		   pm->entry[1].flags == (PAGES_IN_PARENT | PAGES_PRESENT),
	   "... and the wide count holds");
}

static bool refused(const char *bytes, size_t n)
{
	AUTO_PAGEMAP struct pagemap *pm = NULL;

	e = (struct err){ 0 };
	return read_bytes(&pm, bytes, n) && e.code == EX_DATAERR && !pm;
}

static void test_malformed(void)
{
	static char many[4000];
	AUTO_PAGEMAP struct pagemap *pm = NULL;

	ok(refused("", 0), "a pagemap without its head is refused");
	ok(strstr(e.text, "bytes: not a pagemap of CRIU") != NULL, "... by name");
	ok(refused("\2\0\0", 3), "half a length");
	ok(refused("\3\0\0\0\x8\1", 6), "a message longer than the file");
	ok(refused("\xff\xff\xff\xff\x8\1", 6), "... much longer");
	ok(refused("\2\0\0\0\x8\1\4\0\0\0\x8\1\x10\1", 14), "an address that is no page's");
	ok(refused("\2\0\0\0\xa\0", 6), "a field that is no number");
	ok(refused("\2\0\0\0\x8\x80", 6), "a number without its end");
	ok(refused("\xc\0\0\0\x8\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\1", 16), "a number of more than 64 bits");
	memcpy(many, "\2\0\0\0\x8\1", 6);
	ok(refused(many, sizeof(many) - 2), "a thousand entries of no bytes");
	file_write(in("bytes"), "\x19\x43\x56\x54\x26\x40\x08\x56\2\0\0\0\x8\1", 14, 0600, &e);
	is_int(pagemap_read(&pm, in("bytes"), &e), -1, "another kind of image");
	is_int(pagemap_read(&pm, in("none"), &e), -1, "no file");
}

static void test_merge(void)
{
	struct pagemap a = { 0 }, b = { 0 };

	for (uint64_t i = 0; i < 300; i++)
		pagemap_add(&a, (struct pagemap_entry){ 0x100000 + i * 0x2000, 1, PAGES_PRESENT }, &e);
	for (uint64_t i = 0; i < 100; i++)
		pagemap_add(&b, (struct pagemap_entry){ 0x1000 + i * PAGE_BYTES, 1, i < 50 ? PAGES_LAZY : 0 }, &e);
	is_int((long long)a.n, 300, "entries that are apart stay apart");
	ok(b.n == 2 && b.entry[0].pages == 50 && b.entry[1].addr == 0x33000, "... those that touch and are alike become one");
	pagemap_add(&b, (struct pagemap_entry){ 0x101000, 1, PAGES_LAZY }, &e);
	is_int(pagemap_merge(&a, &b, &e), 0, "two lists are merged");
	bool sorted = a.n == 303 && a.entry[3].addr == 0x101000;
	for (size_t i = 1; i < a.n; i++)
		sorted &= a.entry[i - 1].addr < a.entry[i].addr;
	ok(sorted, "... by address");
	a.n = b.n = 0;
	pagemap_add(&a, (struct pagemap_entry){ 0x3000, 2, PAGES_PRESENT }, &e);
	pagemap_add(&a, (struct pagemap_entry){ 0x7000, 1, PAGES_LAZY }, &e);
	pagemap_add(&b, (struct pagemap_entry){ 0x1000, 9, 0 }, &e);
	is_int(pagemap_merge(&a, &b, &e), 0, "lists that overlap are merged");
	ok(a.n == 5 && a.entry[0].addr == 0x1000 && a.entry[0].pages == 2 && a.entry[1].flags == PAGES_PRESENT &&
		   a.entry[1].pages == 2 && a.entry[2].addr == 0x5000 && a.entry[2].pages == 2 && a.entry[3].flags == PAGES_LAZY &&
		   a.entry[4].addr == 0x8000 && a.entry[4].pages == 2,
	   "... each page once");
	free(a.entry);
	free(b.entry);
}

static void test_names(void)
{
	char name[64];

	pagemap_name(12, name);
	is_str(name, "pagemap-12.img", "the name of a process's pagemap");
	pagemap_name(12 | OBJECT_SHARED, name);
	is_str(name, "pagemap-shmem-12.img", "the name of a segment's");
	is_int((long long)pagemap_object("pagemap-12.img"), 12, "... and back");
	ok(pagemap_object("pagemap-shmem-12.img") == (12 | OBJECT_SHARED), "... both");
	is_int((long long)pagemap_object("pagemap-0.img"), 0, "0 is no process");
	static const char *const others[] = {
		"pages-1.img", "pagemap-12", "pagemap-12.img~", "pagemap-012.img", "pagemap--1.img", "pagemap- 1.img",
		"pagemap-9223372036854775820.img", "pagemap-99999999999999999999.img", "pagemap-shmem-1.im", "",
		"pagemap-1.img ",
	};
	bool none = true;
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		none &= !pagemap_object(others[i]);
	ok(none, "other names are no object's");
}

int main(void)
{
	if (!mkdtemp(top))
		return 70;
	test_round();
	test_criu();
	test_malformed();
	test_merge();
	test_names();
	file_remove_tree(top, NULL);
	return done();
}
