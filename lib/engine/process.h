/* SPDX-License-Identifier: MIT */
/* The keeper's inner side: what runs in the keeper and in its children. */
#ifndef EDGE_ENGINE_PROCESS_H
#define EDGE_ENGINE_PROCESS_H

#include "lib/engine/keeper.h"

/* The service's overlay and volumes, in the calling process's mount namespace. */
int root_mount(const struct service *s, struct err *e);

/* Clones the first process of the service into new PID, mount, IPC and UTS namespaces, in the network namespace
 * `netns` and its cgroups, and runs s->argv below service_dir "root" with its output to `log`. Returns when exec has
 * succeeded or failed. */
int process_spawn(const struct service *s, int netns, int log, pid_t *pid, struct err *e);

/* The keeper itself; does not return. `home` is the mount namespace that it came from. */
struct keeper_side {
	const struct service *s;
	const struct keeper_orders *orders; /* or NULL */
	int ctl, log_r, log_w;
};
void keeper_main(const struct keeper_side *side) __attribute__((noreturn));

/* The keeper's end of the conversation: one message each way, descriptors beside. */
enum keeper_verb { KEEPER_MOUNT = 1, KEEPER_START, KEEPER_EXEC, KEEPER_WAIT, KEEPER_RELEASE, KEEPER_CANCEL, KEEPER_PAGES, KEEPER_SERVED };

#define KEEPER_WORDS 32768

struct keeper_ask {
	int verb;
	pid_t pid;                /* wait, release */
	int n_words;              /* exec: argv */
	int n_fds;                /* exec: descriptors beside: fd3 and its other end, or none */
	bool has_errlog;          /* exec */
	char words[KEEPER_WORDS]; /* exec: errlog when there is one, then argv, each with its NUL */
};

struct keeper_answer {
	int rc;        /* 0 or -1 */
	pid_t pid;     /* start, exec */
	int status;    /* wait: as waitpid gives it */
	struct err e;
};

/* Between fork and exec. Makes fds[0..n-1] the descriptors 0..n-1, the last one close-on-exec, and closes all others. */
int child_fds(const int *fds, int n);
/* "WHAT: NAME" over the argument strings that the kernel shows to ps, not longer than they were. */
void child_title(const char *what, const char *name);
/* A criu that lies outside PATH must be found by runc, too. */
void child_path(void);
/* Handling and mask of all signals as a new program expects them. */
void child_signals(void);
/* A pipe on which a child tells why it could not exec; the reading end at the parent sees the end of file when it did. */
int child_report(int from, const char *name, struct err *e);

#endif
