/* SPDX-License-Identifier: MIT */
/* One instance of a service: what it was told to be (kept in service.json) and what it is now. */
#ifndef EDGE_ENGINE_SERVICE_H
#define EDGE_ENGINE_SERVICE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/auto.h"
#include "lib/base/err.h"
#include "lib/base/json.h"

#define SERVICE_NAME_MAX 63
#define SERVICE_VOLUMES_MAX 16
#define SERVICE_PORTS_MAX 16
#define SERVICE_EPOCH_MAX 1000000000000000 /* whole numbers of JSON, and no overflow */

struct service_volume {
	char host[PATH_MAX]; /* absolute, on the node */
	char path[PATH_MAX]; /* absolute, inside the service; both without links once it was started */
};

struct service {
	char id[17];                        /* 16 random hex digits, kept across moves */
	char name[SERVICE_NAME_MAX + 1];    /* letters, digits, "._-" */
	char engine[16];                    /* "process", "runc", ... */
	bool stateless;
	char addr[64];                      /* "10.77.0.201/24" or IPv6; "" without a network */
	char mac[18];                       /* made at start, kept across moves */
	int ports[SERVICE_PORTS_MAX], n_ports;
	char root[PATH_MAX];                /* lower layer of the overlay; default "/" */
	char bundle[PATH_MAX];              /* OCI bundle, runc engine; "" otherwise */
	struct service_volume volumes[SERVICE_VOLUMES_MAX];
	int n_volumes;
	char user[64];                      /* "" is root */
	char dir[PATH_MAX];                 /* working directory, made when it is missing; "" is "/" */
	double cpu;                         /* limit in cores; 0 is none */
	uint64_t mem_bytes;                 /* limit; 0 is none */
	char **argv;                        /* NULL-terminated, owned; NULL with a bundle */
	char **env;                         /* "KEY=VALUE" beside the usual ones, NULL-terminated, owned; or NULL */
	long epoch;                         /* counts the moves */
	char fleet[64];                     /* for which it runs here, when it is a guest's; else "" */
	char moved_at[32], moved_from[256]; /* of the last one; "" before the first */
	char at[64], at_addr[64];           /* of an engine that spans nodes: the node that it is at, and where clients reach that */
	struct json *about;                 /* owned, or NULL: an object of the members of service_about */

	bool moved;                         /* it has left this node; its folder is a cache for its return */
	pid_t pid;                          /* of its first process, in the node's PID namespace; 0 when not running */
	uint64_t start_time;                /* field 22 of /proc/PID/stat, against reuse of pids */
	uint64_t log_ino;                   /* inode of the pipe that its output goes to */
};

void service_free(struct service *s);
AUTO_DEFINE(struct service, service_free)
#define AUTO_SERVICE AUTO(service_free_auto)

/* Members of a definition that travel with it as they are, and mean something to others than its engine: its application,
 * image, healthcheck and so on. NULL-terminated; those before `service_about_private` stand in its record, too. */
extern const char *const service_about[];
extern const int service_about_private;
/* Sets one of them, taking v; makes the object when there is none. */
void service_about_set(struct service *s, const char *member, struct json *v);

/* From and to the JSON kept in service.json and sent to the other node (a superset of the record). */
int service_from_json(struct service **s, const struct json *j, struct err *e);
struct json *service_to_json(const struct service *s);
/* The `service` record of edge-records(5), with node, state, log. */
struct json *service_record(const struct service *s, const char *state);

/* Where the instance lives: file_path("/var/lib/edge/services/NAME"), with service.json, upper/, work/, root/, log.
 * Static ring of buffers. */
const char *service_dir(const struct service *s, const char *below);
int service_save(const struct service *s, struct err *e);
/* The same, but not yet on disk: everybody finds it. service_save is to follow soon. */
int service_save_cached(const struct service *s, struct err *e);
/* EX_UNAVAILABLE: "service NAME: no such service on this node". */
int service_load(struct service **s, const char *name, struct err *e);
/* Names of all on this node: array of JSON service records with their states. */
struct json *service_list(struct err *e);
/* It has just moved here, from that node (or NULL): its epoch, and when. */
void service_arrive(struct service *s, const char *from);
bool service_running(const struct service *s);  /* pid alive with that start time */
/* "running", "stopped" (by us: it has no pid), "exited" (by itself), "moved", "unknown" (its engine does not answer). */
const char *service_state(const struct service *s);
bool service_name_valid(const char *name);
bool service_path_valid(const char *path); /* absolute, and plain enough for a mount's options */
/* The lock under which a service is started, stopped or moved: a descriptor, held while it is open. Waits up to
 * wait_ms, as a keeper holds it for a moment when its service has ended; then EX_TEMPFAIL. */
int service_lock(const char *name, int wait_ms, struct err *e);
/* Field 22 of /proc/PID/stat; 0 when there is no such process or it is a zombie. */
uint64_t service_start_time(pid_t pid);
/* The address without "/len", into a static ring of buffers; NULL when the service has none. */
const char *service_ip(const struct service *s);
/* An owned, NULL-terminated copy of n strings, as argv and env are. */
char **service_strings(const char *const *items, int n);
char **service_strings_of(const struct json *array); /* what is no string there becomes "" */
/* Reads "cpu=0.5,mem=64M" into s->cpu and s->mem_bytes, or a name of /etc/edge/profiles.json:
 * {"small":{"cpu":0.5,"mem":"64M"}}. EX_USAGE. */
int service_profile(struct service *s, const char *profile, struct err *e);
/* For whom it runs here from now on: EDGE_FLEET, which edge-serve sets for those who have been let in by edge-invite. */
void service_set_fleet(struct service *s);
/* Its record and its definition in one: what an edge-run elsewhere needs to start another one. */
struct json *service_definition(const struct service *s);

#endif
