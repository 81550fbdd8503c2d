/* SPDX-License-Identifier: MIT */
#include "lib/move/pages.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/move/pages_int.h"
#include "tests/unit/peer.h"
#include "tests/unit/tap.h"

#define PAGES 1500u
#define OBJECT 42
#define BASE (3ULL << 30)

static char top[] = "/tmp/pages_test.XXXXXX";
static struct err e;
static uint8_t *memory; /* what moves: pages of this process */

static const char *in(const char *name)
{
	static char ring[4][PATH_MAX];
	static int next;
	char *p = ring[next++ % 4];

	snprintf(p, PATH_MAX, "%s/%s", top, name);
	return p;
}

/* Bytes that do not compress (odd seeds) or do. */
static void fill(unsigned page, unsigned seed)
{
	uint32_t x = seed * 2654435761u + page + 1;

	for (unsigned i = 0; i < PAGE_BYTES; i++) {
		x = x * 1664525u + 1013904223u;
		memory[(size_t)page * PAGE_BYTES + i] = (uint8_t)(seed % 2 || i < 64 ? x >> 24 : seed);
	}
}

/* ---- both ends ---- */

#define STREAMS 3

struct lane {
	struct stream *here, *there;
	struct image *im;
	pthread_t thread;
	int rc;
	struct err err;
};

struct link {
	struct image *from, *to;
	struct lane lane[STREAMS];
	int n;
	struct sender *sender;
	struct page_runs runs;
};

static void *receive(void *arg)
{
	struct lane *l = arg;

	l->rc = receiver_run(l->there, l->im, &l->err);
	return NULL;
}

static void link_open(struct link *k, const char *from, const char *to, int n)
{
	struct stream *streams[STREAMS];

	*k = (struct link){ .n = n };
	if (image_open(&k->from, in(from), &e) || image_open(&k->to, in(to), &e) || image_begin(k->from, &e) ||
	    image_begin(k->to, &e))
		abort();
	for (int i = 0; i < n; i++) {
		stream_pair(&k->lane[i].here, &k->lane[i].there);
		k->lane[i].im = k->to;
		streams[i] = k->lane[i].here;
		pthread_create(&k->lane[i].thread, NULL, receive, &k->lane[i]);
	}
	if (sender_new(&k->sender, k->from, streams, n, &e))
		abort();
}

/* Ends all; both images are saved, so that the next move finds them. */
static void link_close(struct link *k)
{
	sender_free(k->sender);
	for (int i = 0; i < k->n; i++) {
		stream_free(k->lane[i].here);
		pthread_join(k->lane[i].thread, NULL);
		stream_free(k->lane[i].there);
	}
	image_save(k->from, 0, &e);
	image_save(k->to, 0, &e);
	image_free(k->from);
	image_free(k->to);
	page_runs_clear(&k->runs);
}

/* Runs over all of the memory, in pieces of different sizes. */
static void whole(struct page_runs *r, pid_t pid)
{
	page_runs_clear(r);
	r->run = calloc(PAGES, sizeof(*r->run));
	for (unsigned at = 0, n; at < PAGES; at += n) {
		n = 1 + at * 7 % RUN_PAGES;
		n = n > PAGES - at ? PAGES - at : n;
		r->run[r->n++] = (struct page_run){
			.object = OBJECT, .addr = BASE + (uint64_t)at * PAGE_BYTES, .pid = pid, .pages = n,
			.vaddr = (uintptr_t)memory + (uint64_t)at * PAGE_BYTES,
		};
		r->pages += n;
	}
}

static struct pages_stats round_of(struct link *k, bool ask, bool final)
{
	struct pages_stats st = { 0 };

	whole(&k->runs, 0);
	e = (struct err){ 0 };
	if (sender_round(k->sender, &k->runs, ask, final, &st, &e))
		printf("# %s\n", e.text);
	return st;
}

static bool holds(struct image *im)
{
	uint8_t got[PAGE_BYTES];

	for (unsigned i = 0; i < PAGES; i++)
		if (image_read(im, OBJECT, BASE + (uint64_t)i * PAGE_BYTES, got) ||
		    memcmp(got, memory + (size_t)i * PAGE_BYTES, PAGE_BYTES))
			return false;
	return true;
}

/* ---- tests ---- */

