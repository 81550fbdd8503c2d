/* SPDX-License-Identifier: MIT */
#include "lib/move/inject.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/clock.h"

#define STOP_MS 2000  /* for a thread to stop, which takes far less unless the processors are busy */
#define DEEP_STOP_MS 20 /* for one that was seen where nothing stops it */
#define BUSY_TRIES 50 /* of a thread that is in a section which must not be interrupted */
#define SIGNAL_TRIES 100
#define CODE_BYTES 16384 /* of the vdso */
#define RESTART_NOHAND 514 /* ERESTARTNOHAND of the kernel: begin again unless a handler runs */

struct inject {
	pid_t pid, tid;
	bool deep;    /* it was seen where nothing stops it */
	double limit; /* for its first stop */
	double stopped_at;
#ifdef __x86_64__
	struct user_regs_struct own; /* the thread's, as it goes on with them */
#endif
	uint64_t insn; /* where there is a system call instruction */
};

pid_t inject_tid(const struct inject *in)
{
	return in->tid;
}

#ifdef __x86_64__

/* The calls that Linux ends with EINTR when a thread is only stopped, and where their time limit is: argument number; 0 for
 * none, -1 for one that is set otherwise (SO_RCVTIMEO, SO_SNDTIMEO). Others that may do so, such as close, are none that can
 * be begun again. */
static const struct {
	long number;
	int limit;
} never_restarted[] = {
	{ SYS_epoll_wait, 4 }, { SYS_epoll_pwait, 4 }, { 441 /* epoll_pwait2 */, 4 }, { SYS_rt_sigtimedwait, 3 },
	{ SYS_semop, 0 }, { SYS_semtimedop, 4 }, { SYS_io_getevents, 5 }, { 333 /* io_pgetevents */, 5 },
	{ SYS_read, -1 }, { SYS_readv, -1 }, { SYS_recvfrom, -1 }, { SYS_recvmsg, -1 }, { SYS_recvmmsg, -1 },
	{ SYS_write, -1 }, { SYS_writev, -1 }, { SYS_sendto, -1 }, { SYS_sendmsg, -1 }, { SYS_sendmmsg, -1 },
	{ SYS_accept, -1 }, { SYS_accept4, -1 }, { SYS_connect, -1 },
};

static int never_restarts(long number)
{
	for (size_t i = 0; i < sizeof(never_restarted) / sizeof(*never_restarted); i++)
		if (never_restarted[i].number == number)
			return (int)i;
	return -1;
}

/* ---- which thread ---- */

#define RANK_DEEP 9
struct thread {
	pid_t tid;
	int rank; /* the lower the better; -1: none to be stopped */
};

static char state_of(pid_t pid, pid_t tid)
{
	char path[64], text[256];

	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", pid, tid);
	AUTO_FILE FILE *f = fopen(path, "re");
	size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;

	text[n] = 0;
	const char *name_end = strrchr(text, ')');
	return name_end && name_end[1] ? name_end[2] : 'X';
}

/* A thread outside of the kernel is best, one that would have its time limit begin anew next to last, one that does not stop
 * last. */
static int rank_of(pid_t pid, pid_t tid)
{
	char path[64], text[256] = "";
	unsigned long long arg[6] = { 0 };
	char state = state_of(pid, tid);
	long number = -1;

	if (state == 'Z' || state == 'X')
		return -1;
	if (state == 'D')
		return RANK_DEEP;
	snprintf(path, sizeof(path), "/proc/%d/task/%d/syscall", pid, tid);
	AUTO_FILE FILE *f = fopen(path, "re");
	if (!f || !fgets(text, sizeof(text), f) ||
	    sscanf(text, "%ld %llx %llx %llx %llx %llx %llx", &number, &arg[0], &arg[1], &arg[2], &arg[3], &arg[4],
		   &arg[5]) < 1)
		return 0;
	int i = never_restarts(number);
	if (i < 0 || never_restarted[i].limit < 0)
		return 1;
	int at = never_restarted[i].limit;
	bool milliseconds = number == SYS_epoll_wait || number == SYS_epoll_pwait;
	bool limited = at && (milliseconds ? (int)arg[at - 1] >= 0 : arg[at - 1] != 0);

	return limited ? 8 : 2;
}

