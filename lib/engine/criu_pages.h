/* SPDX-License-Identifier: MIT */
/* criu 4 asks the kernel (PAGEMAP_SCAN) which pages each process has, and then takes all of them into its hands, while the
 * process stands still: the more there are, the longer. Those of anonymous private memory are brought over by lib/move. So we
 * ask in criu's stead, keep the answer for those, and tell criu only of the others. The kernel looks at each page for an answer; so who
 * asks it about the same pages at that time, for what was written, says what there is. */
#ifndef EDGE_ENGINE_CRIU_PAGES_H
#define EDGE_ENGINE_CRIU_PAGES_H

#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Consecutive pages that criu was not told of, by address in each process; some may lie in a mapping that criu leaves out. */
struct criu_run {
	pid_t pid;
	uint64_t start, end;
};

struct criu_known;

/* Zeroed: none. */
struct criu_pages {
	struct criu_run *run; /* owned */
	size_t n, room;
	pid_t pid;            /* of the process that was asked about last, its pagemap, and its mappings of that kind, by address */
	int pagemap;          /* owned, while pid is not 0 */
	struct criu_run *map; /* owned */
	size_t n_maps, room_maps;
	struct criu_known *known; /* owned; NULL: nobody else asks */
};

/* Has this kernel PAGEMAP_SCAN, and does this version of criu ("4.2.1") use it? */
bool criu_pages_used(const char *version);
/* From now on an answer waits for criu_pages_known(). Without memory it does not. */
void criu_pages_expect(struct criu_pages *p);
/* Somebody else has asked, while the processes stand still, for all that there is in this anonymous private mapping ("all"), and of
 * that has found these pages, or guard pages. In any order; without criu_pages_expect() nothing happens. */
void criu_pages_asked(struct criu_pages *p, pid_t pid, uint64_t start, uint64_t end);
void criu_pages_found(struct criu_pages *p, pid_t pid, uint64_t start, uint64_t end, bool guards);
void criu_pages_known(struct criu_pages *p);
/* Answers criu's call (criu_calls.h), if it is that question, into *r. False: the kernel is to answer. */
bool criu_pages_answer(struct criu_pages *p, int listener, const struct seccomp_notif *n, struct seccomp_notif_resp *r);
void criu_pages_clear(struct criu_pages *p);

#endif
