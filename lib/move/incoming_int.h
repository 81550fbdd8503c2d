/* SPDX-License-Identifier: MIT */
/* The inside of an incoming move, shared by incoming.c (its steps), incoming_arm.c (what is made ready) and incoming_place.c (where it is
 * put). */
#ifndef EDGE_MOVE_INCOMING_INT_H
#define EDGE_MOVE_INCOMING_INT_H

#include "lib/engine/criu.h"
#include "lib/engine/engine.h"
#include "lib/engine/keeper.h"
#include "lib/engine/net.h"
#include "lib/move/bulk.h"
#include "lib/move/checkpoint.h"
#include "lib/move/incoming.h"
#include "lib/move/journal.h"
#include "lib/move/pulse.h"
#include "lib/move/settle.h"

/* A keeper holds the lock for a moment when its service has ended; an earlier try of the same move until it has seen that
 * its link is dead. */
#define LOCK_MS (PULSE_LIMIT_MS + 2000)

struct incoming {
	struct stream *ctl;
	struct checkpoint *ck;    /* what comes, and its folder */
	struct service *svc;      /* = ck->service */
	const struct engine *engine;
	struct image *im;
	struct bulk *bulk;
	struct pulse *pulse;
	struct settle *settle;    /* of what comes; NULL */
	struct keeper keeper;
	struct keeper_orders orders;
	struct criu criu;
	struct net_catch catch;
	struct files files[CHECKPOINT_FOLDERS], layer, base;
	char layer_name[65];
	int n_files, lock;
	uint64_t image_bytes;
	bool was_here;            /* the service's folder is older than this move */
	bool begun;               /* it is in the journal */
	bool orphan;              /* we are its keeper, and the process that had it is gone */
	bool net, cgroup, armed, running;
	const char *whole;        /* why its memory is restored before it runs, and not as it is touched; NULL: it is not */
	struct err why;           /* it could not be committed */
	bool had_moved;           /* and that is a cache */
	bool placed;              /* the service's folder was made by us */
	bool seal;                /* it is to stay as a checkpoint, which has its own folders */
	bool opened;              /* it was sealed here before, and verified when it was opened */
	bool keep;                /* the checkpoint stays when the move does not succeed */
	bool own;                 /* it was taken here, and stays in any case */
	struct registry *registry; /* ready for that decision; NULL: none is shared */
	bool decided;             /* the registry has a decision about the move, which goes with it */
	struct checkpoint_back *back; /* what putting back its folders has changed */
	double t_restore, t_ready, t_go;
	double safety; /* ms for the journal and the registry while the service stood still */
};

/* Takes `j`. */
int incoming_reply(struct incoming *in, struct json *j, struct err *e);

/* The call "arm". */
int incoming_arm(struct incoming *in, const struct json *call, struct err *e);
/* Enters it into the journal. */
int incoming_begin(struct incoming *in, struct err *e);
/* It is brought here again: the one that was sealed gives way. */
int incoming_replace(struct incoming *in, struct err *e);
/* What an earlier stay has left, or NULL; another instance's leavings of that name go, unless it is to be sealed. */
int incoming_find_earlier(struct incoming *in, struct service **old, struct err *e);
/* Its lower layer: this node's own root, the folder of an earlier stay, or a layer, which must come when *need. */
int incoming_place_root(struct incoming *in, const struct service *old, const struct json *call, bool *need,
			struct err *e);
/* Where files of "/" that differ here are put for a while. */
int incoming_place_base(struct incoming *in, struct err *e);
/* Moves those files into the service's upper layer, or the checkpoint's. */
int incoming_install_base(struct incoming *in, struct err *e);
/* Where this node keeps the service's folders; those of an earlier stay are used again, and never one that the peer
 * names. What is to be sealed gets folders of its own. */
int incoming_place_folders(struct incoming *in, const struct service *old, struct err *e);
/* All of it is here: makes it a checkpoint that needs nothing outside of its folder but its layer. Takes the image. */
int incoming_seal(struct incoming *in, struct err *e);
/* An opened checkpoint: a snapshot's instance becomes this node's in the registry, as others may want to restore it, too; and
 * the service's folders become what they were. The last step that can be undone. */
int incoming_put_back(struct incoming *in, struct err *e);
/* It runs: what is left of the checkpoint goes. */
void incoming_used_up(struct incoming *in);
/* It does not: the service's folders are as they were before, and the checkpoint goes or stays. What cannot be undone is told
 * in `e`, behind what is there. */
void incoming_unplace(struct incoming *in, struct err *e);
/* The call "open": a checkpoint that was sealed here before, or a snapshot of this node's own. */
int incoming_reopen(struct incoming *in, const struct json *call, struct err *e);

#endif
