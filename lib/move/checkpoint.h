/* SPDX-License-Identifier: MIT */
/* A checkpoint: one frozen state of an instance, named by a random id that is also the move's. On a node it is a folder
 * of CRIU's images without pages, beside the memory image and the service's folders, which the node has once. */
#ifndef EDGE_MOVE_CHECKPOINT_H
#define EDGE_MOVE_CHECKPOINT_H

#include <limits.h>
#include <stdbool.h>

#include "lib/base/auto.h"
#include "lib/base/json.h"
#include "lib/engine/service.h"
#include "lib/move/files.h"
#include "lib/move/image.h"

#define CHECKPOINT_FOLDERS (SERVICE_VOLUMES_MAX + 2) /* upper layer, volumes, bundle */

struct checkpoint {
	char id[33];           /* 32 hex digits */
	char dir[PATH_MAX];
	int lock;              /* of the folder, shared by all that have it open */
	char from[256];        /* the source node's name */
	struct service *service; /* owned; NULL: a tree of processes that is no service */
	pid_t tree;            /* its first process then, else 0 */
	struct json *facts;    /* owned; lib/move/check.h; NULL unless loaded or set */
	bool tcp_close;
	bool held;             /* the frozen service waits for it; else it went on */
	bool late;             /* pages may come after it: those that its pagemaps call lazy, and in no parent */
	bool own_memory;       /* it has a memory image of its own */
	bool stored;           /* it was loaded from this node's disk: where it is sent, it is to stay, too */
	int n_copies;          /* and copies of so many folders */
	char copy[CHECKPOINT_FOLDERS][65]; /* what these are: digests of their manifests */
};

/* A new one of this service (copied), with its folder. */
int checkpoint_new(struct checkpoint **ck, const struct service *s, bool tcp_close, struct err *e);
/* A new one of a tree of processes. */
int checkpoint_new_tree(struct checkpoint **ck, pid_t pid, bool tcp_close, struct err *e);
/* {checkpoint: ID, from, tcp_close, service: {...}}: what travels, and what is kept in the folder. */
int checkpoint_from_json(struct checkpoint **ck, const struct json *j, struct err *e);
void checkpoint_to_json(const struct checkpoint *ck, struct json *j);
int checkpoint_save(const struct checkpoint *ck, struct err *e);
/* EX_UNAVAILABLE "checkpoint ID: not on this node"; EX_DATAERR when it is damaged. */
int checkpoint_load(struct checkpoint **ck, const char *id, struct err *e);
bool checkpoint_id_valid(const char *id);
/* Makes its folder, again after checkpoint_remove, and locks it. The others that make a checkpoint have done so. */
int checkpoint_make_folder(struct checkpoint *ck, struct err *e);
/* Whether this node has one of that id. */
bool checkpoint_exists(const char *id);
/* ... and whether a frozen service is held for it. */
bool checkpoint_is_held(const char *id);
int checkpoint_remove(const struct checkpoint *ck, struct err *e);
void checkpoint_free(struct checkpoint *ck);
AUTO_DEFINE(struct checkpoint, checkpoint_free)
#define AUTO_CHECKPOINT AUTO(checkpoint_free_auto)

/* All that lie on this node, as an array of `checkpoint` records with state, disk_bytes, since and, if there is something to say,
 * why. Asks the nodes whose holders wait for one that was brought here. */
struct json *checkpoint_list(struct err *e);
/* Removes one that nobody uses. *record (new): the same, with state "removed". EX_UNAVAILABLE when it is not here, EX_TEMPFAIL
 * when it is in use. */
int checkpoint_drop(const char *id, struct json **record, struct err *e);

/* Removes folders of which neither a checkpoint nor a move came, as their programs died too early. */
void checkpoint_sweep(void);

/* Is a file of the folder one of the images that travel? */
bool checkpoint_is_image(const char *name);
/* SHA-256 of each of CRIU's images in the folder: a new array of {name, sha256}. */
struct json *checkpoint_digests(const struct checkpoint *ck, struct err *e);
/* Whether these images are there as they were; EX_DATAERR "NAME: missing" or "NAME: damaged". */
int checkpoint_verify(const struct checkpoint *ck, const struct json *digests, struct err *e);
/* Checks that the folder is whole: every page that its pagemaps name is in the image (and is used, image_use). */
int checkpoint_complete(const struct checkpoint *ck, struct image *im, struct err *e);

/* Is this tree what copy k was? EX_DATAERR. */
int checkpoint_check_copy(const struct checkpoint *ck, int k, struct tree *t, struct err *e);
/* Gives it a memory image of its own, for what the service's image is not to be disturbed or waited for. */
int checkpoint_own_memory(struct checkpoint *ck, struct err *e);
/* Takes the instance's image out of the store (nobody has it open), so that no later move changes it; and puts it back there,
 * as well as that can be done, where the next move finds it. */
int checkpoint_take_memory(struct checkpoint *ck, struct err *e);
void checkpoint_give_memory(const struct checkpoint *ck);
/* Its own, or the service's in the store. Static ring of buffers. */
const char *checkpoint_memory_dir(const struct checkpoint *ck);
/* Removes what was brought here of this instance before for holders: as it comes again, none of them waits any more. */
void checkpoint_supersede(const struct checkpoint *ck);
/* Opens the folders that travel: upper layer, volumes, and the adapted bundle if there is one. Their number, or -1. */
int checkpoint_folders(const struct service *s, struct files *f, struct err *e);
/* Brings the checkpoint's copy of this folder up to date, as the service may change its own. mapped: files that change without
 * their times telling. live: they may change under us, and another copy follows. */
int checkpoint_copy_folder(struct checkpoint *ck, struct files *f, const struct tree_inode *mapped, size_t n_mapped,
			   bool live, struct err *e);
/* Makes folders for one that comes, and opens them: beginning with what an earlier stay of the instance here (NULL: none) has
 * left, or with what its last checkpoint here has, whose memory the store gets, too. Their number, or -1. */
int checkpoint_make_folders(struct checkpoint *ck, const struct service *earlier, struct files *f, struct err *e);
/* These n folders, all of them here, are its copies from now on. */
int checkpoint_own_folders(struct checkpoint *ck, struct files *f, int n, struct err *e);
/* Where copy k lies. */
void checkpoint_copy_path(const struct checkpoint *ck, int k, char path[PATH_MAX]);

/* Makes the service's folders, which exist, what its copies say. EX_DATAERR, before anything is changed, when one of these is
 * missing or not what it was. use_up: the checkpoint will not be needed again, so its folders may change places with the
 * service's. *back (new, also after a failure; NULL when nothing was changed) knows how to undo it, in this process. */
struct checkpoint_back;
int checkpoint_put_back(const struct checkpoint *ck, bool use_up, struct checkpoint_back **back, struct err *e);
int checkpoint_undo(struct checkpoint_back *back, struct err *e);
void checkpoint_back_free(struct checkpoint_back *back);
/* The folders as they were at the checkpoint: its copies if it has some, else the service's own. */
int checkpoint_copied_folders(const struct checkpoint *ck, struct files *f, struct err *e);

#endif
