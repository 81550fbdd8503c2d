/* SPDX-License-Identifier: MIT */
/* The inside of an outgoing move, shared by outgoing.c (its steps), outgoing_connect.c (the way there), outgoing_freeze.c
 * (standing still), outgoing_rounds.c (memory), outgoing_go.c (the hand-over), outgoing_late.c (pages that come after it),
 * outgoing_images.c (what CRIU wrote), outgoing_hidden.c (what it was not told of) and outgoing_ship.c (checkpoints that stay). */
#ifndef EDGE_MOVE_OUTGOING_INT_H
#define EDGE_MOVE_OUTGOING_INT_H

#include <pthread.h>

#include "lib/engine/aside.h"
#include "lib/engine/engine.h"
#include "lib/engine/net.h"
#include "lib/move/guard.h"
#include "lib/move/journal.h"
#include "lib/move/late.h"
#include "lib/move/lbe.h"
#include "lib/move/outgoing.h"
#include "lib/move/pagemap.h"
#include "lib/move/pulse.h"
#include "lib/move/settle.h"
#include "lib/move/track.h"

/* How far the dump is: at its first point, where it waits for the service to stand still; at its last one. */
enum { DUMP_WAITS = 1, DUMP_WHOLE, DUMP_FAILED };

/* One session that is being set up, in a thread of its own. */
struct connecting {
	struct ssh_target to;
	int timeout_ms;
	struct stream *stream;
	struct err err;
	pthread_t thread;
};

/* How fast the service writes, and how fast that gets through. */
struct pace {
	double at;       /* when the last round began */
	double written;  /* pages per millisecond */
	double page_ms;  /* to bring one over */
	double round_ms; /* of a round besides that, at least */
	bool doubted;    /* the last of outgoing_more_rounds was only to see whether it is so slow */
	double left_ms;  /* to bring over what was written since `at` */
	uint64_t least;  /* pages of a round so far; 0: none yet */
	double least_at;
};

struct outgoing {
	struct move_options opt;
	struct service *svc; /* NULL: a tree of processes below `tree` */
	pid_t tree;
	const struct engine *engine;
	struct checkpoint *ck;
	struct image *im;
	struct guard guard;
	struct pulse *pulse;
	struct aside aside;
	bool yields; /* to the service, while pages are sent */
	struct settle *settle; /* of what is written here; NULL */
	bool begun; /* it is in the journal */
	struct files files[CHECKPOINT_FOLDERS];
	int n_files, lock;
	bool need_layer;
	struct json *base; /* owned: files of "/" to bring along; NULL */
	struct stream *ctl, *bulk[BULK_STREAMS];
	int n_bulk;
	struct lbe *lbe; /* of all streams, while the service runs; NULL */
	struct connecting connecting[BULK_STREAMS];
	int n_connecting;
	struct ssh_target target;
	char to[256];
	struct sender *sender;
	struct page_runs runs;
	struct track *track; /* owned; NULL: changes are found by digest */
	struct pace pace;
	struct late *late; /* owned; the way for pages that come after the service; NULL: there is none */
	bool post_copy;    /* it is taken */
	double hot_at;
	bool throttled; /* its processor time is cut */
	double cpu_used, cpu_at;
	struct criu criu;
	struct net_catch catch; /* of a checkpoint that stays here */
	struct net_quiet quiet;
	/* the dump, in a thread of its own */
	pthread_t dumper;
	pthread_mutex_t dump_lock;
	pthread_cond_t dump_cond;
	int dump_state, dump_go; /* 1: it stands still; -1: it will not */
	struct err dump_err;
	/* where it stands: frozen here, network held, "go" said, killed here */
	bool dumping, frozen, held, gone, retired;
	double farewell_at;    /* when the other end was told that it comes to nothing */
	double interrupted_at; /* when that was not yet so */
	double go_at; /* when "go" was said */
	bool answered; /* to "go" */
	bool asked;   /* its outcome had to be asked for, over a new connection */
	bool shipping; /* an opened checkpoint: the service itself is none of ours */
	bool kept;     /* the checkpoint stays when we end */
	struct json *facts; /* owned: the call "prepare" without its verb */
	double start, frozen_at;
	struct move_report rep;
};

