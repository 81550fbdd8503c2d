/* SPDX-License-Identifier: MIT */
/* CRIU, driven over the RPC socket of `criu swrk`: the program is started early, while the service still runs, and
 * waits for its one request; so its start-up is no part of the freeze. */
#ifndef EDGE_ENGINE_CRIU_H
#define EDGE_ENGINE_CRIU_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/base/err.h"
#include "lib/engine/criu_maps.h"
#include "lib/engine/criu_pages.h"

enum criu_verb { CRIU_DUMP = 1, CRIU_RESTORE = 2, CRIU_CHECK = 3, CRIU_CPUINFO_DUMP = 7, CRIU_CPUINFO_CHECK = 8 };

struct service;

struct criu_pair {
	const char *key;
	int fd;
};

/* One request. Strings and arrays belong to the caller; zero means "not said". */
struct criu_job {
	enum criu_verb verb;
	const char *images;         /* folder of the images; the log "criu.log" is written there too */
	pid_t pid;                  /* dump: root of the tree */
	const char *root;           /* restore: what becomes "/", a mount point */
	const char *freeze_cgroup;  /* dump: v2 folder; when frozen already, the tasks are left frozen */
	bool metadata_only;         /* dump: pages that can be restored lazily are not written, but listed or hidden */
	bool lazy;                  /* restore: pages that can come later come by the socket "lazy-pages.socket" in `images` */
	bool leave_running;         /* dump: tasks stay (frozen, if their cgroup was) */
	bool tcp_close;             /* connections are closed instead of moved */
	bool shell_job;
	bool sibling;               /* restore: the tree becomes a child of criu's parent */
	char *const *watched;       /* dump: where inotify watches may point to, NULL-terminated */
	const char *const *external; /* NULL-terminated: "mnt[/data]:v0" */
	const struct criu_pair *inherit; /* ends with a NULL key; fds are criu's own numbers */
	/* Called at each of criu's own points ("post-dump", "post-restore", ...) while the tasks stand still; `pid` is
	 * the restored root, as criu's PID namespace numbers it. Not 0: criu undoes everything and fails. May be NULL. */
	int (*notify)(void *ctx, const char *point, pid_t pid);
	void *ctx;
};

/* A criu that waits for its request; sock is our end of its SEQPACKET socket. */
struct criu {
	pid_t pid;
	bool child; /* ours; else a keeper's */
	bool shares; /* namespaces of the service that it was started for */
	int sock;
	bool heard;  /* some of its calls come to us (criu_calls.h) */
	int calls;
	struct criu_pages hidden; /* owned: pages that a dump of metadata only was not told of */
	struct criu_maps maps;    /* owned: what is known of mappings; filled by who dumps, if at all */
};

/* A socketpair of the kind `criu swrk` wants; ours is close-on-exec. */
int criu_socketpair(int *ours, int *theirs, struct err *e);
/* For the environment of a criu, in the child that is to become it: it is to be quick in the freeze. */
void criu_tune(void);
/* The argv of `criu swrk 3`, NULL-terminated. EX_UNAVAILABLE when there is no criu. Static storage. */
const char *const *criu_argv(struct err *e);
/* Starts one in this mount namespace and, if netns >= 0, in that network namespace; if s is not NULL,
 * also in those of its others that it need not save (spaces.h). alone: no call of its comes to us (criu_calls_hinder()). */
int criu_start(struct criu *c, int netns, const struct service *s, bool alone, struct err *e);
/* Has a process of the service a seccomp filter? Then only a criu that is alone can dump it. */
bool criu_hindered(const struct service *s);
/* The error of one that was not alone, and could not dump it for that: EX_TEMPFAIL; -1. */
int criu_hindered_late(const struct service *s, struct err *e);
/* Does s have, by now, what this one would not save? Then another is to be started. */
bool criu_outgrown(const struct criu *c, const struct service *s);
/* Sends the request and answers its notifications until it is done. An error quotes the "Error" lines of criu's log
 * ("criu: dump: ..."), EX_UNAVAILABLE. *restored (may be NULL): pid of the restored root. */
int criu_run(struct criu *c, const struct criu_job *job, pid_t *restored, struct err *e);
/* Ends it if it still runs, and reaps it. Safe on a zeroed one. */
void criu_close(struct criu *c);
/* The first few "Error" lines of a log of criu's on one line ("" when there are none): the first names the cause, the
 * rest what followed from it. */
void criu_quote_log(const char *folder, const char *name, char *out, size_t size);
/* "4.2.1", from `criu --version`; cached per process. "" when there is none. */
const char *criu_version(void);
/* Is that process a criu? */
bool criu_is(pid_t pid);
/* EX_TEMPFAIL when another version was installed since then. */
int criu_unchanged(struct err *e);

#endif
