/* SPDX-License-Identifier: MIT */
/* How a service runs: a table of verbs per engine, so that a new engine is one new file. */
#ifndef EDGE_ENGINE_ENGINE_H
#define EDGE_ENGINE_ENGINE_H

#include "lib/engine/criu.h"
#include "lib/engine/keeper.h"
#include "lib/engine/service.h"

/* Of engines whose services run at any of several nodes, and this one governs them all: s->at says where. */
struct engine_span {
	/* "running"; "exited": it should, and does not; "stopped": it is not there; "unknown": who knows does not answer. */
	const char *(*state)(const struct service *s);
	/* Of its first process, if that is at this node; else 0. */
	pid_t (*pid)(const struct service *s);
};

/* What there is to see of an engine: for programs that only look, and do not have all its verbs in them. */
struct engine_look {
	const char *name;
	/* NULL when this node can run it; else why not (static text). */
	const char *(*missing)(void);
	/* Is the daemon there without which its program does nothing? NULL: it needs none, or `missing` asks for it. */
	bool (*daemon)(void);
	const struct engine_span *span; /* NULL: its services run here */
};

/* Checkpoints that the engine makes and takes back itself. They travel as two folders: the "upper" one, what a container has
 * written over its image, and one with whatever else the engine wants. */
struct engine_memory {
	/* NULL when this node can; else why not (static text). */
	const char *(*unable)(void);
	int copies; /* of its memory that are on the disk at once, at most, while it is restored; where all is on one disk */
	bool keeps_connections; /* with a network of ours, and unless they are given up */
	/* Stops it where it is; -1: it runs on. thaw: one that is not stopped is no error. */
	int (*freeze)(const struct service *s, struct err *e);
	int (*thaw)(const struct service *s, struct err *e);
	/* Writes the checkpoint of a stopped one, which stays so, into the empty folder `dir`. */
	int (*dump)(const struct service *s, const char *dir, struct err *e);
	/* Makes here what can be made before it comes: service_clear undoes it. */
	int (*arm)(struct service *s, struct err *e);
	/* Its upper folder: where it runs, and where it is armed, that into which it is brought. */
	int (*upper)(const struct service *s, char path[PATH_MAX], struct err *e);
	/* From an armed one to a stopped one whose network is held: as it was, out of `dir`; sets s->pid. */
	int (*restore)(struct service *s, const char *dir, struct err *e);
};

struct engine_whole {
	/* Makes and starts it; sets s->pid. Where it has an address, its network is that of net_create, held. */
	int (*run)(struct service *s, struct err *e);
	/* Ends and removes it; a missing one is no error. */
	int (*end)(const struct service *s, int grace_ms, struct err *e);
	/* The image's own name for what it is now, in `id`; EX_UNAVAILABLE when it is not here. */
	int (*image_id)(const char *ref, char id[80], struct err *e);
	/* The image to a file and from one. */
	int (*image_save)(const char *ref, const char *file, struct err *e);
	int (*image_load)(const char *file, struct err *e);
	/* NULL: only stateless ones can be moved. */
	const struct engine_memory *memory;
	/* Of one that spans nodes. Takes it to that node: started there first, and ended where it was when it runs there. Sets s->at,
	 * s->at_addr, and *started_ms to when it ran. A failure leaves it where it was, as if nothing had been; so does stop() (may be
	 * NULL). */
	int (*assign)(struct service *s, const char *node, bool (*stop)(void *ctx), void *ctx, double *started_ms, struct err *e);
	/* Its image is known to this node only, and has to be brought to others; else they get it from its registry. */
	bool (*carries)(const char *ref);
};