static int best_thread(struct inject *in, struct err *e)
{
	struct thread best = { 0, 100 };
	char path[64];
	struct dirent *de;

	snprintf(path, sizeof(path), "/proc/%d/task", in->pid);
	DIR *d = opendir(path);
	while (d && best.rank && (de = readdir(d))) {
		pid_t tid = (pid_t)strtol(de->d_name, NULL, 10);
		int rank = tid > 0 ? rank_of(in->pid, tid) : -1;

		if (rank >= 0 && rank < best.rank)
			best = (struct thread){ tid, rank };
	}
	if (d)
		closedir(d);
	in->tid = best.tid;
	in->deep = best.rank == RANK_DEEP;
	return best.tid ? 0 : err_set(e, EX_NOINPUT, "process %d: is gone", in->pid);
}

/* ---- stopping it ---- */

static int gone_or(const struct inject *in, const char *what, struct err *e)
{
	if (errno == ESRCH || errno == ECHILD)
		return err_set(e, EX_NOINPUT, "process %d: is gone", in->pid);
	return err_sys(e, "process %d: %s", in->pid, what);
}

/* What it stopped for: the signal, and in the bits above it the event. */
enum { STOP_EVENT = SIGTRAP | PTRACE_EVENT_STOP << 8, STOP_CALL = SIGTRAP | 0x80 };

static bool is_event(int stop)
{
	return stop >> 8 == PTRACE_EVENT_STOP; /* for the interrupt, or as the process is stopped by a signal */
}

/* The next stop. The first one is waited for with a limit: the thread may be where nothing stops it. */
static int next_stop(struct inject *in, bool first, int *stop, struct err *e)
{
	const struct timespec moment = { 0, 20000 };
	int status;

	for (;;) {
		pid_t got = waitpid(in->tid, &status, __WALL | (first ? WNOHANG : 0));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return gone_or(in, "waiting for it", e);
		if (got)
			break;
		if (clock_ms() > in->limit)
			return err_set(e, EX_TEMPFAIL, "process %d: does not stop", in->pid);
		nanosleep(&moment, NULL);
	}
	if (!WIFSTOPPED(status))
		return err_set(e, EX_NOINPUT, "process %d: is gone", in->pid);
	*stop = status >> 8;
	return 0;
}

static int get_own(struct inject *in, struct err *e)
{
	if (ptrace(PTRACE_GETREGS, in->tid, NULL, &in->own))
		return gone_or(in, "its registers", e);
	if (in->own.cs != 0x33)
		return err_set(e, EX_UNAVAILABLE, "process %d: runs 32-bit code", in->pid);
	/* Nobody but us has ended it so: what the kernel does for other calls. If a handler runs, it ends with EINTR. */
	if ((long)in->own.rax == -EINTR && never_restarts((long)in->own.orig_rax) >= 0)
		in->own.rax = (unsigned long long)-RESTART_NOHAND;
	return 0;
}

static int put_own(struct inject *in, struct err *e)
{
	return ptrace(PTRACE_SETREGS, in->tid, NULL, &in->own) ? gone_or(in, "its registers", e) : 0;
}

/* From any stop, with its own registers, to the one at which the kernel has not yet looked at them. A signal on the way is
 * delivered as it would have been. */
static int to_rest(struct inject *in, int signal_now, bool first, struct err *e)
{
	int stop = 0;

	if (!first && (ptrace(PTRACE_INTERRUPT, in->tid, NULL, NULL) || ptrace(PTRACE_CONT, in->tid, NULL, signal_now)))
		return gone_or(in, "going on", e);
	for (int i = 0; i < SIGNAL_TRIES; i++) {
		if (next_stop(in, first, &stop, e))
			return -1;
		if (!in->stopped_at)
			in->stopped_at = clock_ms();
		if (is_event(stop))
			return 0;
		first = false;
		if (ptrace(PTRACE_CONT, in->tid, NULL, stop & 0x7f))
			return gone_or(in, "going on", e);
	}
	return err_set(e, EX_TEMPFAIL, "process %d: gets too many signals", in->pid);
}

