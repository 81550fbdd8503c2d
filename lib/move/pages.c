/* SPDX-License-Identifier: MIT */
#include "lib/move/pages.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/random.h>

#include <xxhash.h>
#include <zstd.h>

#include "lib/base/clock.h"
#include "lib/base/proc.h"
#include "lib/move/pages_int.h"

#define RAW_WORTH 0.9 /* compressed to less than this, or not at all */
#define PROBE_EVERY 16
#define ASK_EVERY_MAX 8 /* batches sent without asking once the far end had next to nothing of those before */
#define ASK_WORTH 16    /* of so many pages it had one or more */
#define BLOCK_PAGES 64  /* read and compared together: they stay in the processor's second-level cache */
#define LEVEL_MAX 9
#define MARK_ZERO 1 /* marks of pages start above: 0 is "never sent" */
#define UNCACHE_PAGES 16384
#define STREAMS_MAX 8
#define BATCH_MIN 64
#define BATCHES 16 /* of a stream in a round, at least: while one is read another is on its way, and a third is written there */

/* One stream's thread. */
struct worker {
	struct sender *s;
	struct stream *stream;
	struct pages_stats st;
	struct err err;
	bool failed;
	ZSTD_CCtx *zstd;
	int level;       /* of zstd; follows the link */
	int raw_batches; /* left before compression is tried again */
	unsigned unasked, ask_every; /* batches left before the far end is asked again; how many those were */
	uint8_t *in;     /* the block as it was read */
	uint64_t mark[BLOCK_PAGES]; /* of its pages as they were sent last */
	uint8_t *page;   /* the batch's pages, one behind the other */
	uint8_t *out;    /* compressed */
	uint8_t *head;
	struct page_item item[RUN_PAGES];
	unsigned n;      /* items in the batch */
	struct frame frame;
};

struct sender {
	struct image *im;
	struct worker worker[STREAMS_MAX];
	int n_workers;
	pthread_t uncacher;
	sem_t full; /* it is to do its work, or to end */
	bool uncaching;
	atomic_bool ending;
	uint64_t seed; /* of the marks: secret and new each time, so that no service can make two pages look alike */
	struct image_window *covered;
	size_t n_covered;
	/* the round under way */
	const struct page_runs *runs;
	atomic_size_t next;
	atomic_uint cached; /* pages that were put into the image since image_uncache() */
	unsigned batch; /* items */
	bool ask, final, all;
	bool still; /* somebody stands still until it is over */
	int (*progress)(void *ctx, uint64_t done, uint64_t all, struct err *e);
	void *progress_ctx;
};

static bool is_zero(const uint8_t *page)
{
	return !page[0] && !memcmp(page, page + 1, PAGE_BYTES - 1);
}

/* ---- one batch ---- */

/* The pages of the batch whose bit is set in `want` (all when NULL), moved together; their number. */
static unsigned keep_wanted(struct worker *w, const uint8_t *want)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < w->n; i++) {
		if (want && !(want[i / 8] >> i % 8 & 1)) {
			w->st.there += !w->item[i].zero;
			continue;
		}
		if (kept != i) {
			w->item[kept] = w->item[i];
			memcpy(w->page + kept * PAGE_BYTES, w->page + i * PAGE_BYTES, PAGE_BYTES);
		}
		kept++;
	}
	return kept;
}

/* Pages of zeros go last and have no data. */
static unsigned zeros_last(struct worker *w, unsigned n)
{
	unsigned data = 0;

	for (unsigned i = 0; i < n; i++) {
		if (w->item[i].zero)
			continue;
		if (data != i) {
			struct page_item swap = w->item[data];

			w->item[data] = w->item[i];
			w->item[i] = swap;
			memcpy(w->page + data * PAGE_BYTES, w->page + i * PAGE_BYTES, PAGE_BYTES);
		}
		data++;
	}
	return data;
}

/* The link waits for the compressor, or the compressor for the link: the level moves towards the balance. */
static void adapt(struct worker *w, double compress_ms, double write_ms)
{
	if (write_ms > 2 * compress_ms && w->level < LEVEL_MAX)
		w->level++;
	else if (compress_ms > write_ms && w->level > 1)
		w->level--;
}

