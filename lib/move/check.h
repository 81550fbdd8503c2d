/* SPDX-License-Identifier: MIT */
/* What can be known before a service is stopped: the facts of the source, and the destination's answer. */
#ifndef EDGE_MOVE_CHECK_H
#define EDGE_MOVE_CHECK_H

#include "lib/base/json.h"
#include "lib/engine/service.h"

/* The source's part of a "prepare" call: {arch, kernel, criu, cpu (hex of criu's cpuinfo image), base: [{path, sha256}],
 * bytes, mem_bytes}. base: every file of "/" that the processes have mapped or open, by path; EX_UNAVAILABLE when there are
 * too many. */
int check_facts(const struct service *s, const pid_t *pids, size_t n, struct json *call, struct err *e);

/* Whether these facts offer the file of "/" to the destination. */
bool check_base_offered(const struct json *facts, const char *path);

/* The destination's: an array of {check, why}, empty when the service can come. `call` is the "prepare" call; with its
 * ship_base, paths of base files that must come along are added to the array `wanted` instead. */
struct json *check_here(const struct service *s, const struct json *call, struct json *wanted);

/* SHA-256 of a file as hex; "" when it cannot be read. */
void check_file_digest(const char *path, char hex[65]);

#endif
