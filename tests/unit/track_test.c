/* SPDX-License-Identifier: MIT */
/* The pages that processes write, as they are found from outside. What was read in one round is what a process has as long as no
 * later round names it: so a copy that is kept up to date by rounds alone must be the memory itself in the end. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/move/image.h"
#include "lib/move/track.h"
#include "tests/unit/tap.h"

#define PAGE 4096
#define SLOTS (1u << 20)
#define ROUNDS 30

static struct err e;

/* ---- a process that does what it is told, one letter at a time ---- */

static struct child {
	pid_t pid;
	int to, from;
} one;

static char *area, *other;
static char file_name[] = "/tmp/track_test.XXXXXX";

static void obey(char what)
{
	static pid_t grandchild;
	static char *grown;

	if (what == 'G' && !grown)
		abort();
	switch (what) {
	case 'w': memset(area + 3 * PAGE, 'w', PAGE); break;
	case 'r': (void)*(volatile char *)(area + 5 * PAGE); break;
	case 'd': madvise(area + 8 * PAGE, 4 * PAGE, MADV_DONTNEED); break;
	case 'm': mremap(area + 32 * PAGE, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, other); break;
	case 'n':
		grown = mmap(other + 64 * PAGE, 2 * PAGE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		memset(grown, 'n', 2 * PAGE);
		munmap(grown + 2 * PAGE, 8 * PAGE);
		break;
	case 'g': grown = mremap(grown, 2 * PAGE, 5 * PAGE, 0); break;
	case 'G': memset(grown + 3 * PAGE, 'G', PAGE); break;
	case 'f':
		grandchild = fork();
		if (!grandchild)
			for (;;)
				pause();
		break;
	case 'F':
		kill(grandchild, SIGKILL);
		waitpid(grandchild, NULL, 0);
		break;
	case 'u': syscall(SYS_userfaultfd, O_CLOEXEC | 1); break;
	case 'o': open(file_name, O_RDWR | O_DIRECT); break;
	case 's':
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER,
		      &(struct sock_fprog){ 1, &(struct sock_filter){ BPF_RET, 0, 0, SECCOMP_RET_ALLOW } });
		break;
	default: break;
	}
}

static void child_start(struct child *c)
{
	int to[2], from[2];

	if (pipe2(to, O_CLOEXEC) || pipe2(from, O_CLOEXEC))
		abort();
	fflush(stdout);
	c->pid = fork();
	if (!c->pid) {
		char what;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		area = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		other = mmap(NULL, 256 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		memset(area, 'a', 64 * PAGE);
		while (write(from[1], &area, sizeof(area)) && write(from[1], &other, sizeof(other)) && read(to[0], &what, 1) == 1)
			obey(what);
		_exit(0);
	}
	close(to[0]);
	close(from[1]);
	c->to = to[1];
	c->from = from[0];
	(void)!read(c->from, &area, sizeof(area));
	(void)!read(c->from, &other, sizeof(other));
}

static void tell(struct child *c, char what)
{
	char *skip;

	(void)!write(c->to, &what, 1);
	if (read(c->from, &skip, sizeof(skip)) != sizeof(skip) || read(c->from, &skip, sizeof(skip)) != sizeof(skip))
		abort();
}

static void child_end(struct child *c)
{
	kill(c->pid, SIGKILL);
	waitpid(c->pid, NULL, 0);
	close(c->to);
	close(c->from);
}

static bool named(const struct page_runs *r, pid_t pid, const char *where)
{
	uint64_t v = (uintptr_t)where;

	for (size_t i = 0; i < r->n; i++)
		if (r->run[i].pid == pid && v >= r->run[i].vaddr && v < r->run[i].vaddr + (uint64_t)r->run[i].pages * PAGE)
			return true;
	return false;
}

/* How many of these pages. */
static int count_named(const struct page_runs *r, const char *from, int pages)
{
	int n = 0;

	for (int i = 0; i < pages; i++)
		n += named(r, one.pid, from + (size_t)i * PAGE);
	return n;
}

static void look(struct track *t, struct page_runs *r)
{
	if (track_round(t, &one.pid, 1, r, &e))
		printf("# %s\n", e.text);
}

static bool holds_uffd(pid_t pid)
{
	char path[64], link[64];
	bool found = false;

	for (int fd = 0; fd < 32; fd++) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
		ssize_t n = readlink(path, link, sizeof(link) - 1);

		link[n > 0 ? n : 0] = 0;
		found |= strstr(link, "userfaultfd") != NULL;
	}
	return found;
}