static int send_pages(struct worker *w, unsigned n)
{
	unsigned data = zeros_last(w, n);
	size_t raw = (size_t)data * PAGE_BYTES, packed = 0, head;
	double t0 = clock_ms(), t1;

	if (raw && fault_flip())
		w->page[raw / 2] ^= 1;
	if (w->raw_batches > 0) {
		w->raw_batches--;
	} else if (raw) {
		packed = ZSTD_compressCCtx(w->zstd, w->out, ZSTD_compressBound(RUN_PAGES * PAGE_BYTES), w->page, raw,
					   w->level);
		if (ZSTD_isError(packed) || (double)packed > RAW_WORTH * (double)raw) {
			packed = 0;
			w->raw_batches = PROBE_EVERY - 1;
		}
	}
	t1 = clock_ms();
	head = pages_put_sealed(w->head, w->item, n, packed ? PAGES_ZSTD : 0);
	if (wire_send(w->stream, FRAME_PAGES, w->head, head, packed ? w->out : w->page, packed ? packed : raw, &w->err))
		return -1;
	if (packed)
		adapt(w, t1 - t0, clock_ms() - t1);
	w->st.sent += data;
	w->st.raw_bytes += raw;
	w->st.sent_bytes += head + (packed ? packed : raw);
	return 0;
}

/* Lets the far end say which pages of the batch it lacks, and keeps those; their number, -1 when that failed. One that
 * has none of them is asked less and less often in a round: the answer costs a round trip. */
static int ask(struct worker *w)
{
	size_t head = pages_put_head(w->head, w->item, w->n);
	uint64_t there = w->st.there;
	unsigned n, data = 0;

	if (wire_send(w->stream, FRAME_HAVE, w->head, head, NULL, 0, &w->err) ||
	    wire_expect(w->stream, FRAME_WANT, &w->frame, &w->err))
		return -1;
	if (w->frame.len < (w->n + 7) / 8)
		return err_set(&w->err, EX_DATAERR, "%s: short answer", stream_peer(w->stream));
	w->st.sent_bytes += head;
	for (unsigned i = 0; i < w->n; i++)
		data += !w->item[i].zero;
	n = keep_wanted(w, w->frame.data);
	if (!data) /* which says nothing */
		return (int)n;
	if ((w->st.there - there) * ASK_WORTH >= data)
		w->ask_every = 0;
	else if (w->ask_every < ASK_EVERY_MAX)
		w->ask_every = w->ask_every ? w->ask_every * 2 : 1;
	w->unasked = w->ask_every;
	return (int)n;
}

static int flush(struct worker *w)
{
	int n = (int)w->n;

	if (pages_store(w->s->im, w->item, w->page, w->n, &w->err))
		return -1;
	if (w->s->uncaching && !w->s->still && atomic_fetch_add(&w->s->cached, w->n) >= UNCACHE_PAGES) {
		atomic_store(&w->s->cached, 0);
		sem_post(&w->s->full);
	}
	for (unsigned i = 0; i < w->n; i++)
		if (w->item[i].used)
			image_use(w->s->im, w->item[i].object, w->item[i].addr, 1);
	if (n && w->stream && w->s->ask) {
		if (!w->unasked)
			n = ask(w);
		else
			w->unasked--;
	}
	w->n = 0;
	return n > 0 && w->stream ? send_pages(w, (unsigned)n) : n < 0 ? -1 : 0;
}

/* ---- one run ---- */

/* Its pages are as the service will have them, unless they are found again. */
static bool stays(const struct worker *w, const struct page_run *b)
{
	return w->s->final || b->tracked;
}

