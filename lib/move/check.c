/* SPDX-License-Identifier: MIT */
#include "lib/move/check_int.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "lib/base/digest.h"
#include "lib/base/file.h"
#include "lib/base/proc.h"
#include "lib/discover/registry.h"
#include "lib/engine/cgroup.h"
#include "lib/engine/criu.h"
#include "lib/engine/engine.h"
#include "lib/engine/net.h"
#include "lib/move/layer.h"
#include "lib/move/store.h"

#define ARP_PROBE_MS 150
#define CRIU_MS 10000
#define CRIU_OLDEST "3.19" /* that can be told to leave the network alone */
#define SPARE_BYTES (64ull << 20) /* room beyond what was announced */

void check_file_digest(const char *path, char hex[65])
{
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode) || digest_file(fd, hex, NULL))
		*hex = '\0';
}

/* ---- the source ---- */

static uint64_t resident_bytes(pid_t pid)
{
	unsigned long long size, resident = 0;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/statm", pid);
	AUTO_FILE FILE *f = fopen(path, "re");
	if (!f || fscanf(f, "%llu %llu", &size, &resident) != 2)
		return 0;
	return resident * 4096;
}

/* criu's own description of this processor, as hex of its image file; NULL when it cannot say. */
static char *cpu_image(void)
{
	char dir[] = "/tmp/edge-cpu-XXXXXX", path[64];
	const char *criu = proc_find("criu");
	AUTO_FREE char *data = NULL;
	char *hex = NULL;
	size_t n;

	if (!criu || !mkdtemp(dir))
		return NULL;
	snprintf(path, sizeof(path), "%s/cpuinfo.img", dir);
	if (!proc_run((const char *const[]){ criu, "cpuinfo", "dump", "-D", dir, NULL }, NULL, CRIU_MS, NULL) &&
	    (data = file_slurp(path, &n, NULL)) && n < 65536 && (hex = malloc(2 * n + 1)))
		for (size_t i = 0; i < n; i++)
			snprintf(hex + 2 * i, 3, "%02x", (unsigned char)data[i]);
	file_remove_tree(dir, NULL);
	return hex;
}

/* Its files are those of an image. */
static bool is_container(const struct service *s)
{
	const struct engine *engine = engine_find(s->engine);

	return engine && engine->whole;
}

int check_facts(const struct service *s, const pid_t *pids, size_t n, struct json *call, struct err *e)
{
	AUTO_JSON struct json *base = NULL;
	AUTO_FREE char *cpu = NULL;
	char layer[65];
	struct utsname u;
	uint64_t bytes = 0;

	if (uname(&u))
		return err_sys(e, "uname");
	if (!s->stateless && volumes_movable(s, e))
		return -1;
	if (!*criu_version())
		return err_set(e, EX_UNAVAILABLE, "criu: not installed on this node");
	cpu = cpu_image();
	base = strcmp(s->root, "/") || is_container(s) ? json_array() : check_base_facts(s, pids, n, e);
	if (!base)
		return -1;
	for (size_t i = 0; i < n; i++)
		bytes += resident_bytes(pids[i]);
	if (strcmp(s->root, "/")) {
		if (layer_digest(s->root, layer, e))
			return -1;
		json_set_str(call, "layer", layer);
	}
	json_set_str(call, "arch", u.machine);
	json_set_str(call, "kernel", u.release);
	json_set_str(call, "criu", criu_version());
	json_set_str(call, "cpu", cpu);
	json_set(call, "base", TAKE_PTR(base));
	json_set_num(call, "mem_bytes", (double)bytes);
	return 0;
}

/* ---- the destination ---- */