/* Turns the journal's step; EX_TEMPFAIL when somebody else has decided the move meanwhile. */
int outgoing_turn(struct outgoing *o, const char *from, const char *step, struct err *e);
/* Enters the move into the journal. */
int outgoing_begin(struct outgoing *o, struct err *e);
/* What the destination wants to know, collected once. */
int outgoing_facts(struct outgoing *o, struct err *e);
/* Waits until the bulk sessions are there: -1 when there is none. */
int outgoing_join_bulk(struct outgoing *o, struct err *e);
/* Tells how far it is, within a step and between two: EX_TEMPFAIL when it was interrupted. */
int outgoing_tell(struct outgoing *o, const char *phase, uint64_t done, uint64_t all, struct err *e);
int outgoing_go_on(struct outgoing *o, const char *phase, struct err *e);
/* One look at all folders, or all memory, and what changed sent; final: they stand still. */
int outgoing_send_files(struct outgoing *o, bool final, struct err *e);
/* Into o->runs: the pages that were written since the last round, or all. */
int outgoing_find_runs(struct outgoing *o, bool final, struct err *e);
int outgoing_memory_round(struct outgoing *o, bool ask, bool final, struct pages_stats *st, struct err *e);
/* Begins to track its memory, unless that is not wanted. */
int outgoing_track(struct outgoing *o, struct err *e);
/* All rounds before the freeze; some more, as long as there is much less left after one: at most so many, and none begins later. */
int outgoing_rounds(struct outgoing *o, struct err *e);
int outgoing_more_rounds(struct outgoing *o, int most, double limit_ms, struct err *e);
#define CALM_ROUNDS 8  /* of those, while new connections still come */
#define QUIET_ROUNDS 4 /* while they wait for it */
/* May it come to late pages? Then the destination must be able to, and their way is opened. */
bool outgoing_may_be_late(const struct outgoing *o);
int outgoing_late_open(struct outgoing *o, const struct json *armed, struct err *e);
/* The last round when its pages are to be late: sends what cannot be, and names the rest (image_unuse). */
int outgoing_late_round(struct outgoing *o, struct pages_stats *st, struct err *e);
/* From now on late pages are sent that are asked for there. */
int outgoing_late_begin(struct outgoing *o, struct err *e);
/* It runs there: all that lack. -1: they lack still, and whoever comes next goes on. */
int outgoing_late_deliver(struct outgoing *o, struct err *e);
/* Gives it back its processor time, if that was cut. */
void outgoing_unthrottle(struct outgoing *o);
void outgoing_add_round(struct outgoing *o, const struct pages_stats *st);
/* Of zeroed memory. */
void outgoing_init(struct outgoing *o);
/* The lower layer and files of it that the destination asked for. */
int outgoing_send_base(struct outgoing *o, struct err *e);
/* The folders as they are now, into the checkpoint. */
int outgoing_copy_folders(struct outgoing *o, bool live, struct err *e);
/* The processes that are to be moved; the caller frees *pids. */
int outgoing_pids(const struct outgoing *o, pid_t **pids, int *n, struct err *e);
/* Starts the criu that will dump, while the service runs. */
int outgoing_warm(struct outgoing *o, struct err *e);
/* While the service stands still, what moves it comes before other work on this node. */
void outgoing_hurry(struct outgoing *o);
/* Waits for the end of the dump. -1: it failed, be it behind its last point. The second also ends criu. */
int outgoing_await_dump(struct outgoing *o, struct err *e);
int outgoing_join_dump(struct outgoing *o, struct err *e);
/* After the dump: the pages that only CRIU could read, and its images, with every page in the memory image. */
int outgoing_images(struct outgoing *o, struct pages_stats *st, struct err *e);
/* Once the dump is whole: CRIU's names for the processes whose pages were hidden from it; then the pages of one of them. */
int outgoing_hidden_settle(struct outgoing *o, struct err *e);
int outgoing_hidden(struct outgoing *o, uint64_t object, struct pagemap *pm, struct err *e);
/* Fills o->runs with every page that the checkpoint's pagemaps name, to be read from the image. */
int outgoing_image_runs(struct outgoing *o, struct err *e);
int outgoing_send_images(struct outgoing *o, struct err *e);
/* A call that names the digests of all images sent. */
struct json *outgoing_call_with_images(struct outgoing *o, const char *verb, struct err *e);
/* Files of the travelling folders that the service has mapped shared and writable. */
int outgoing_mapped_files(struct outgoing *o, struct tree_inode **list, size_t *n, struct err *e);

#endif
