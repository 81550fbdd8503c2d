/* SPDX-License-Identifier: MIT */
/* The keeper: one small process per running service, its parent. It owns the mount namespace in which the service's
 * root is put together, copies the service's output to a log that rotates, and leaves when the service has ended.
 * It is forked from the program that starts or restores the service, and obeys it over a socketpair until it is
 * released; if that program dies before, the keeper undoes everything and ends, or, once the service was committed to
 * this node, lets it run. */
#ifndef EDGE_ENGINE_KEEPER_H
#define EDGE_ENGINE_KEEPER_H

#include "lib/engine/service.h"

struct keeper {
	pid_t pid;        /* 0: none */
	int ctl;          /* socket to it; -1: none */
	uint64_t log_ino; /* inode of the pipe whose reading end it holds */
};

/* What it does when its program dies, beside its own part. Called in the keeper, on its copy of `ctx`. */
struct keeper_orders {
	bool (*committed)(void *ctx); /* is the service to run here? */
	void (*undone)(void *ctx);    /* all that was made of it is gone */
	/* The life of the process that gives the service its pages (lib/move/lazy.h); may be NULL. */
	void (*pages)(void *ctx, int sock);
	void *ctx;
	int lock;                     /* the service's lock, kept until the release; -1: none */
};

/* Forks it: own session, own mount namespace (private), all other descriptors closed, title "edge-keeper: NAME". orders: NULL for
 * one that only undoes. */
int keeper_spawn(struct keeper *k, const struct service *s, const struct keeper_orders *orders, struct err *e);
/* Mounts, in its namespace, the overlay (lower s->root, upper and work of service_dir) on service_dir "root" and the
 * volumes on their places below that. */
int keeper_mount(struct keeper *k, struct err *e);
/* Starts s->argv as PID 1 of new PID, mount, IPC and UTS namespaces, in the service's network namespace and cgroups;
 * waits until exec has succeeded or failed ("cannot run PROGRAM: No such file or directory", EX_NO's code 1 is for
 * the service itself: this is EX_UNAVAILABLE). Gives the pid. */
int keeper_start(struct keeper *k, pid_t *pid, struct err *e);
/* Starts a helper program as its child, in its mount namespace and the service's network namespace and cgroups, and,
 * unless that has a bundle, in UTS (with the service's name) and IPC namespaces of its own:
 * descriptor 3 of the program is `fd3`, one end of a socketpair whose other end, `other` (-1: none), the keeper keeps open
 * for as long as it may have to decide what becomes of the program; descriptor 4 the writing end of the log pipe. stdin, stdout: /dev/null; stderr to a
 * file `errlog` (may be NULL: /dev/null; "-": stdout and stderr both are the log pipe, as runc hands them on). A process that this program makes with CLONE_PARENT (criu's restored tree)
 * becomes the keeper's child. Used for `criu swrk 3` and `runc restore`. */
int keeper_exec(struct keeper *k, const char *const argv[], int fd3, int other, const char *errlog, pid_t *pid,
		struct err *e);
/* Waits for the end of a program that keeper_exec has started; killed after timeout_ms: EX_TEMPFAIL.
 * *status as waitpid(2) gives it. */
int keeper_wait(struct keeper *k, pid_t pid, int timeout_ms, int *status, struct err *e);
/* From now on it watches this process (its child, or any other: by pidfd) and lives as long. Closes ctl. */
int keeper_release(struct keeper *k, pid_t watch, struct err *e);
/* Starts the process that gives the service its pages, its child, and waits until criu can reach it. If that one ends before all are in
 * place, the keeper ends the service. Errors: see keeper_served. */
int keeper_pages(struct keeper *k, int timeout_ms, struct err *e);
/* Waits until it has all processes that criu has restored: EX_UNAVAILABLE and why, when they cannot be served, EX_SOFTWARE when it has
 * ended; EX_TEMPFAIL when there is no answer, after which the keeper can only be cancelled. */
int keeper_served(struct keeper *k, int timeout_ms, struct err *e);
/* False: it was killed, and nobody would look after the service. */
bool keeper_alive(const struct keeper *k);
/* Makes it undo everything and end; waits for it. Safe on a zeroed or released keeper. */
void keeper_cancel(struct keeper *k);

#endif