/* There: first, unchanged, changed and final rounds; then back. */
static void test_move(int streams)
{
	struct link k;
	struct pages_stats st;
	char from[32], to[32];

	printf("# %d streams\n", streams);
	snprintf(from, sizeof(from), "from%d", streams);
	snprintf(to, sizeof(to), "to%d", streams);
	for (unsigned i = 0; i < PAGES; i++)
		fill(i, 1 + i % 4);
	memset(memory, 0, 100 * PAGE_BYTES);
	memcpy(memory + 900 * PAGE_BYTES, memory + 500 * PAGE_BYTES, PAGE_BYTES);
	link_open(&k, from, to, streams);
	st = round_of(&k, true, false);
	ok(st.looked_at == PAGES && st.changed == PAGES && st.zero == 100, "the first round sends all pages");
	ok(st.sent + st.there == PAGES - 100 && st.raw_bytes == st.sent * PAGE_BYTES, "... but those of zeros");
	ok(holds(k.to), "... and they arrive");
	ok(holds(k.from), "... and are kept here");
	st = round_of(&k, true, false);
	ok(st.looked_at == PAGES && !st.changed && !st.sent_bytes, "nothing is sent when nothing has changed");
	fill(7, 3);
	fill(1400, 4);
	memset(memory + 600 * PAGE_BYTES, 0, PAGE_BYTES);
	memcpy(memory + 50 * PAGE_BYTES, memory + 700 * PAGE_BYTES, PAGE_BYTES);
	st = round_of(&k, true, false);
	ok(st.changed == 4 && st.sent == 2 && st.zero == 1 && st.there == 1,
	   "changed pages are sent, zeros and known content are not");
	ok(holds(k.to), "... and arrive");
	fill(8, 5);
	memcpy(memory + 51 * PAGE_BYTES, memory + 700 * PAGE_BYTES, PAGE_BYTES);
	st = round_of(&k, false, true);
	ok(st.changed == 2 && st.sent == 2, "the last round does not ask");
	ok(holds(k.to) && holds(k.from), "... and then both ends hold the same");
	ok(image_used(k.from, OBJECT, BASE, 1) && image_used(k.from, OBJECT, BASE + 8 * PAGE_BYTES, 1),
	   "the pages are marked as the service's");
	link_close(&k);

	link_open(&k, to, from, streams);
	fill(9, 7);
	st = round_of(&k, true, false);
	ok(st.changed == PAGES && st.sent == 1 && st.sent_bytes < PAGES * 60, "moving back sends what is new only");
	ok(holds(k.to), "... and the rest is there");
	link_close(&k);
}

static void test_image_runs(void)
{
	struct link k;
	struct pages_stats st = { 0 };

	link_open(&k, "to1", "third", 2);
	for (unsigned i = 0; i < PAGES; i++)
		image_read(k.from, OBJECT, BASE + (uint64_t)i * PAGE_BYTES, memory + (size_t)i * PAGE_BYTES);
	whole(&k.runs, -1);
	is_int(sender_round(k.sender, &k.runs, true, true, &st, &e), 0, "pages are sent from the image itself");
	ok(holds(k.to), "... and arrive");
	k.runs.run[0].addr = 5ULL << 30;
	is_int(sender_round(k.sender, &k.runs, true, true, &st, &e), -1, "... one that it lacks is an error");
	is_str(e.text, "memory: page 0x140000000 is damaged", "... which is said");
	link_close(&k);
}

static int seen(void *ctx, uint64_t done, uint64_t all, struct err *why)
{
	uint64_t *last = ctx;

	*last = done <= all ? done : 0;
	return done > all / 2 && last[1] ? err_set(why, EX_TEMPFAIL, "interrupted") : 0;
}

static void test_local(void)
{
	AUTO_IMAGE struct image *im = NULL;
	AUTO_SENDER struct sender *s = NULL;
	struct page_runs runs = { 0 };
	struct pages_stats st = { 0 };
	uint64_t progress[2] = { 0 };

	image_open(&im, in("local"), &e);
	is_int(sender_new(&s, im, (struct stream *const[]){ NULL }, 1, &e), 0, "a sender without a stream");
	whole(&runs, 0);
	sender_progress(s, seen, progress);
	is_int(sender_round(s, &runs, true, true, &st, &e), 0, "... fills the image only");
	ok(holds(im) && !st.sent && st.changed == PAGES, "... with all pages");
	is_int((long long)progress[0], (long long)runs.n, "... and tells how far it is");
	progress[1] = 1;
	e = (struct err){ 0 };
	is_int(sender_round(s, &runs, true, true, &st, &e), -1, "... and can be interrupted");
	ok(e.code == EX_TEMPFAIL && strstr(e.text, "interrupted"), "... which is said");
	page_runs_clear(&runs);
}