/* A page that differs from what was sent last goes into the batch. */
static int take_page(struct worker *w, const struct page_run *b, unsigned i, const uint8_t *page, uint64_t mark)
{
	const uint64_t object = b->object, addr = b->addr + (uint64_t)i * PAGE_BYTES;
	struct image *im = w->s->im;
	struct page_item *item = &w->item[w->n];
	bool zero = mark == MARK_ZERO;
	struct digest old;

	*item = (struct page_item){ .object = object, .addr = addr, .zero = zero, .used = stays(w, b) };
	if (!zero)
		digest_of(page, PAGE_BYTES, &item->digest);
	enum page_state was = image_get(im, object, addr, &old);
	item->here = was == (zero ? PAGE_ZERO : PAGE_DATA) && (zero || (digest_equal(&old, &item->digest) && !image_rough(im)));
	image_set_mark(im, object, addr, mark);
	memcpy(w->page + (size_t)w->n * PAGE_BYTES, page, PAGE_BYTES);
	w->st.changed++;
	w->st.zero += zero;
	return ++w->n >= w->s->batch ? flush(w) : 0;
}

/* Pages [from, end) of a block are as they were sent last. */
static void keep_pages(struct worker *w, const struct page_run *b, unsigned from, unsigned end)
{
	if (stays(w, b) && from < end)
		image_use(w->s->im, b->object, b->addr + (uint64_t)from * PAGE_BYTES, end - from);
}

static int compare_block(struct worker *w, const struct page_run *b)
{
	unsigned from = 0;

	image_marks(w->s->im, b->object, b->addr, b->pages, w->mark);
	w->st.looked_at += b->pages;
	for (unsigned i = 0; i < b->pages; i++) {
		const uint8_t *page = w->in + (size_t)i * PAGE_BYTES;
		uint64_t mark = MARK_ZERO;

		if (!is_zero(page))
			mark = XXH3_64bits_withSeed(page, PAGE_BYTES, w->s->seed) | 2;
		if (mark == w->mark[i] && !w->s->all)
			continue;
		keep_pages(w, b, from, i);
		from = i + 1;
		if (take_page(w, b, i, page, mark))
			return -1;
	}
	keep_pages(w, b, from, b->pages);
	return 0;
}

static size_t read_block(struct worker *w, const struct page_run *b)
{
	size_t n = 0;

	if (b->pid >= 0)
		return memory_read(b, w->in);
	while (n < b->pages && !image_read(w->s->im, b->object, b->addr + n * PAGE_BYTES, w->in + n * PAGE_BYTES))
		n++;
	return n;
}

/* What is not there any more is passed over; of tracked pages those behind it are not, as nobody would name them again. */
static int do_block(struct worker *w, struct page_run *b) /* 1: goes on with what is left in b */
{
	size_t n = read_block(w, b);

	if (n < b->pages && b->pid < 0)
		return err_set(&w->err, EX_DATAERR, "memory: page %#llx is damaged",
			       (unsigned long long)(b->addr + n * PAGE_BYTES));
	if (n < b->pages && w->s->final)
		return err_set(&w->err, EX_OSERR, "memory: cannot read %u pages of process %d at %#llx", b->pages, b->pid,
			       (unsigned long long)b->vaddr);
	/* What is sent of these is old, if it is still there in the end. */
	if (n < b->pages)
		image_unuse(w->s->im, b->object, b->addr + n * PAGE_BYTES, b->tracked ? 1 : b->pages - n);
	struct page_run rest = *b;
	b->pages = (uint32_t)n;
	if (compare_block(w, b))
		return -1;
	if (n + 1 >= rest.pages || !rest.tracked)
		return 0;
	rest.addr += (n + 1) * PAGE_BYTES;
	rest.vaddr += (n + 1) * PAGE_BYTES;
	rest.pages -= (uint32_t)n + 1;
	*b = rest;
	return 1;
}

static int do_run(struct worker *w, const struct page_run *run)
{
	int rc = 0;

	for (uint32_t at = 0; at < run->pages && !rc; at += BLOCK_PAGES) {
		struct page_run b = *run;

		b.addr += (uint64_t)at * PAGE_BYTES;
		b.vaddr += (uint64_t)at * PAGE_BYTES;
		b.pages = run->pages - at < BLOCK_PAGES ? run->pages - at : BLOCK_PAGES;
		while ((rc = do_block(w, &b)) > 0)
			;
	}
	return rc;
}