struct engine {
	const struct engine_look *look;
	/* It makes root, network and cgroups of its services itself, from their images: a daemon, or a program like one. Such an
	 * engine has the verbs of `whole` instead of those below `check`. */
	const struct engine_whole *whole;
	/* Completes the definition before anything is made (runc: the root that its bundle names), or refuses it. */
	int (*check)(struct service *s, struct err *e);
	/* Starts in the namespaces, cgroups and mounts that service_start has prepared; sets s->pid. */
	int (*start)(struct service *s, struct keeper *k, struct err *e);
	/* Writes the images of the service into the folder `images`. `warm`: a criu started in its network namespace, for engines
	 * that can use one. `at` is called with "pre-dump", once or twice, and returns when the service's cgroup is frozen, as
	 * it is left: nothing of the service is looked at before that. Then with "post-dump" when the images are whole; not 0
	 * makes the dump fail. */
	int (*dump)(struct service *s, struct criu *warm, const char *images, bool tcp_close,
		    int (*at)(void *, const char *), void *ctx, struct err *e);
	/* Starts whatever can be started before the images are there. */
	int (*restore_arm)(struct service *s, struct keeper *k, struct criu *warm, struct err *e);
	/* The folder in which its criu looks for the socket of who serves pages lazily, when `images` are restored; it is there once
	 * restore_arm was called. Static storage. */
	const char *(*lazy_dir)(const struct service *s, const char *images);
	/* Restores from `images`; the root is mounted, the network held. lazy: pages come by that socket. Calls ready() when all is restored, the engine needs
	 * nobody any more to let it run, and nothing runs yet: s->pid is set by then; not 0 undoes everything. */
	int (*restore)(struct service *s, struct keeper *k, struct criu *warm, const char *images, bool tcp_close, bool lazy,
		       int (*ready)(void *), void *ctx, struct err *e);
	/* Forgets what the engine itself keeps about an instance whose processes are gone (runc: `runc delete`). */
	int (*forget)(struct service *s, struct err *e);
};

extern const struct engine_look process_look, runc_look, docker_look, podman_look, swarm_look;
extern const struct engine engine_process, engine_runc, engine_docker, engine_podman, engine_swarm;
const struct engine *engine_find(const char *name); /* NULL: unknown */
/* The i-th of them all; NULL behind the last. */
const struct engine_look *engine_look(size_t i);
/* Can this node run it now: nothing is missing, and its daemon is there? */
bool engine_here(const struct engine_look *look);
/* NULL unless the engine of that name spans nodes. */
const struct engine_span *engine_span(const char *name);
/* Is it a service of such an engine, that this node governs, wherever it runs? */
bool engine_governs(const char *service);

/* Start to running: folders, upper with its masks, network (refusing an address that is taken), cgroups, keeper, engine;
 * attached to the bridge; service.json written. All undone on failure. */
int service_start(struct service *s, struct err *e);
/* The same, but not attached to the bridge. */
int service_start_held(struct service *s, struct err *e);
/* One that has ended by itself, with the files that it left; cleared before. */
int service_start_again(struct service *s, struct err *e);
/* SIGTERM to the first process, after grace_ms SIGKILL to all; then service_clear. A service that does not run: 0. */
int service_stop(struct service *s, int grace_ms, struct err *e);
/* Makes a service run on that was left held by programs that are gone: ends a criu that still has its tasks, lets its
 * connections speak, attaches its network, thaws it. Harmless to one that runs. */
int service_mend(const struct service *s, struct err *e);
/* Before that: waits for the end of the criu that was dumping it for a program that is gone; it notices soon, and is killed after 2 s.
 * On its way out it leaves the tasks frozen, as it has found them. */
void service_end_dump(pid_t criu);
/* It has left this node: kills what is here; its folder stays, marked as moved, as a cache for its return. */
int service_retire(struct service *s, struct err *e);
/* Kills all its processes at once (frozen or not), waits until they are gone. */
int service_kill(struct service *s, struct err *e);
/* After its processes are gone: network, cgroups, engine state; the folder stays. */
int service_clear(struct service *s, struct err *e);
/* Removes the folder of a service that does not run. */
int service_remove(struct service *s, struct err *e);

/* The upper layer of a new service: /root, /home, /etc/ssh, /etc/edge, /var/lib/edge, /tmp, /run, /var/tmp and /dev are
 * masked with opaque folders; /dev gets the usual nodes, /etc/hostname and /etc/hosts the service's name.
 * Over a root other than "/" there are no masks except /dev; under a bundle no /dev, hostname and hosts either. */
int root_prepare(const struct service *s, struct err *e);
/* After that: volumes as the kernel will know them, their links followed on the node and inside the service's root. EX_USAGE
 * for one on the root, in /proc or over another one. */
int volumes_resolve(struct service *s, struct err *e);
/* EX_UNAVAILABLE if one of them has a folder of this node's own state in it: its keys, what changes while it would be copied. */
int volumes_movable(const struct service *s, struct err *e);
/* Before that: those that are files are copied into its upper layer, and are its own from then on. */
int volumes_copy_files(struct service *s, struct err *e);

#endif