static void test_rounds(void)
{
	struct page_runs r = { 0 };
	struct track *t;

	child_start(&one);
	track_new(&t, &e);
	look(t, &r);
	struct track_stats s = track_stats(t);
	is_str(s.reason, NULL, "a process can be tracked");
	is_int(s.tracked, 1, "... and is");
	ok(!holds_uffd(one.pid), "... and holds no descriptor for that");
	printf("# it stood still for %.3f ms\n", s.longest_ms);
	is_int(count_named(&r, area, 64), 64, "the first round names all its pages");
	look(t, &r);
	is_int(count_named(&r, area, 64), 0, "the next one none of those that it did not write");
	tell(&one, 'r');
	look(t, &r);
	is_int(count_named(&r, area, 64), 0, "... nor that it has read");
	tell(&one, 'w');
	look(t, &r);
	is_int(count_named(&r, area, 64), 1, "... but one that it has written");
	ok(named(&r, one.pid, area + 3 * PAGE), "... which it is");
	tell(&one, 'd');
	look(t, &r);
	is_int(count_named(&r, area, 64), 0, "pages that it gave up are none");
	tell(&one, 'm');
	look(t, &r);
	is_int(count_named(&r, other, 4), 4, "pages that were moved are named where they are now");
	tell(&one, 'n');
	look(t, &r);
	is_int(count_named(&r, other + 64 * PAGE, 2), 2, "and those of a new mapping");
	look(t, &r);
	is_int(count_named(&r, other, 128), 0, "... once");
	tell(&one, 'g');
	tell(&one, 'G');
	look(t, &r);
	is_int(count_named(&r, other + 64 * PAGE, 5), 1, "a mapping that has grown: the page that was written");
	tell(&one, 'w');
	kill(one.pid, SIGSTOP);
	is_int(track_last_round(t, &one.pid, 1, NULL, &r, &e), 0, "the last round, while it stands still");
	is_int(count_named(&r, area, 64), 1, "... names what was written");
	kill(one.pid, SIGCONT);
	track_free(t, false);
	tell(&one, 'w');
	track_new(&t, &e);
	look(t, &r);
	is_int(count_named(&r, area, 64), 64 - 4 - 4, "tracked anew, all that it has now");
	look(t, &r);
	is_int(count_named(&r, area, 64), 0, "... once");
	track_free(t, false);
	page_runs_clear(&r);
	child_end(&one);
}

static void refused(char what, const char *why, const char *title)
{
	struct page_runs r = { 0 };
	struct track *t;

	child_start(&one);
	tell(&one, what);
	track_new(&t, &e);
	look(t, &r);
	struct track_stats s = track_stats(t);
	ok(!s.tracked && s.reason && strstr(s.reason, why), title);
	if (!s.reason || !strstr(s.reason, why))
		printf("# %s\n", s.reason ? s.reason : "tracked");
	is_int(count_named(&r, area, 64), 64, "... all its pages are named");
	look(t, &r);
	is_int(count_named(&r, area, 64), 64, "... in each round");
	track_free(t, false);
	page_runs_clear(&r);
	child_end(&one);
}

static void test_changes(void)
{
	struct page_runs r = { 0 };
	struct track *t;

	child_start(&one);
	track_new(&t, &e);
	look(t, &r);
	tell(&one, 'o');
	look(t, &r);
	is_int(count_named(&r, area, 64), 64, "one that opens a file with O_DIRECT meanwhile is not tracked any more");
	track_free(t, false);
	page_runs_clear(&r);
	child_end(&one);
}

/* ---- a copy that is kept by rounds ---- */

static struct slot {
	uint64_t object, addr; /* addr 0: free */
	uint8_t *page;
} *slots;

static struct slot *slot_of(uint64_t object, uint64_t addr)
{
	uint64_t h = (object * 0x9e3779b97f4a7c15ULL ^ addr >> 12) * 0xbf58476d1ce4e5b9ULL >> 40;

	for (;; h++) {
		struct slot *s = &slots[h % SLOTS];

		if (!s->addr || (s->object == object && s->addr == addr))
			return s;
	}
}

static void copy_page(uint64_t object, uint64_t addr, const uint8_t *page)
{
	struct slot *s = slot_of(object, addr);

	if (!s->page && !(s->page = malloc(PAGE)))
		abort();
	s->object = object;
	s->addr = addr;
	memcpy(s->page, page, PAGE);
}