static int sync_stream(struct worker *w)
{
	if (!w->stream)
		return 0;
	if (wire_send(w->stream, FRAME_SYNC, NULL, 0, NULL, 0, &w->err) ||
	    wire_expect(w->stream, FRAME_SYNCED, &w->frame, &w->err))
		return -1;
	return 0;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	const struct page_runs *runs = w->s->runs;
	size_t i;
	int rc = 0;

	w->unasked = 0;
	while (!rc && (i = atomic_fetch_add(&w->s->next, 1)) < runs->n) {
		rc = do_run(w, &runs->run[i]);
		/* One thread speaks for all; they take their runs from the same heap. */
		if (!rc && w->s->progress && w == w->s->worker)
			rc = w->s->progress(w->s->progress_ctx, i + 1, runs->n, &w->err);
	}
	if (!rc)
		rc = flush(w);
	if (!rc)
		rc = sync_stream(w);
	w->failed = rc != 0;
	if (rc) /* the others need not go on */
		atomic_store(&w->s->next, runs->n);
	return NULL;
}

/* ---- rounds ---- */

static bool is_covered(const struct sender *s, struct image_window w)
{
	for (size_t i = s->n_covered; i-- > 0;)
		if (s->covered[i].object == w.object && s->covered[i].number == w.number)
			return true;
	return false;
}

/* Tells both images of the windows that are new in these runs, before any page of theirs is on its way. */
static int cover(struct sender *s, const struct page_runs *runs, struct err *e)
{
	size_t before = s->n_covered;
	struct worker *w = &s->worker[0];

	for (size_t i = 0; i < runs->n; i++) {
		const struct page_run *r = &runs->run[i];
		uint64_t last = (r->addr + (uint64_t)(r->pages - 1) * PAGE_BYTES) >> WINDOW_BITS;

		for (uint64_t n = r->addr >> WINDOW_BITS; n <= last; n++) {
			struct image_window win = { r->object, n };

			if (is_covered(s, win))
				continue;
			struct image_window *bigger = realloc(s->covered, (s->n_covered + 1) * sizeof(*bigger));
			if (!bigger)
				return err_set(e, EX_OSERR, "out of memory");
			s->covered = bigger;
			s->covered[s->n_covered++] = win;
		}
	}
	size_t n = s->n_covered - before;
	if (!n)
		return 0;
	if (image_cover(s->im, s->covered + before, n, e))
		return -1;
	if (!w->stream || s->all)
		return 0;
	AUTO_FREE uint8_t *buf = malloc(n * 16);
	if (!buf)
		return err_set(e, EX_OSERR, "out of memory");
	for (size_t i = 0; i < n; i++) {
		put_le64(buf + i * 16, s->covered[before + i].object);
		put_le64(buf + i * 16 + 8, s->covered[before + i].number);
	}
	if (wire_send(w->stream, FRAME_COVER, buf, n * 16, NULL, 0, e))
		return -1;
	if (sync_stream(w)) {
		*e = w->err;
		return -1;
	}
	return 0;
}

static void add_stats(struct pages_stats *to, const struct pages_stats *st)
{
	to->looked_at += st->looked_at;
	to->changed += st->changed;
	to->zero += st->zero;
	to->there += st->there;
	to->sent += st->sent;
	to->raw_bytes += st->raw_bytes;
	to->sent_bytes += st->sent_bytes;
}

static unsigned batch_of(const struct page_runs *runs, int workers)
{
	uint64_t pages = 0;

	for (size_t i = 0; i < runs->n; i++)
		pages += runs->run[i].pages;
	pages /= (uint64_t)workers * BATCHES;
	return pages < BATCH_MIN ? BATCH_MIN : pages < RUN_PAGES ? (unsigned)pages : RUN_PAGES;
}

int sender_round(struct sender *s, const struct page_runs *runs, bool ask, bool final, struct pages_stats *st,
		 struct err *e)
{
	pthread_t thread[STREAMS_MAX];
	double start = clock_ms();
	int rc = 0, started = 0;

