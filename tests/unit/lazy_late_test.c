/* SPDX-License-Identifier: MIT */
/* Pages that come late: which lack, which were asked for, and what has arrived. */
#include "lib/move/lazy_late.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/move/image.h"
#include "tests/unit/tap.h"

static char top[] = "/tmp/lazy_late_test.XXXXXX";
static struct err e;

static uint64_t address(uint64_t page)
{
	return page * PAGE_BYTES;
}

static void test_states(void)
{
	AUTO_LAZY_LATE struct lazy_late *l = lazy_late_new();
	uint8_t data[4 * PAGE_BYTES], got[4 * PAGE_BYTES];
	struct late_run run;
	uint64_t n, at = 0;

	lazy_late_add(l, (struct late_run){ 2, address(10), 8 }, &e);
	lazy_late_add(l, (struct late_run){ 1, address(100), 4 }, &e);
	is_int(lazy_late_ready(l, top, &e), 0, "pages are named that will come");
	is_int((long long)lazy_late_left(l), 12, "... all of them lack");
	ok(lazy_late_state(l, 2, address(8), 100, &n) == LATE_NOT && n == 2, "pages before them are none");
	ok(lazy_late_state(l, 2, address(10), 100, &n) == LATE_LACKING && n == 8, "... these are");
	ok(lazy_late_state(l, 2, address(18), 100, &n) == LATE_NOT && n == 100, "... those behind them are none");
	ok(lazy_late_state(NULL, 2, address(10), 3, &n) == LATE_NOT && n == 3, "without any, none is");

	memset(data, 7, sizeof(data));
	is_int(lazy_late_write(l, (struct late_run){ 2, address(12), 4 }, data), 0, "some come");
	lazy_late_arrived(l, (struct late_run){ 2, address(12), 4 });
	lazy_late_arrived(l, (struct late_run){ 2, address(13), 1 });
	is_int((long long)lazy_late_left(l), 8, "... and are counted once");
	ok(lazy_late_state(l, 2, address(10), 100, &n) == LATE_LACKING && n == 2, "... so others lack before them");
	ok(lazy_late_state(l, 2, address(12), 100, &n) == LATE_HERE && n == 4, "... and they do not");
	ok(!lazy_late_read(l, (struct late_run){ 2, address(12), 4 }, got) && !memcmp(got, data, sizeof(got)), "... they can be read");
	is_int(lazy_late_write(l, (struct late_run){ 2, address(16), 4 }, data), -1, "pages that reach beyond are refused");

	is_int((long long)lazy_late_ask(l, 2, address(11), 100), 1, "up to those that are there one is asked for");
	is_int((long long)lazy_late_ask(l, 2, address(10), 100), 1, "... and then those that were not asked for before");
	is_int((long long)lazy_late_ask(l, 2, address(11), 1), 0, "... nothing twice");
	lazy_late_ask_again(l);
	is_int((long long)lazy_late_ask(l, 2, address(10), 100), 2, "... unless all is forgotten");
	is_int((long long)lazy_late_ask(l, 3, address(10), 1), 0, "a page that is none is not asked for");

	ok(lazy_late_lacking(l, &at, &run) && run.object == 1 && run.addr == address(100) && run.pages == 4, "what lacks is listed");
	ok(lazy_late_lacking(l, &at, &run) && run.object == 2 && run.addr == address(10) && run.pages == 2, "... one by one");
	ok(lazy_late_lacking(l, &at, &run) && run.addr == address(16) && run.pages == 2, "... to the last");
	ok(!lazy_late_lacking(l, &at, &run), "... and no more");
}

static void test_wrong(void)
{
	AUTO_LAZY_LATE struct lazy_late *l = lazy_late_new(), *other = lazy_late_new();

	lazy_late_add(l, (struct late_run){ 1, address(10), 8 }, &e);
	lazy_late_add(l, (struct late_run){ 1, address(17), 1 }, &e);
	is_int(lazy_late_ready(l, top, &e), -1, "a page that is named twice is refused");
	is_str(e.text, "page 0x11000 is named twice", "... by its address");
	is_int(lazy_late_ready(other, "/nowhere", &e), -1, "no folder, no file");
}

int main(void)
{
	if (!mkdtemp(top))
		return 1;
	test_states();
	test_wrong();
	rmdir(top);
	return done();
}
