/* SPDX-License-Identifier: MIT */
/* A move as its source sees it. In order: open, connect, prepare, precopy, freeze, hand_over; for a checkpoint that stays
 * here: open, capture, freeze, keep; and later, by any process: open_checkpoint, connect, prepare, ship.
 * Until hand_over has said "go", outgoing_free thaws the service as if nothing had been. */
#ifndef EDGE_MOVE_OUTGOING_H
#define EDGE_MOVE_OUTGOING_H

#include "lib/base/json.h"
#include "lib/base/ssh.h"
#include "lib/move/checkpoint.h"
#include "lib/move/late.h"
#include "lib/move/pages.h"

#define BULK_STREAMS 2

#define ROUNDS_NOTED 64 /* one by one; what comes after is only in the sums */

/* What becomes of a service that writes memory faster than it gets through. */
enum on_hot { HOT_WAIT, HOT_THROTTLE, HOT_POST_COPY, HOT_ABORT };

struct move_options {
	bool by_digest;                       /* nothing is done in its processes: changed pages are found by reading all */
	int max_pause_ms;                     /* what the rounds before the freeze aim at */
	enum on_hot on_hot;
	bool post_copy;                       /* memory that was not sent by the first round comes after the service */
	bool tcp_close, dry_run, ship_base;
	bool snapshot;                        /* the service goes on: its checkpoint has copies of its own */
	int connect_ms;                       /* limit of one connection's set-up */
	int max_freeze_ms;                    /* then the service goes on here, if "go" was not said; 0: no limit; -1: migrate() chooses */
	int deadline_ms;                      /* how long a move whose connection was lost is tried again */
	const char *to;                       /* the destination, as it can be found again; may be NULL */
	/* Called now and then before the hand-over (may be NULL). Not 0: the move is given up, EX_TEMPFAIL "interrupted". */
	int (*progress)(void *ctx, const char *phase, uint64_t done, uint64_t all);
	/* The connection was lost (`why`), and is tried again after pause_ms (may be NULL). */
	void (*retrying)(void *ctx, const char *why, int pause_ms);
	/* It writes faster than it gets through (bytes per second; may be NULL). */
	void (*hot)(void *ctx, double dirty_bps, double link_bps);
	/* It runs there, but its late pages do not get on: why (may be NULL). */
	void (*late)(void *ctx, const char *why);
	/* Asked some ten times a second, in a thread (may be NULL): is it to be given up? */
	bool (*interrupted)(void *ctx);
	void *ctx;
};

/* What a move did; durations in milliseconds. */
struct move_report {
	double total, frozen, connect, check, precopy;
	double quiet, freeze, dump, pages, files, images, restore, resume;
	double safety;              /* of the freeze: both journals, the claim in the registry, and "go" */
	double scan;                /* to find the pages of the last round */
	int rounds;
	char restored[16], restored_why[128]; /* how the destination has put its memory in place; "": it has not said */
	struct pages_stats memory;  /* all rounds */
	struct pages_stats round[ROUNDS_NOTED];
	double predicted;           /* pause, when the last round before the freeze had ended */
	double dirty_bps, link_bps; /* as measured by then */
	bool hot;
	int throttled;              /* how often its processor time was cut */
	uint64_t last_pages;        /* sent inside the freeze */
	struct late_stats late;     /* sent after the service */
	struct files_stats file;
	uint64_t image_bytes;
	uint64_t wire_bytes;        /* all that went to the destination, SSH's framing excepted */
};

struct outgoing;

/* Loads and locks the service, which must run here. */
int outgoing_open(struct outgoing **o, const char *name, const struct move_options *opt, struct err *e);
void outgoing_free(struct outgoing *o);
AUTO_DEFINE(struct outgoing, outgoing_free)
#define AUTO_OUTGOING AUTO(outgoing_free_auto)

/* A checkpoint that this node keeps. */
int outgoing_open_checkpoint(struct outgoing **o, const char *id, const struct move_options *opt, struct err *e);

/* One control and BULK_STREAMS bulk sessions, set up side by side. */
int outgoing_connect(struct outgoing *o, const struct ssh_target *to, struct err *e);
/* The destination's check. 0: it is ready; 1: it refuses, *refusals (new) says why, or it was a dry run. */
int outgoing_prepare(struct outgoing *o, struct json **refusals, struct err *e);
int outgoing_precopy(struct outgoing *o, struct err *e);
/* Instead of the last three: the memory as it is now into this node's own store. */
int outgoing_capture(struct outgoing *o, struct err *e);
/* Stops the service, dumps it and, when connected, brings the rest over. */
int outgoing_freeze(struct outgoing *o, struct err *e);
/* Restore there, go, end here. *record (new): the service record from there, with "moved". */
int outgoing_hand_over(struct outgoing *o, struct json **record, struct err *e);

/* Makes the frozen state a checkpoint that others can load. */
int outgoing_keep(struct outgoing *o, struct err *e);
/* All of an opened checkpoint to the destination, where it is sealed. *record (new): a `shipment`. */
int outgoing_ship(struct outgoing *o, struct json **record, struct err *e);

/* The frozen service goes on here, with its connections. Nothing happens when it is not frozen, or "go" was said. */
void outgoing_thaw(struct outgoing *o);
/* Ends a snapshot: the checkpoint stays. */
int outgoing_leave(struct outgoing *o, struct err *e);
/* Ends a checkpoint that was handed over: retires the service, removes checkpoint and journal. */
int outgoing_finish(struct outgoing *o, struct err *e);
/* Of the checkpoint: pages with data, and images. */
uint64_t outgoing_bytes(const struct outgoing *o);

const struct checkpoint *outgoing_checkpoint(const struct outgoing *o);
const struct move_report *outgoing_report(const struct outgoing *o);
/* {"frozen_ms": ..., "phases": {...}, ...}: the "moved" member of a service record. */
struct json *outgoing_moved(const struct outgoing *o, const char *to);
/* Was it the connection that failed, before "go", or could there be none? Then the same move may be tried again.
 * *connected: there was one. */
bool outgoing_lost(const struct outgoing *o, bool *connected);
/* Puts the reason why it was broken off, if it was by us, into an error that says only that something ended. */
void outgoing_reason(const struct outgoing *o, struct err *e);
/* After a hand-over by other means: kills the service here; its folders and pages stay as a cache. */
int outgoing_retire(struct outgoing *o, struct err *e);

#endif