/* What is unreadable is passed over, as it is gone again. */
static void copy_runs(const struct page_runs *r)
{
	static uint8_t buf[RUN_PAGES * PAGE];

	for (size_t i = 0; i < r->n; i++) {
		struct page_run run = r->run[i];

		while (run.pages) {
			size_t n = memory_read(&run, buf), skip = n < run.pages ? n + 1 : n;

			for (size_t p = 0; p < n; p++)
				copy_page(run.object, run.addr + p * PAGE, buf + p * PAGE);
			run.addr += skip * PAGE;
			run.vaddr += skip * PAGE;
			run.pages -= (uint32_t)skip;
		}
	}
}

/* Pages of the memory as it is that the copy does not have, or otherwise. */
static int differences(const pid_t *pids, size_t n, uint64_t *pages)
{
	static uint8_t buf[RUN_PAGES * PAGE];
	struct page_runs r = { 0 };
	int bad = 0;

	memory_runs(pids, n, &r, &e);
	*pages = r.pages;
	for (size_t i = 0; i < r.n; i++) {
		size_t got = memory_read(&r.run[i], buf);

		for (size_t p = 0; p < got; p++) {
			const struct slot *s = slot_of(r.run[i].object, r.run[i].addr + p * PAGE);

			if (s->page && !memcmp(s->page, buf + p * PAGE, PAGE))
				continue;
			if (!bad++)
				printf("# process %d: page at %#llx %s\n", r.run[i].pid, (unsigned long long)r.run[i].vaddr + p * PAGE,
				       s->page ? "differs" : "is missing");
		}
		bad += (int)(r.run[i].pages - got);
	}
	page_runs_clear(&r);
	return bad;
}

static int children_of(pid_t pid, pid_t *pids, int n, int most)
{
	char path[320];
	struct dirent *de;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	DIR *d = opendir(path);
	while (d && (de = readdir(d))) {
		snprintf(path, sizeof(path), "/proc/%d/task/%s/children", pid, de->d_name);
		FILE *f = fopen(path, "re");
		while (f && n < most && fscanf(f, "%d", &pids[n]) == 1)
			n++;
		if (f)
			fclose(f);
	}
	if (d)
		closedir(d);
	return n;
}

static int tree_of(pid_t root, pid_t *pids, int most)
{
	int n = 1;

	pids[0] = root;
	for (int i = 0; i < n; i++)
		n = children_of(pids[i], pids, n, most);
	return n;
}

static void signal_all(const pid_t *pids, int n, int number)
{
	for (int i = 0; i < n; i++)
		kill(pids[i], number);
}

/* Each of its threads: one may still be in the middle of a change of its memory, and end that first. */
static bool has_stopped(pid_t pid)
{
	char path[320], state = 'T';
	struct dirent *de;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	DIR *d = opendir(path);
	while (d && strchr("TZX", state) && (de = readdir(d))) {
		if (de->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%s/stat", pid, de->d_name);
		FILE *f = fopen(path, "re");
		if (f) {
			if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
				state = 'X'; /* gone meanwhile */
			fclose(f);
		}
	}
	if (d)
		closedir(d);
	return strchr("TZX", state);
}

/* All of a tree that forks: again until nobody new is there. */
static int stop_tree(pid_t root, pid_t *pids, int most)
{
	int n = 0, before;

	do {
		before = n;
		n = tree_of(root, pids, most);
		signal_all(pids, n, SIGSTOP);
		for (int i = 0; i < n; i++)
			for (int k = 0; k < 5000 && !has_stopped(pids[i]); k++)
				usleep(1000);
	} while (n != before);
	return n;
}

static void test_torture(const char *program)
{
	pid_t pids[128], pid;
	int to[2], from[2], n;
	struct page_runs r = { 0 };
	struct track *t;
	uint64_t pages, looked = 0;
	char line[256] = "";

	if (pipe2(to, O_CLOEXEC) || pipe2(from, O_CLOEXEC))
		abort();
	fflush(stdout);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(to[0], 0);
		dup2(from[1], 1);
		execl(program, "torture", (char *)NULL);
		_exit(127);
	}
	close(to[0]);
	close(from[1]);
	slots = calloc(SLOTS, sizeof(*slots));
	usleep(300000);
	track_new(&t, &e);
	for (int i = 0; i < ROUNDS; i++) {
		n = tree_of(pid, pids, 128);
		if (track_round(t, pids, (size_t)n, &r, &e))
			printf("# %s\n", e.text);
		looked += r.pages;
		copy_runs(&r);
		usleep(10000);
	}
	n = stop_tree(pid, pids, 128);
	is_int(track_last_round(t, pids, (size_t)n, NULL, &r, &e), 0, "the last of many rounds over a tree that does all it can");
	copy_runs(&r);
	is_int(differences(pids, (size_t)n, &pages), 0, "... and the copy is its memory");
	struct track_stats s = track_stats(t);
	printf("# %d processes, %u tracked, longest stop %.3f ms; %llu pages, %llu named in %d rounds, %llu in the last one%s%s\n", n,
	       s.tracked, s.longest_ms, (unsigned long long)pages, (unsigned long long)looked, ROUNDS, (unsigned long long)r.pages,
	       s.reason ? "; " : "", s.reason ? s.reason : "");
	signal_all(pids, n, SIGCONT);
	(void)!write(to[1], "?\n", 2);
	FILE *f = fdopen(from[0], "r");
	is_str(fgets(line, sizeof(line), f), "ok\n", "... and it did not notice");
	printf("%s", fgets(line, sizeof(line), f));
	track_free(t, false);
	(void)!write(to[1], "?\n", 2);
	is_str(fgets(line, sizeof(line), f), "ok\n", "... nor that it is not tracked any more");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	signal_all(pids + 1, n - 1, SIGKILL);
	fclose(f);
	close(to[1]);
	page_runs_clear(&r);
}