/* A sender that is killed has written to its image what its notes do not know. */
static void test_killed(void)
{
	struct page_runs runs = { 0 };
	struct pages_stats st = { 0 };
	struct digest d;

	whole(&runs, 0);
	for (int killed = 1; killed >= 0; killed--) {
		AUTO_IMAGE struct image *im = NULL;
		AUTO_SENDER struct sender *s = NULL;

		if (image_open(&im, in("killed"), &e) || image_begin(im, &e) || sender_new(&s, im, (struct stream *const[]){ NULL }, 1, &e))
			abort();
		is_int(sender_round(s, &runs, true, true, &st, &e), 0, killed ? "a sender that will be killed" : "the next one");
		if (killed) {
			usleep(300000);
			image_note(im);
			for (int i = 0; i < 100 && access(in("killed/rough"), F_OK); i++)
				usleep(100000);
			digest_of(memory + 701 * PAGE_BYTES, PAGE_BYTES, &d);
			image_put(im, OBJECT, BASE + 700 * PAGE_BYTES, &d, memory + 701 * PAGE_BYTES, &e);
		} else {
			ok(holds(im), "... does not take what the other has left for what it knows of it");
		}
	}
	page_runs_clear(&runs);
}

static void test_unreadable(void)
{
	struct link k;
	struct pages_stats st = { 0 };
	uint8_t *hole = mmap(NULL, 8 * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memset(hole, 1, 8 * PAGE_BYTES);
	munmap(hole + 4 * PAGE_BYTES, 4 * PAGE_BYTES);
	link_open(&k, "holes", "holes2", 1);
	struct page_run run = { .object = 1, .vaddr = (uintptr_t)hole, .pid = getpid(), .pages = 8 };
	struct page_runs runs = { .run = &run, .n = 1, .pages = 8 };
	is_int(sender_round(k.sender, &runs, true, false, &st, &e), 0, "memory that goes away is passed over");
	is_int((long long)st.looked_at, 4, "... and what is left of it is sent");
	is_int(sender_round(k.sender, &runs, false, true, &st, &e), -1, "... but not in the freeze");
	link_close(&k);
	munmap(hole, 4 * PAGE_BYTES);
}

/* The first test: whether the fault is wanted is looked at once per process, and it happens once. */
static void test_damaged(void)
{
	struct link k;
	struct pages_stats st = { 0 };
	AUTO_FREE char *page = malloc(PAGE_BYTES);

	for (unsigned i = 0; i < PAGES; i++)
		fill(i, 2);
	link_open(&k, "damaged", "damaged2", 1);
	whole(&k.runs, 0);
	setenv("EDGE_FAULT", "flip-page", 1);
	e = (struct err){ 0 };
	is_int(sender_round(k.sender, &k.runs, true, false, &st, &e), -1, "a page that is damaged on its way is refused");
	ok(!strncmp(e.text, "node here: pages from 0x", 24) && strstr(e.text, " on arrived damaged: their digest differs"),
	   "... by its address");
	is_int(e.code, EX_DATAERR, "... as bad input");
	unsetenv("EDGE_FAULT");
	link_close(&k);
}

/* A peer that goes away in the middle. */
static void test_lost(void)
{
	struct link k;
	struct pages_stats st = { 0 };

	link_open(&k, "lost", "lost2", 2);
	whole(&k.runs, 0);
	stream_stop(k.lane[1].there);
	e = (struct err){ 0 };
	is_int(sender_round(k.sender, &k.runs, true, false, &st, &e), -1, "a lost connection fails the round");
	ok(strstr(e.text, "node here: connection") != NULL, "... by name");
	link_close(&k);
}

/* ---- a hostile sender ---- */

struct wrong {
	const char *name, *error; /* of the next SYNC; NULL: the stream is broken off */
	unsigned kind;
	size_t n;
	uint8_t data[128];
};

static void hostile(const struct wrong *w)
{
	AUTO_STREAM struct stream *here = NULL, *there = NULL;
	AUTO_IMAGE struct image *im = NULL;
	AUTO_FRAME struct frame f = { 0 };
	struct lane l = { 0 };
	struct err why = { 0 };

	image_open(&im, in("hostile"), &e);
	stream_pair(&here, &there);
	l = (struct lane){ .there = there, .im = im };
	pthread_create(&l.thread, NULL, receive, &l);
	wire_send(here, (enum frame_kind)w->kind, w->data, w->n, NULL, 0, &e);
	if (w->kind == FRAME_HAVE)
		ok(w->error ? !wire_recv(here, &f, &why) && f.kind == FRAME_WANT : true, w->name);
	if (w->kind != FRAME_HAVE && w->error) {
		wire_send(here, FRAME_SYNC, NULL, 0, NULL, 0, &e);
		is_int(wire_expect(here, FRAME_SYNCED, &f, &why), -1, w->name);
		ok(strstr(why.text, w->error) != NULL, w->error);
	}
	stream_stop(here);
	pthread_join(l.thread, NULL);
	if (!w->error)
		is_int(l.err.code, EX_DATAERR, w->name);
}

static void test_hostile(void)
{
	static const struct wrong all[] = {
		{ "an empty batch", "malformed batch of pages", FRAME_PAGES, 0, { 0 } },
		{ "more pages than there may be", "malformed batch of pages", FRAME_PAGES, 8, { 1, 2 } },
		{ "the most there can be", "malformed batch of pages", FRAME_PAGES, 8, { 255, 255, 255, 255 } },
		{ "pages that are not there", "malformed batch of pages", FRAME_PAGES, 20, { 1 } },
		{ "a group of none", "malformed batch of pages", FRAME_PAGES, 60, { 1 } },
		{ "a group that is too long", "malformed batch of pages", FRAME_PAGES, 60, { 1, [24] = 2 } },
		{ "an address that is no page's", "malformed batch of pages", FRAME_PAGES, 60, { 1, [16] = 2, [24] = 1 } },
		{ "no seal", "malformed batch of pages", FRAME_PAGES, 59, { 1, [16] = 1, [24] = 1 } },
		{ "data after zeros", "malformed batch of pages", FRAME_PAGES, 80, { 2, [16] = 1, [24] = 1, [44] = 1 } },
		{ "a page without its data", "damaged batch of pages", FRAME_PAGES, 60, { 1, [24] = 1 } },
		{ "data without its page", "damaged batch of pages", FRAME_PAGES, 64, { 1, [16] = 1, [24] = 1 } },
		{ "data that is not zstd's", "damaged batch of pages", FRAME_PAGES, 80, { 1, [4] = 1, [24] = 1 } },
		{ "a wrong seal", "their digest differs", FRAME_PAGES, 60, { 1, [16] = 1, [24] = 1 } },
		{ "a window out of range", "address out of range", FRAME_COVER, 16, { [15] = 255 } },
		{ "a question for pages outside is answered", "", FRAME_HAVE, 60, { 1, [16] = 1, [24] = 1 } },
		{ "a question without digests", NULL, FRAME_HAVE, 59, { 1, [16] = 1, [24] = 1 } },
		{ "a malformed question", NULL, FRAME_HAVE, 3, { 0 } },
		{ "another frame", NULL, FRAME_CALL, 2, "{}" },
	};

	struct wrong outside = { "zeros outside of every window", "lies outside", FRAME_PAGES, 0, { 0 } };

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		hostile(&all[i]);
	outside.n = pages_put_sealed(outside.data, &(struct page_item){ .object = 1, .zero = true }, 1, 0);
	hostile(&outside);
}

/* A destination whose answer is too short. */
static void test_short_answer(void)
{
	AUTO_IMAGE struct image *im = NULL;
	AUTO_SENDER struct sender *s = NULL;
	struct page_runs runs = { 0 };
	struct pages_stats st = { 0 };
	int raw;
	AUTO_STREAM struct stream *far = stream_raw(&raw);

	image_open(&im, in("short"), &e);
	sender_new(&s, im, &far, 1, &e);
	whole(&runs, 0);
	raw_frame(raw, 2, FRAME_SYNCED, "{}", 2);
	raw_frame(raw, 1, FRAME_WANT, "x", 1);
	e = (struct err){ 0 };
	is_int(sender_round(s, &runs, true, false, &st, &e), -1, "an answer that is too short is refused");
	is_str(e.text, "node far: short answer", "... by name");
	close(raw);
	page_runs_clear(&runs);
}

int main(void)
{
	int before;

	if (!mkdtemp(top))
		return 70;
	before = open_files();
	memory = calloc(PAGES, PAGE_BYTES);
	test_damaged();
	test_move(1);
	test_move(STREAMS);
	test_image_runs();
	test_local();
	test_killed();
	test_unreadable();
	test_lost();
	test_hostile();
	test_short_answer();
	is_int(open_files(), before, "no descriptor is left open");
	free(memory);
	file_remove_tree(top, NULL);
	return done();
}
