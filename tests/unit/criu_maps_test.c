/* SPDX-License-Identifier: MIT */
/* A process in criu's place reads the mappings of another one: it gets them as they are, with the flags of now, or of a while ago. */
#include "lib/engine/criu_calls.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/engine/vma_flags.h"
#include "tests/unit/criu_lab.h"
#include "tests/unit/tap.h"

#define BASE ((char *)0x200000000000)
#define BYTES (64 * 4096ul)

static struct err e;

/* Stands still, changes something each time that it goes on, and stands still again. */
__attribute__((noreturn)) static void be_read(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (mmap(BASE, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != BASE ||
	    madvise(BASE, BYTES, MADV_DONTDUMP))
		_exit(1);
	raise(SIGSTOP);
	munmap(BASE + BYTES / 2, BYTES / 2);
	raise(SIGSTOP);
	madvise(BASE, BYTES / 2, MADV_DONTFORK);
	raise(SIGSTOP);
	if (mmap(BASE + BYTES, BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != BASE + BYTES)
		_exit(1);
	raise(SIGSTOP);
	madvise(BASE + BYTES, BYTES, MADV_DONTFORK);
	raise(SIGSTOP);
	/* As another one has been all the time. */
	madvise(BASE + BYTES, BYTES, MADV_DOFORK);
	mprotect(BASE + BYTES, BYTES, PROT_READ | PROT_WRITE);
	madvise(BASE + BYTES, BYTES, MADV_DONTFORK);
	madvise(BASE + BYTES, BYTES, MADV_DONTDUMP);
	raise(SIGSTOP);
	_exit(0);
}

static void go_on(pid_t pid)
{
	kill(pid, SIGCONT);
	waitpid(pid, NULL, WUNTRACED);
}

static char said[65536];

__attribute__((noreturn)) static void read_there(int sock, pid_t about)
{
	char path[64];
	ssize_t n, all = 0;

	if (criu_calls_install(sock, false))
		_exit(1);
	snprintf(path, sizeof(path), "/proc/%d", (int)about);
	int dir = open(path, O_RDONLY | O_DIRECTORY), fd = openat(dir, "smaps", O_RDONLY);

	while ((n = read(fd, said + all, sizeof(said) - (size_t)all)) > 0)
		all += n;
	send(sock, said, (size_t)all, 0);
	_exit(fd < 0);
}

static bool heard(int sock)
{
	ssize_t n = recv(sock, said, sizeof(said) - 1, 0);

	said[n > 0 ? n : 0] = 0;
	return false;
}

/* What it read, into `said`. */
static int read_by_criu(pid_t about, struct criu_maps *maps)
{
	return as_criu(read_there, about, NULL, maps, heard);
}

static int count(const char *word)
{
	int n = 0;

	for (const char *p = said; (p = strstr(p, word)); p++)
		n++;
	return n;
}

static void read_again(struct criu_maps *maps, pid_t pid, bool ask_kernel)
{
	is_int(criu_maps_read(maps, &pid, 1, 0, &e), 0, "mappings are read");
	if (!ask_kernel) {
		vma_flags_close(maps->kernel);
		maps->kernel = NULL;
	}
}

/* Since 6.1, where it describes its own structures. */
static bool kernel_tells(void)
{
	struct utsname u;

	return !uname(&u) && strverscmp(u.release, "6.1") >= 0 && !access("/sys/kernel/btf/vmlinux", R_OK);
}

/* The kernel tells the flags of that moment. */
static void test_kernel(pid_t pid)
{
	struct criu_maps maps = { 0 };

	read_again(&maps, pid, true);
	if (!maps.kernel && !kernel_tells()) {
		skip("flags from the kernel", "kernel: no BPF iterator over the mappings of one process");
		return;
	}
	ok(maps.kernel != NULL, "the kernel is asked");
	is_int(read_by_criu(pid, &maps), 0, "with the kernel's own word, criu gets them");
	ok(!count("Rss:") && count("VmFlags:") > 5, "... without a count of pages");
	is_int(count("200000000000-200000020000 rw-p 00000000 00:00 0 \nVmFlags: dc dd\n"), 1, "... with their flags");
	ok(maps.of[0].sure && !criu_maps_verify(&maps, &e), "... of which there is nothing to verify");

	read_again(&maps, pid, true);
	go_on(pid);
	read_by_criu(pid, &maps);
	ok(!maps.of[0].sure && criu_maps_verify(&maps, &e), "flags that no mapping had before are not guessed");

	read_again(&maps, pid, true);
	go_on(pid);
	is_int(read_by_criu(pid, &maps), 0, "flags that another one had");
	ok(!count("Rss:"), "... are known");
	is_int(count("200000040000-200000080000 rw-p 00000000 00:00 0 \nVmFlags: dc dd\n"), 1, "... and told");
	ok(maps.of[0].sure && !criu_maps_verify(&maps, &e), "... for sure");
	criu_maps_clear(&maps);
}

int main(void)
{
	struct criu_maps maps = { 0 };
	pid_t pid = fork();

	if (!pid)
		be_read();
	waitpid(pid, NULL, WUNTRACED);
	is_int(criu_maps_read(&maps, &pid, 1, 1ul << 40, &e), 0, "a small process");
	is_int(read_by_criu(pid, &maps), 0, "... is left to the kernel");
	ok(count("Rss:") > 5 && !criu_maps_verify(&maps, &e), "... which counts its pages");

	read_again(&maps, pid, false);
	is_int(read_by_criu(pid, &maps), 0, "... criu gets them");
	ok(!count("Rss:") && count("VmFlags:") > 5, "... without a count of pages");
	is_int(count("200000000000-200000040000 rw-p 00000000 00:00 0 \nVmFlags: dd\n"), 1, "... with their flags");
	is_int(criu_maps_verify(&maps, &e), 0, "... and they are right");

	read_again(&maps, pid, false);
	go_on(pid);
	read_by_criu(pid, &maps);
	is_int(count("200000000000-200000020000 rw-p 00000000 00:00 0 \nVmFlags: dd\n"), 1, "one that became smaller is known as it is");
	is_int(criu_maps_verify(&maps, &e), 0, "... and is right");

	read_again(&maps, pid, false);
	go_on(pid);
	read_by_criu(pid, &maps);
	ok(!count("Rss:"), "a flag that changes meanwhile");
	is_int(criu_maps_verify(&maps, &e), -1, "... is found");
	ok(e.code == EX_TEMPFAIL && strstr(e.text, ": has changed its mappings in the moment before it was frozen"), "... and said");

	read_again(&maps, pid, false);
	go_on(pid);
	is_int(read_by_criu(pid, &maps), 0, "a mapping that is new");
	ok(count("Rss:") > 5, "... leaves all to the kernel");
	is_int(criu_maps_verify(&maps, &e), 0, "... where there is nothing to be wrong");
	criu_maps_clear(&maps);
	test_kernel(pid);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return done();
}
