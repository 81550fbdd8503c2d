/* SPDX-License-Identifier: MIT */
/* Two ends of a moving folder, over a socketpair. */
#include "lib/move/files.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/file.h"
#include "tests/unit/peer.h"
#include "tests/unit/tap.h"

static char top[] = "/tmp/files_test.XXXXXX";
static struct err e;

static const char *in(const char *name)
{
	static char ring[4][PATH_MAX];
	static int next;
	char *p = ring[next++ % 4];

	snprintf(p, PATH_MAX, "%s/%s", top, name);
	return p;
}

static void put(const char *name, const char *text)
{
	file_write(in(name), text, strlen(text), 0644, &e);
}

static bool has(const char *name, const char *text)
{
	AUTO_FREE char *got = file_slurp(in(name), NULL, NULL);

	return got && !strcmp(got, text);
}

/* ---- the destination: a thread that answers "files" calls ---- */

struct end {
	struct stream *s;
	struct files f;
	struct err last;
	int calls, failed;
	bool last_final;
};

static void *serve(void *arg)
{
	struct end *d = arg;
	AUTO_FRAME struct frame f = { 0 };
	AUTO_JSON struct json *empty = json_object();

	while (!wire_recv(d->s, &f, NULL)) {
		AUTO_JSON struct json *call = f.kind == FRAME_CALL ? wire_json(&f, NULL) : NULL;

		if (!call)
			break;
		d->calls++;
		d->last_final = json_bool(call, "final", false);
		d->last = (struct err){ 0 };
		if (files_receive(&d->f, d->s, call, &d->last)) {
			d->failed++;
			wire_send_error(d->s, &d->last, NULL);
		} else {
			wire_send_json(d->s, FRAME_REPLY, empty, NULL);
		}
	}
	return NULL;
}

