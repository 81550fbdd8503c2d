/* SPDX-License-Identifier: MIT */
/* torture [PORT]: does to its memory whatever a program can do, in several threads and in children, and knows at any time what
 * every page is to hold. Over TCP (or, without a port, its standard input) each line is answered by "ok" when everything was
 * always as it should be, else by what was not. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103
#endif

#define PAGE 4096
#define WORDS (PAGE / 8)
#define AREAS 10       /* of each mapper */
#define AREA_PAGES 512  /* at most */
#define MAPPERS 2
#define WRITERS 2
#define WRITER_PAGES 512
#define DEEP 200       /* frames of 2 KB */
#define PAUSE_NS 300000L

/* What one page holds: 0 is zeros, else words that follow from it. */
typedef uint64_t key;

enum kind { ANON, HUGE, SHARED, FILE_PAGES, KINDS };

struct area {
	uint8_t *mem; /* NULL: none */
	size_t pages;
	enum kind kind;
	key page[AREA_PAGES];
	bool guard[AREA_PAGES];
};

static char fault[256]; /* the first one */
static atomic_bool faulty;
static atomic_ulong done[8]; /* steps, by kind of thread */
static char self[4096];

static void wrong(const char *fmt, ...)
{
	va_list args;

	if (atomic_exchange(&faulty, true))
		return;
	va_start(args, fmt);
	vsnprintf(fault, sizeof(fault), fmt, args);
	va_end(args);
}

static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

static uint64_t next(uint64_t *seed)
{
	return mix(*seed += 0x9e3779b97f4a7c15ULL);
}

static void rest(void)
{
	struct timespec t = { 0, PAUSE_NS };

	nanosleep(&t, NULL);
}

static void fill(void *mem, key k)
{
	for (size_t i = 0; i < WORDS; i++)
		((uint64_t *)mem)[i] = mix(k + i);
}

static bool holds(const void *mem, key k)
{
	for (size_t i = 0; i < WORDS; i++)
		if (((const uint64_t *)mem)[i] != (k ? mix(k + i) : 0))
			return false;
	return true;
}

/* ---- writers: pages that are always there ---- */

static struct writer {
	pthread_mutex_t lock;
	uint8_t mem[WRITER_PAGES][PAGE] __attribute__((aligned(PAGE)));
	key page[WRITER_PAGES];
} writers[WRITERS];

static void *writer(void *arg)
{
	struct writer *w = arg;
	uint64_t seed = (uintptr_t)w;

	for (;; done[0]++) {
		pthread_mutex_lock(&w->lock);
		for (int i = 0; i < 4; i++) {
			size_t p = next(&seed) % WRITER_PAGES;

			if (!holds(w->mem[p], w->page[p]))
				wrong("writer's page %zu", p);
			w->page[p] = next(&seed);
			fill(w->mem[p], w->page[p]);
		}
		pthread_mutex_unlock(&w->lock);
		rest();
	}
	return NULL;
}

/* ---- mappers ---- */

static struct mapper {
	struct area area[AREAS];
	uint64_t seed;
	bool no_guards;
} mappers[MAPPERS];

static void check_page(const struct area *a, size_t p, const char *when)
{
	if (!a->guard[p] && !holds(a->mem + p * PAGE, a->page[p]))
		wrong("page %zu of %zu at %p, kind %d, %s", p, a->pages, (void *)a->mem, a->kind, when);
}

static void check_area(const struct area *a, const char *when)
{
	for (size_t p = 0; a->mem && p < a->pages; p++)
		check_page(a, p, when);
}

static void write_page(struct mapper *m, struct area *a, size_t p)
{
	if (a->guard[p])
		return;
	a->page[p] = next(&m->seed) | 1;
	fill(a->mem + p * PAGE, a->page[p]);
}