	if (cover(s, runs, e))
		return -1;
	s->runs = runs;
	s->ask = ask;
	s->final = final;
	s->still = final && !s->all && runs->n && runs->run[0].pid >= 0;
	s->batch = batch_of(runs, s->n_workers);
	atomic_store(&s->next, 0);
	for (int i = 0; i < s->n_workers; i++)
		s->worker[i].st = (struct pages_stats){ 0 };
	/* Every stream takes part, also with nothing to send: SYNCED says that what it sent before has arrived. */
	for (int i = 1; i < s->n_workers; i++, started++)
		if (pthread_create(&thread[i], NULL, work, &s->worker[i]))
			break;
	work(&s->worker[0]);
	for (int i = 1; i <= started; i++)
		pthread_join(thread[i], NULL);
	for (int i = 0; i <= started; i++) {
		add_stats(st, &s->worker[i].st);
		if (s->worker[i].failed && !rc) {
			*e = s->worker[i].err;
			rc = -1;
		}
	}
	st->ms += clock_ms() - start;
	return rc;
}

void sender_send_all(struct sender *s)
{
	s->all = s->final = true;
}

int sender_now(struct sender *s, const struct page_run *run, struct err *e)
{
	const struct page_runs runs = { .run = (struct page_run *)run, .n = 1 };
	struct worker *w = &s->worker[0];

	s->batch = RUN_PAGES;
	if (cover(s, &runs, e))
		return -1;
	if (!do_run(w, run) && !flush(w))
		return 0;
	*e = w->err;
	return -1;
}

void sender_progress(struct sender *s, int (*fn)(void *ctx, uint64_t done, uint64_t all, struct err *e), void *ctx)
{
	s->progress = fn;
	s->progress_ctx = ctx;
}

/* What goes elsewhere is not read here again before long, and the services that stay have a use for the memory. The disk may keep
 * this thread waiting, and the link does not wait with it. */
static void *uncache(void *arg)
{
	struct sender *s = arg;

	proc_yield();
	for (;;) {
		while (sem_wait(&s->full))
			;
		while (!sem_trywait(&s->full))
			;
		if (atomic_load(&s->ending))
			return NULL;
		image_uncache(s->im);
	}
}

static int worker_init(struct worker *w, struct sender *s, struct stream *stream)
{
	w->s = s;
	w->stream = stream;
	w->level = 1;
	w->zstd = ZSTD_createCCtx();
	w->in = malloc(BLOCK_PAGES * PAGE_BYTES);
	w->page = malloc(RUN_PAGES * PAGE_BYTES);
	w->out = malloc(ZSTD_compressBound(RUN_PAGES * PAGE_BYTES));
	w->head = malloc(PAGES_HEAD_MAX);
	return w->zstd && w->in && w->page && w->out && w->head ? 0 : -1;
}

int sender_new(struct sender **out, struct image *im, struct stream *const *streams, int n, struct err *e)
{
	AUTO_SENDER struct sender *s = calloc(1, sizeof(*s));

	if (!s)
		return err_set(e, EX_OSERR, "out of memory");
	s->im = im;
	if (getrandom(&s->seed, sizeof(s->seed), 0) != sizeof(s->seed))
		return err_sys(e, "getrandom");
	for (int i = 0; i < n && i < STREAMS_MAX; i++) {
		s->n_workers++;
		if (worker_init(&s->worker[i], s, streams[i]))
			return err_set(e, EX_OSERR, "out of memory");
	}
	/* Without it more stays in memory. */
	s->uncaching = n && streams[0] && !sem_init(&s->full, 0, 0) && !pthread_create(&s->uncacher, NULL, uncache, s);
	*out = TAKE_PTR(s);
	return 0;
}

void sender_free(struct sender *s)
{
	if (s->uncaching) {
		atomic_store(&s->ending, true);
		sem_post(&s->full);
		pthread_join(s->uncacher, NULL);
	}
	for (int i = 0; i < s->n_workers; i++) {
		struct worker *w = &s->worker[i];

		ZSTD_freeCCtx(w->zstd);
		free(w->in);
		free(w->page);
		free(w->out);
		free(w->head);
		frame_clear(&w->frame);
	}
	free(s->covered);
	free(s);
}