/* In a restartable sequence (rseq(2)) a thread must not be led astray: the kernel would forget to begin it again. */
static bool in_sequence(struct inject *in)
{
	struct { /* struct rseq, then struct rseq_cs, of linux/rseq.h */
		uint32_t cpu_start, cpu;
		uint64_t cs;
	} area;
	struct {
		uint32_t version, flags;
		uint64_t start, length, abort;
	} cs;
	struct __ptrace_rseq_configuration c = { 0 };
	struct iovec here = { &area, sizeof(area) }, there;

	if (ptrace(PTRACE_GET_RSEQ_CONFIGURATION, in->tid, sizeof(c), &c) <= 0 || !c.rseq_abi_pointer)
		return false;
	there = (struct iovec){ (void *)(uintptr_t)c.rseq_abi_pointer, sizeof(area) };
	if (process_vm_readv(in->tid, &here, 1, &there, 1, 0) != sizeof(area) || !area.cs)
		return false;
	here = (struct iovec){ &cs, sizeof(cs) };
	there = (struct iovec){ (void *)(uintptr_t)area.cs, sizeof(cs) };
	return process_vm_readv(in->tid, &here, 1, &there, 1, 0) == sizeof(cs) && in->own.rip - cs.start < cs.length;
}

/* Where the process has a system call instruction: in the kernel's own code there. */
static int find_insn(struct inject *in, struct err *e)
{
	static const uint8_t call[] = { 0x0f, 0x05 };
	uint8_t code[CODE_BYTES];
	char path[64], line[512];
	uint64_t start, end;

	in->insn = 0;
	snprintf(path, sizeof(path), "/proc/%d/task/%d/maps", in->pid, in->tid);
	AUTO_FILE FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (!strstr(line, "[vdso]") || sscanf(line, "%" SCNx64 "-%" SCNx64, &start, &end) != 2)
			continue;
		size_t n = end - start < sizeof(code) ? end - start : sizeof(code);
		struct iovec here = { code, n }, there = { (void *)(uintptr_t)start, n };
		const uint8_t *at = process_vm_readv(in->tid, &here, 1, &there, 1, 0) == (ssize_t)n ?
					    memmem(code, n, call, sizeof(call)) : NULL;

		in->insn = at ? start + (uint64_t)(at - code) : 0;
	}
	return in->insn ? 0 : err_set(e, EX_UNAVAILABLE, "process %d: has no vdso", in->pid);
}

/* ---- calls ---- */

static int start_call(struct inject *in, long number, const long arg[3], struct err *e)
{
	struct user_regs_struct regs = in->own;

	/* No stack and no pointer: see the header. */
	regs.rbx = regs.rbp = regs.rsp = regs.rcx = 0;
	regs.r8 = regs.r9 = regs.r10 = regs.r11 = regs.r12 = regs.r13 = regs.r14 = regs.r15 = 0;
	regs.rdi = (unsigned long long)arg[0];
	regs.rsi = (unsigned long long)arg[1];
	regs.rdx = (unsigned long long)arg[2];
	regs.rax = (unsigned long long)number;
	regs.orig_rax = (unsigned long long)-1; /* nothing for the kernel to begin again */
	regs.rip = in->insn;
	if (ptrace(PTRACE_SETREGS, in->tid, NULL, &regs) || ptrace(PTRACE_SYSCALL, in->tid, NULL, NULL))
		return gone_or(in, "a call in it", e);
	return 0;
}

int inject_call(struct inject *in, long number, const long arg[3], long *result, struct err *e)
{
	struct user_regs_struct regs;
	int stop;

	for (int i = 0; i < SIGNAL_TRIES; i++) {
		if (start_call(in, number, arg, e) || next_stop(in, false, &stop, e))
			return -1;
		if (stop == STOP_CALL) {
			if (ptrace(PTRACE_SYSCALL, in->tid, NULL, NULL))
				return gone_or(in, "a call in it", e);
			if (next_stop(in, false, &stop, e))
				return -1;
			if (ptrace(PTRACE_GETREGS, in->tid, NULL, &regs))
				return gone_or(in, "its registers", e);
			*result = (long)regs.rax;
			/* Back to where the kernel begins again what was interrupted. */
			return to_rest(in, 0, false, e) || put_own(in, e) ? -1 : 0;
		}
		/* A signal came first: it is to find the thread as it was. */
		if (put_own(in, e) || to_rest(in, is_event(stop) ? 0 : stop & 0x7f, false, e) || get_own(in, e))
			return -1;
	}
	return err_set(e, EX_TEMPFAIL, "process %d: gets too many signals", in->pid);
}