static void open_end(struct files *f, const char *folder)
{
	*f = (struct files){ .number = 1, .what = "volume /data" };
	f->root = open(in(folder), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* ---- tests ---- */

static struct files_stats round_of(struct files *f, struct stream *s, bool final)
{
	struct files_stats st = { 0 };

	e = (struct err){ 0 };
	if (files_send(f, s, NULL, 0, final, &st, &e))
		printf("# %s\n", e.text);
	return st;
}

static void make_source(void)
{
	static char big[300000];

	for (size_t i = 0; i < sizeof(big) - 1; i++)
		big[i] = (char)('a' + i * i % 23);
	mkdir(in("src"), 0755);
	mkdir(in("src/sub"), 0700);
	put("src/a", "one");
	put("src/sub/b", "two");
	file_write(in("src/big"), big, sizeof(big) - 1, 0600, &e);
	if (symlink("a", in("src/link")))
		abort();
}

static void test_rounds(struct stream *s, struct files *f, struct end *d)
{
	struct files_stats st = round_of(f, s, false);
	struct stat sa;

	ok(!e.text[0] && st.files >= 5 && st.raw_bytes == 300005, "the first round brings a whole folder");
	ok(has("dst/a", "one") && has("dst/sub/b", "two") && access(in("dst/old"), F_OK),
	   "... which replaces what was there");
	ok(!stat(in("dst/big"), &sa) && sa.st_size == 299999 && (sa.st_mode & 07777) == 0600, "... with sizes and modes");
	is_int(d->calls, 1, "... in one call");
	st = round_of(f, s, false);
	ok(!e.text[0] && !st.sent_bytes && d->calls == 1, "nothing is said when nothing has changed");
	put("src/a", "1");
	unlink(in("src/sub/b"));
	st = round_of(f, s, false);
	ok(!e.text[0] && st.raw_bytes == 1 && st.sent_bytes < 1000, "a change brings what changed only");
	ok(has("dst/a", "1") && access(in("dst/sub/b"), F_OK), "... also what is gone");
	put("src/c", "three");
	st = round_of(f, s, true);
	ok(!e.text[0] && has("dst/c", "three") && d->last_final, "the last round says that it is");
}

/* What goes wrong over there is an error here, and the next call is understood. */
static void test_failure(struct stream *s, struct files *f, struct end *d)
{
	int was = d->f.root;

	put("src/d", "four");
	d->f.root = open("/dev/null", O_RDONLY | O_CLOEXEC);
	round_of(f, s, false);
	ok(!strncmp(e.text, "node here: volume /data: ", 25), "a failure at the destination names the folder");
	close(d->f.root);
	d->f.root = was;
	d->f.number = 1;
	is_int(d->failed, 1, "... is one");
	round_of(f, s, false);
	ok(!e.text[0] && has("dst/d", "four"), "... and the stream is in step for the next try");

	/* A destination that has forgotten the beginning. */
	struct tree *tree = TAKE_PTR(d->f.tree);
	put("src/e", "five");
	round_of(f, s, false);
	is_str(e.text, "node here: volume /data: a change without a beginning", "a change that nobody can place");
	is_int(e.code, EX_DATAERR, "... is bad input");
	d->f.tree = tree;
	round_of(f, s, false);
	ok(!e.text[0] && has("dst/e", "five"), "... and the stream is in step again");
}

static void test_both(void)
{
	AUTO_STREAM struct stream *here = NULL, *there = NULL;
	struct end d = { 0 };
	struct files f;
	pthread_t thread;

	make_source();
	mkdir(in("dst"), 0755);
	put("dst/old", "old");
	stream_pair(&here, &there);
	open_end(&f, "src");
	open_end(&d.f, "dst");
	d.s = there;
	pthread_create(&thread, NULL, serve, &d);
	test_rounds(here, &f, &d);
	test_failure(here, &f, &d);
	stream_stop(here);
	pthread_join(thread, NULL);
	round_of(&f, here, false);
	ok(!e.text[0], "no connection is needed when nothing has changed");
	put("src/f", "six");
	round_of(&f, here, false);
	ok(strstr(e.text, "node here: connection") != NULL, "a lost connection is named");
	files_clear(&f);
	files_clear(&d.f);
}

/* The other folder is not empty, but nearly the same: a move back. */
static void test_there(void)
{
	AUTO_STREAM struct stream *here = NULL, *there = NULL;
	struct end d = { 0 };
	struct files f;
	struct files_stats st;
	pthread_t thread;

	stream_pair(&here, &there);
	open_end(&f, "dst");
	open_end(&d.f, "src");
	put("dst/new", "seven");
	d.s = there;
	pthread_create(&thread, NULL, serve, &d);
	st = round_of(&f, here, true);
	ok(!e.text[0] && st.raw_bytes == 5 && st.there_bytes > 299999, "what is there already is not sent");
	ok(has("src/new", "seven") && access(in("src/f"), F_OK), "... and both are the same again");
	stream_stop(here);
	pthread_join(thread, NULL);
	files_clear(&f);
	files_clear(&d.f);
}

/* ---- a hostile source ---- */

static int receive(const char *frames[][2], int n, bool delta)
{
	AUTO_JSON struct json *call = json_object();
	struct files f;
	int raw;
	AUTO_STREAM struct stream *s = stream_raw(&raw);

	mkdir(in("victim"), 0755);
	open_end(&f, "victim");
	json_set_bool(call, "delta", delta);
	for (int i = 0; i < n; i++)
		raw_frame(raw, (uint32_t)strlen(frames[i][1]), *frames[i][0] == 'M' ? FRAME_MANIFEST : FRAME_BLOCKS,
			  frames[i][1], strlen(frames[i][1]));
	shutdown(raw, SHUT_WR);
	e = (struct err){ 0 };
	int rc = files_receive(&f, s, call, &e);
	close(raw);
	files_clear(&f);
	return rc;
}

static void test_hostile(void)
{
	is_int(receive((const char *[][2]){ { "M", "" }, { "B", "" } }, 2, false), -1, "an empty manifest is refused");
	ok(!strncmp(e.text, "volume /data: ", 14) && e.code == EX_DATAERR, "... as bad input");
	is_int(receive((const char *[][2]){ { "M", "nonsense" }, { "M", "" }, { "B", "" } }, 3, false), -1,
	       "a manifest of nonsense");
	is_int(receive((const char *[][2]){ { "M", "nonsense" }, { "M", "" }, { "B", "" } }, 3, true), -1,
	       "a change without a beginning");
	is_str(e.text, "volume /data: a change without a beginning", "... is named");
	is_int(receive((const char *[][2]){ { "B", "x" } }, 1, false), -1, "blocks before the manifest");
	is_int(receive((const char *[][2]){ { "M", "x" } }, 1, false), -1, "a manifest without an end");
	is_str(e.text, "node far: connection closed", "... is the end of the connection");
}

/* Blocks that were not asked for, behind a true manifest. */
static void hostile_blocks(const uint8_t *data, size_t n, const char *name)
{
	AUTO_JSON struct json *call = json_object();
	AUTO_TREE struct tree *t = NULL;
	AUTO_FREE uint8_t *manifest = NULL;
	AUTO_FD int src = open(in("src"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct files f;
	size_t len;
	int raw;
	AUTO_STREAM struct stream *s = stream_raw(&raw);

	mkdir(in("victim"), 0755);
	open_end(&f, "victim");
	if (tree_scan(&t, src, NULL, NULL, 0, &e) || tree_encode(t, &manifest, &len, &e))
		abort();
	raw_frame(raw, (uint32_t)len, FRAME_MANIFEST, manifest, len);
	raw_frame(raw, 0, FRAME_MANIFEST, NULL, 0);
	raw_frame(raw, (uint32_t)n, FRAME_BLOCKS, data, n);
	raw_frame(raw, 0, FRAME_BLOCKS, NULL, 0);
	e = (struct err){ 0 };
	is_int(files_receive(&f, s, call, &e), -1, name);
	printf("# %s\n", e.text);
	close(raw);
	files_clear(&f);
}

static void test_blocks(void)
{
	static const uint8_t wild[] = { 0, 255, 255, 255, 255, 255, 255, 255, 255, 3, 0, 0, 0, 0, 'a', 'b', 'c' };
	static const uint8_t gone[] = { 0, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0, 1 };
	static const uint8_t late[] = { 0, 1, 0, 0, 0, 255, 255, 255, 127, 0, 0, 0, 0, 1 };
	static const uint8_t wrong[] = { 0, 1, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 'a', 'b', 'c' };

	hostile_blocks((const uint8_t[]){ 0, 1 }, 2, "half a block");
	hostile_blocks((const uint8_t[]){ 1, 1 }, 2, "blocks that are not zstd's");
	hostile_blocks((const uint8_t[]){ 0, 1, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 0 }, 14, "a block that is too long");
	hostile_blocks(wild, sizeof(wild), "a block of a file that is not there");
	hostile_blocks(gone, sizeof(gone), "... that has gone");
	hostile_blocks(late, sizeof(late), "a block beyond a file's end");
	hostile_blocks(wrong, sizeof(wrong), "a block with other content");
	hostile_blocks((const uint8_t[]){ 0 }, 1, "blocks that never come");
}

int main(void)
{
	int before;

	if (geteuid()) {
		skip("files of a moving service", "needs root");
		return done();
	}
	if (!mkdtemp(top))
		return 70;
	before = open_files();
	test_both();
	test_there();
	test_hostile();
	test_blocks();
	is_int(open_files(), before, "no descriptor is left open");
	file_remove_tree(top, NULL);
	return done();
}