static void *map_file(size_t *pages)
{
	int fd = open(self, O_RDONLY | O_CLOEXEC);
	void *mem;

	*pages = 4;
	mem = fd < 0 ? MAP_FAILED : mmap(NULL, *pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	if (fd >= 0)
		close(fd);
	return mem;
}

static void area_map(struct mapper *m, struct area *a)
{
	memset(a, 0, sizeof(*a));
	a->kind = (enum kind)(next(&m->seed) % KINDS);
	a->pages = a->kind == HUGE ? AREA_PAGES : 1 + next(&m->seed) % 64;
	if (a->kind == FILE_PAGES)
		a->mem = map_file(&a->pages);
	else
		a->mem = mmap(NULL, a->pages * PAGE, PROT_READ | PROT_WRITE,
			      (a->kind == SHARED ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS, -1, 0);
	if (a->mem == MAP_FAILED) {
		a->mem = NULL;
		return;
	}
	if (a->kind == HUGE)
		madvise(a->mem, a->pages * PAGE, MADV_HUGEPAGE);
	/* Of a file all pages are written, as nobody knows what they hold otherwise. */
	for (size_t p = 0; p < a->pages; p++)
		if (a->kind == FILE_PAGES || next(&m->seed) % 4)
			write_page(m, a, p);
}

static void area_unmap(struct area *a)
{
	check_area(a, "before it is unmapped");
	munmap(a->mem, a->pages * PAGE);
	a->mem = NULL;
}

static bool any_guard(const struct area *a)
{
	for (size_t p = 0; p < a->pages; p++)
		if (a->guard[p])
			return true;
	return false;
}

/* Grown, shrunk or moved. */
static void area_remap(struct mapper *m, struct area *a)
{
	size_t pages = 1 + next(&m->seed) % 96;
	bool move = next(&m->seed) % 2;
	void *mem, *to = NULL;

	if (a->kind != ANON || any_guard(a))
		return;
	if (move) {
		to = mmap(NULL, pages * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (to == MAP_FAILED)
			return;
	}
	mem = mremap(a->mem, a->pages * PAGE, pages * PAGE, MREMAP_MAYMOVE | (move ? MREMAP_FIXED : 0), to);
	if (mem == MAP_FAILED) {
		wrong("mremap: %s", strerror(errno));
		return;
	}
	a->mem = mem;
	for (size_t p = a->pages; p < pages; p++)
		a->page[p] = 0;
	a->pages = pages;
	check_area(a, "after mremap");
}

static void area_drop(struct mapper *m, struct area *a)
{
	size_t p = next(&m->seed) % a->pages, n = 1 + next(&m->seed) % (a->pages - p);

	if (a->kind != ANON && a->kind != HUGE)
		return;
	madvise(a->mem + p * PAGE, n * PAGE, MADV_DONTNEED);
	memset(a->page + p, 0, n * sizeof(*a->page));
}

/* A page that nobody may touch, and that is lost by that. */
static void area_guard(struct mapper *m, struct area *a)
{
	size_t p = next(&m->seed) % a->pages;

	if (a->kind != ANON || m->no_guards)
		return;
	if (madvise(a->mem + p * PAGE, PAGE, a->guard[p] ? MADV_GUARD_REMOVE : MADV_GUARD_INSTALL)) {
		m->no_guards = true;
		return;
	}
	a->guard[p] = !a->guard[p];
	a->page[p] = 0;
}

static void area_protect(struct mapper *m, struct area *a)
{
	size_t p = next(&m->seed) % a->pages, n = 1 + next(&m->seed) % (a->pages - p);

	mprotect(a->mem + p * PAGE, n * PAGE, PROT_NONE);
	rest();
	mprotect(a->mem + p * PAGE, n * PAGE, PROT_READ | PROT_WRITE);
}

static void *mapper(void *arg)
{
	struct mapper *m = arg;

	for (;; rest(), done[1]++) {
		struct area *a = &m->area[next(&m->seed) % AREAS];
		unsigned what = next(&m->seed) % 64;

		if (!a->mem)
			area_map(m, a);
		else if (what == 0)
			area_unmap(a);
		else if (what < 4)
			area_remap(m, a);
		else if (what < 8)
			area_drop(m, a);
		else if (what < 12)
			area_guard(m, a);
		else if (what < 14)
			area_protect(m, a);
		else if (what == 15)
			check_area(a, "now and then");
		else
			write_page(m, a, next(&m->seed) % a->pages);
	}
	return NULL;
}

/* ---- forks: children that see what their parent had, and do not change it ---- */

static uint8_t family[64][PAGE] __attribute__((aligned(PAGE)));
static key family_key;

static void child_lives(uint64_t seed)
{
	for (int i = 0; i < 8; i++) {
		for (size_t p = 0; p < 64; p++)
			if (!holds(family[p], family_key + p))
				_exit(1);
		if (i % 2) {
			size_t p = next(&seed) % 64;

			fill(family[p], ~family_key);
			fill(family[p], family_key + p);
		}
		rest();
	}
	_exit(0);
}

static void *forker(void *arg)
{
	uint64_t seed = (uintptr_t)arg;

	for (;; rest(), done[2]++) {
		pid_t child[3];
		int n = 1 + (int)(next(&seed) % 3), status;

		family_key = next(&seed) | 1;
		for (size_t p = 0; p < 64; p++)
			fill(family[p], family_key + p);
		for (int i = 0; i < n; i++)
			if (!(child[i] = fork()))
				child_lives(seed + (uint64_t)i);
		for (size_t p = 0; p < 64; p++)
			fill(family[p], ~(uint64_t)0);
		for (int i = 0; i < n; i++)
			if (child[i] > 0 && (waitpid(child[i], &status, 0) != child[i] || status))
				wrong("a child of %d ended with %#x", n, status);
	}
	return NULL;
}

/* ---- stacks ---- */

static void deeper(int left, uint64_t seed)
{
	uint64_t frame[256];

	for (size_t i = 0; i < 256; i++)
		frame[i] = mix(seed + i);
	__asm__ volatile("" : : "r"(frame) : "memory");
	if (left)
		deeper(left - 1, seed + 1000);
	else
		rest();
	for (size_t i = 0; i < 256; i++)
		if (frame[i] != mix(seed + i)) {
			wrong("a frame of the stack, %d below it", left);
			return;
		}
}

static void *stacker(void *arg)
{
	uint64_t seed = (uintptr_t)arg;

	for (;; rest(), done[3]++)
		deeper((int)(next(&seed) % DEEP), next(&seed));
	return NULL;
}

/* ---- answers ---- */

static void answer(FILE *in, FILE *out)
{
	char line[64];
	uint64_t seed = 1;

	while (fgets(line, sizeof(line), in)) {
		deeper((int)(next(&seed) % (4 * DEEP)), next(&seed)); /* the first thread's stack grows */
		if (faulty)
			fprintf(out, "wrong: %s\n", fault);
		else
			fprintf(out, "ok\n");
		fprintf(out, "# %lu writes, %lu mappings, %lu forks, %lu stacks\n", done[0], done[1], done[2], done[3]);
		fflush(out);
	}
}

static int serve(int port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&sin, sizeof(sin)) || listen(fd, 8))
		return 71;
	for (;;) {
		int conn = accept(fd, NULL, NULL), copy = dup(conn);
		FILE *in = fdopen(conn, "r"), *out = fdopen(copy, "w");

		if (in && out)
			answer(in, out);
		if (in)
			fclose(in);
		if (out)
			fclose(out);
	}
}

static void start(void *(*fn)(void *), void *arg)
{
	pthread_t t;

	if (pthread_create(&t, NULL, fn, arg))
		exit(71);
}

int main(int argc, char **argv)
{
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	self[n > 0 ? n : 0] = 0;
	signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < WRITERS; i++) {
		pthread_mutex_init(&writers[i].lock, NULL);
		start(writer, &writers[i]);
	}
	for (int i = 0; i < MAPPERS; i++) {
		mappers[i].seed = (uint64_t)i + 1;
		start(mapper, &mappers[i]);
	}
	start(forker, (void *)1);
	start(stacker, (void *)2);
	if (argc > 1)
		return serve(atoi(argv[1]));
	answer(stdin, stdout);
	return 0;
}