void check_refuse(struct json *list, const char *check, const char *fmt, ...)
{
	struct json *r = json_object();
	char why[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	json_set_str(r, "check", check);
	json_set_str(r, "why", why);
	json_add(list, r);
}

/* `criu check` takes a while, and its answer holds until the next boot: it is remembered on /run by criu's version. */
static bool criu_works(const char *version, struct err *e)
{
	char done[PATH_MAX];

	snprintf(done, sizeof(done), "%s", file_path("/run/edge/criu-%s-works", version));
	if (!access(done, F_OK))
		return true;
	if (proc_run((const char *const[]){ proc_find("criu"), "check", NULL }, NULL, CRIU_MS, e))
		return false;
	if (!file_mkdirs(file_path("/run/edge"), 0700, NULL))
		file_write(done, "", 0, 0600, NULL);
	return true;
}

static bool cpu_suits(const char *hex, struct err *e)
{
	char dir[] = "/tmp/edge-cpu-XXXXXX", path[64];
	size_t n = strlen(hex) / 2;
	AUTO_FREE uint8_t *data = malloc(n + 1);
	bool ok = false;

	if (!data || n > 65536 || !mkdtemp(dir))
		return false;
	for (size_t i = 0; i < n; i++) {
		unsigned v = 0;

		sscanf(hex + 2 * i, "%2x", &v);
		data[i] = (uint8_t)v;
	}
	snprintf(path, sizeof(path), "%s/cpuinfo.img", dir);
	if (!file_write(path, data, n, 0600, e))
		ok = !proc_run((const char *const[]){ proc_find("criu"), "cpuinfo", "check", "-D", dir, NULL }, NULL,
			       CRIU_MS, e);
	file_remove_tree(dir, NULL);
	return ok;
}

static void check_criu(const struct json *call, struct json *list)
{
	const char *theirs = json_str(call, "criu"), *cpu = json_str(call, "cpu"), *mine = criu_version();
	struct err e = { 0 };

	if (!*mine)
		check_refuse(list, "criu", "criu is not installed");
	else if (!theirs || strcmp(theirs, mine))
		check_refuse(list, "criu", "criu %s here, %s at the source", mine, theirs ? theirs : "none");
	else if (strverscmp(mine, CRIU_OLDEST) < 0)
		check_refuse(list, "criu", "criu %s: " CRIU_OLDEST " or later is needed", mine);
	else if (!criu_works(mine, &e))
		check_refuse(list, "criu", "criu check: %s", e.text);
	else if (cpu && !cpu_suits(cpu, &e))
		check_refuse(list, "cpu", "the processor lacks features of the source's: %s", e.text);
}

/* How often its memory is on the disk at once. */
static int copies(const struct service *s)
{
	const struct engine *engine = engine_find(s->engine);

	return engine && engine->whole && engine->whole->memory ? engine->whole->memory->copies : 1;
}

static void check_space(const struct service *s, const struct json *call, struct json *list)
{
	double mem = json_num(call, "mem_bytes", 0) * copies(s);
	double need = json_num(call, "bytes", 0) + mem + SPARE_BYTES, have;
	const char *state = file_path("/var/lib/edge");

	file_mkdirs(state, 0755, NULL);
	if (!(need >= 0 && need < 1e18)) {
		check_refuse(list, "space", "the source announces %g bytes", need);
		return;
	}
	have = (double)store_make_room((uint64_t)need, s->id);
	if (have < need)
		check_refuse(list, "space", "%.0f MB free in %s, %.0f MB needed", have / 1e6, state, need / 1e6);
}

static void check_memory(const struct json *call, struct json *list)
{
	AUTO_FILE FILE *f = fopen("/proc/meminfo", "re");
	unsigned long long kb = 0;
	char line[128];

	while (f && !kb && fgets(line, sizeof(line), f))
		sscanf(line, "MemAvailable: %llu kB", &kb);
	if (kb && (double)kb * 1024 < json_num(call, "mem_bytes", 0))
		check_refuse(list, "memory", "%llu MB available, %.0f MB needed", kb / 1000,
		       json_num(call, "mem_bytes", 0) / 1e6);
}

static void check_name(const struct service *s, struct json *list)
{
	AUTO_SERVICE struct service *here = NULL;

	if (service_load(&here, s->name, NULL))
		return;
	if (!strcmp(here->id, s->id) && service_running(here))
		check_refuse(list, "instance", "instance %s runs here already", s->id);
	else if (strcmp(here->id, s->id) && !here->moved)
		check_refuse(list, "instance", "another instance has the name %s (%s)", s->name, here->id);
}

/* Whoever sends it may have been cut off for long. What comes as a checkpoint is a state of the past anyway. */
static void check_epoch(const struct service *s, const struct json *call, struct json *list)
{
	AUTO_REGISTRY struct registry *r = NULL;
	char node[256];
	int64_t epoch;

	if (!json_bool(call, "seal", false) && !registry_open(&r, NULL, NULL) &&
	    !registry_epoch(r, s->id, &epoch, node, NULL) && epoch > s->epoch)
		check_refuse(list, "instance", "instance %s has moved on to node %s (epoch %lld, %ld at the source)", s->id,
		       *node ? node : "(unknown)", (long long)epoch, s->epoch);
}

/* Whether another machine answers for the address: asked in a thread, as the answer takes as long as all other checks. */
struct asking {
	const struct service *s;
	pthread_t thread;
	bool started;
	int rc;
	struct err err;
};

static void *ask_address(void *arg)
{
	struct asking *a = arg;

	a->rc = net_address_taken(a->s, ARP_PROBE_MS, &a->err);
	return NULL;
}

static void ask_begin(struct asking *a, const struct service *s)
{
	a->s = s;
	a->started = *s->addr && !pthread_create(&a->thread, NULL, ask_address, a);
}

static void ask_end(struct asking *a)
{
	if (a->started)
		pthread_join(a->thread, NULL);
	else
		ask_address(a);
}

static void check_network(const struct service *s, const struct json *call, struct asking *asking, struct json *list)
{
	struct err e = { 0 };
	int rc;

	if (!*s->addr)
		return;
	ask_end(asking);
	rc = net_same_link(s, &e);
	if (rc < 0) {
		check_refuse(list, "network", "%s", e.text);
		return;
	}
	if (!rc && !json_bool(call, "tcp_close", false)) {
		check_refuse(list, "network", "%s is not an address of the bridge's network here (--tcp-close moves it without "
		       "its connections)", s->addr);
		return;
	}
	if (asking->rc)
		check_refuse(list, "address", "%s",
			     asking->rc > 0 ? "the address is in use by another machine" : asking->err.text);
}

struct json *check_here(const struct service *s, const struct json *call, struct json *wanted)
{
	const struct engine *engine = engine_find(s->engine);
	struct json *list = json_array();
	const char *arch = json_str(call, "arch");
	struct asking asking = { 0 };
	const char *why;
	struct utsname u;

	ask_begin(&asking, s);
	if (uname(&u) || !arch || strcmp(u.machine, arch))
		check_refuse(list, "arch", "%s here, %s at the source", u.machine, arch ? arch : "unknown");
	if (geteuid())
		check_refuse(list, "permission", "edge-serve does not run as root");
	if (!engine)
		check_refuse(list, "engine", "engine %s is unknown here", s->engine);
	else if ((why = engine->look->missing()) || (!s->stateless && engine->whole && engine->whole->memory &&
					       (why = engine->whole->memory->unable())))
		check_refuse(list, "engine", "engine %s: %s", s->engine, why);
	check_criu(call, list);
	check_space(s, call, list);
	check_memory(call, list);
	check_name(s, list);
	check_epoch(s, call, list);
	check_base_here(s, call, list, wanted);
	check_network(s, call, &asking, list);
	return list;
}