#define LARGE (320ULL << 20)
#define APART (10ULL << 20)

__attribute__((noreturn)) static void be_large(int in, int out)
{
	char *p = mmap(NULL, LARGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0), what;

	madvise(p, LARGE, MADV_NOHUGEPAGE);
	while (read(in, &what, 1) == 1) {
		for (uint64_t at = what == 'a' ? 0 : 2 * APART; at < LARGE; at += what == 'a' ? APART : 5 * APART)
			p[at + PAGE] = what;
		if (write(out, &p, sizeof(p)) != sizeof(p))
			break;
	}
	_exit(0);
}

/* One that several threads look at when it stands still. */
static void test_large(void)
{
	struct page_runs r = { 0 };
	struct criu_pages there = { 0 };
	struct track *t;
	int in[2], out[2];
	char *p = NULL;

	if (pipe(in) || pipe(out))
		abort();
	pid_t pid = fork();
	if (!pid)
		be_large(in[0], out[1]);
	track_new(&t, &e);
	for (const char *what = "ab"; *what; what++) {
		if (write(in[1], what, 1) != 1 || read(out[0], &p, sizeof(p)) != sizeof(p))
			abort();
		if (*what == 'a')
			track_round(t, &pid, 1, &r, &e);
	}
	kill(pid, SIGSTOP);
	waitpid(pid, NULL, WUNTRACED);
	criu_pages_expect(&there);
	is_int(track_last_round(t, &pid, 1, &there, &r, &e), 0, "the last round of one with a large mapping");
	criu_pages_known(&there);
	int written = 0, others = 0;
	for (size_t i = 0; i < r.n; i++)
		for (uint32_t k = 0; k < r.run[i].pages; k++) {
			uint64_t at = r.run[i].vaddr + k * PAGE - (uintptr_t)p - PAGE;

			if (at < LARGE) {
				written += at >= 2 * APART && (at - 2 * APART) % (5 * APART) == 0;
				others += !(at >= 2 * APART && (at - 2 * APART) % (5 * APART) == 0);
			}
		}
	is_int(written, 6, "... names each page that was written");
	is_int(others, 0, "... and no other");
	criu_pages_clear(&there);
	track_free(t, false);
	page_runs_clear(&r);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

int main(int argc, char **argv)
{
	char program[4096], *slash;
	int fd = mkostemp(file_name, O_CLOEXEC);

	(void)argc;
	snprintf(program, sizeof(program), "%s", argv[0]);
	slash = strrchr(program, '/');
	snprintf(slash ? slash : program, 64, "%s", "/../tools/torture");
	if (access(program, X_OK) && getenv("TORTURE"))
		snprintf(program, sizeof(program), "%s", getenv("TORTURE"));
	close(fd);
	if (geteuid()) {
		printf("1..0 # skip userfaultfd and other processes' memory need root\n");
		return 0;
	}
	test_rounds();
	refused('u', "uses userfaultfd itself", "a process that uses userfaultfd is refused");
	refused('s', "seccomp", "... and one that filters its system calls");
	refused('o', "O_DIRECT", "... and one whose reads may come past its page tables");
	test_changes();
	test_torture(program);
	unlink(file_name);
	test_large();
	return done();
}