/* ---- all of it, in a thread of its own: a process that does not stop is let go when that thread ends ---- */

struct run {
	struct inject in;
	int (*fn)(struct inject *in, void *ctx, struct err *e);
	void *ctx;
	double paused_ms;
	int rc;
	struct err *e;
};

/* A thread that dispatches its system calls itself (prctl(2), PR_SET_SYSCALL_USER_DISPATCH) would get ours. */
static bool dispatches(const struct inject *in)
{
	struct {
		uint64_t mode, selector, offset, length;
	} c = { 0 };

	return !ptrace(0x4211 /* PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG */, in->tid, sizeof(c), &c) && c.mode;
}

static int hold(struct inject *in, struct err *e)
{
	if (ptrace(PTRACE_SEIZE, in->tid, NULL, PTRACE_O_TRACESYSGOOD)) {
		if (errno != EPERM)
			return gone_or(in, "cannot trace it", e);
		return err_set(e, EX_UNAVAILABLE, "process %d: is traced by another one, or may not be", in->pid);
	}
	in->limit = clock_ms() + (in->deep ? DEEP_STOP_MS : STOP_MS);
	if (ptrace(PTRACE_INTERRUPT, in->tid, NULL, NULL))
		return gone_or(in, "cannot stop it", e);
	return to_rest(in, 0, true, e) || get_own(in, e);
}

static int let_go(struct inject *in, struct err *e)
{
	return ptrace(PTRACE_DETACH, in->tid, NULL, NULL) ? gone_or(in, "cannot let it go", e) : 0;
}

static int run_once(struct run *r, bool *again)
{
	struct inject *in = &r->in;

	in->stopped_at = 0;
	if (best_thread(in, r->e) || find_insn(in, r->e) || hold(in, r->e))
		return -1;
	*again = in_sequence(in);
	int rc = *again	       ? 0 :
		 dispatches(in) ? err_set(r->e, EX_UNAVAILABLE, "process %d: dispatches its system calls itself", in->pid) :
				  r->fn(in, r->ctx, r->e);
	/* Also what was done to a result of EINTR is to be undone by nobody. */
	if (put_own(in, rc ? NULL : r->e) || let_go(in, rc ? NULL : r->e))
		rc = -1;
	r->paused_ms = clock_ms() - in->stopped_at;
	return rc;
}

static void *run_thread(void *arg)
{
	struct run *r = arg;
	bool again = false;

	/* Every wait of ours is a wait of the process. */
	if (sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){ 1 }))
		setpriority(PRIO_PROCESS, (id_t)gettid(), -20);

	for (int i = 0; !r->rc && (!i || again); i++) {
		r->rc = i < BUSY_TRIES ? run_once(r, &again) : -1;
		if (i == BUSY_TRIES)
			err_set(r->e, EX_TEMPFAIL, "process %d: is in a restartable sequence", r->in.pid);
	}
	return NULL;
}

int inject_run(pid_t pid, int (*fn)(struct inject *in, void *ctx, struct err *e), void *ctx, double *paused_ms,
	       struct err *e)
{
	struct run r = { .in = { .pid = pid }, .fn = fn, .ctx = ctx, .e = e };
	pthread_t t;

	if (pthread_create(&t, NULL, run_thread, &r))
		return err_set(e, EX_OSERR, "cannot start a thread");
	pthread_join(t, NULL);
	if (paused_ms)
		*paused_ms = r.paused_ms;
	return r.rc;
}

#else

int inject_call(struct inject *in, long number, const long arg[3], long *result, struct err *e)
{
	(void)number, (void)arg, (void)result;
	return err_set(e, EX_UNAVAILABLE, "process %d: not on this machine's architecture", in->pid);
}

int inject_run(pid_t pid, int (*fn)(struct inject *in, void *ctx, struct err *e), void *ctx, double *paused_ms,
	       struct err *e)
{
	(void)fn, (void)ctx;
	*paused_ms = 0;
	return err_set(e, EX_UNAVAILABLE, "process %d: system calls cannot be made in it on this architecture", pid);
}

#endif
