/* SPDX-License-Identifier: MIT */
/* What runs containers here, CRIU's features, and whom the machine belongs to. */
#include <ctype.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/proc.h"
#include "lib/engine/docker.h"
#include "lib/engine/swarm.h"
#include "lib/measure/facts.h"
#include "lib/measure/machine.h"

#define ASK_MS 5000

/* The first word of "PROGRAM --version" that begins with a digit. */
static struct json *find_version(void *ctx)
{
	const char *const argv[] = { ctx, "--version", NULL };
	AUTO_FREE char *text = NULL;

	if (proc_run(argv, &text, ASK_MS, NULL))
		return NULL;
	for (char *p = text; *p; p++) {
		if (!isdigit((unsigned char)*p) || (p > text && !isspace((unsigned char)p[-1])))
			continue;
		p[strcspn(p, " \t\n,")] = '\0';
		return json_string(p);
	}
	return NULL;
}

/* Where it lies and since when: another one is asked again. */
static bool identity(const char *program, char *path, char about[256])
{
	const char *found = proc_find(program);
	struct stat st;

	if (!found || stat(found, &st))
		return false;
	snprintf(path, PATH_MAX, "%s", found);
	snprintf(about, 256, "%.200s %lld", found, (long long)st.st_mtime);
	return true;
}

static void describe_version(struct json *node, const char *program, const struct absence *a)
{
	char path[PATH_MAX], about[256], member[64];
	AUTO_JSON struct json *version = NULL;

	snprintf(member, sizeof(member), "versions.%s", program);
	if (!identity(program, path, about))
		absent(a, member, "no such program on PATH");
	else if (!(version = fact(program, about, find_version, path)))
		absent(a, member, "%s --version does not tell it", program);
	else
		json_set(node, member, json_copy(version));
}

/* Those that decide what can be moved, and how well. */
static struct json *find_features(void *ctx)
{
	static const char *const names[] = { "mem_dirty_track", "pagemap_scan", "uffd", "uffd-noncoop", "userns",
					     "network_lock_nftables", "overlayfs_maps" };
	struct json *has = json_array();

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		const char *const argv[] = { ctx, "check", "--feature", names[i], NULL };

		if (!proc_run(argv, NULL, ASK_MS, NULL))
			json_add(has, json_string(names[i]));
	}
	return has;
}

static void describe_criu(struct json *node, const struct absence *a)
{
	char path[PATH_MAX], about[256];
	AUTO_JSON struct json *features = NULL;

	if (!identity("criu", path, about)) {
		absent(a, "criu", "no such program on PATH, nor where get-criu puts it");
	} else if (geteuid()) {
		absent(a, "criu_features", "only root can ask criu");
	} else {
		features = fact("criu", about, find_features, path);
		json_set(node, "criu_features", json_copy(features));
	}
}

static void describe_docker(struct json *node, const struct absence *a)
{
	AUTO_JSON struct json *info = NULL;
	struct err e;

	if (!docker_here()) {
		absent(a, "versions.docker", "no socket of its daemon");
	} else if (docker_get("/info", &info, &e)) {
		absent(a, "versions.docker", "%s", e.text);
	} else {
		const char *state = json_str(info, "Swarm.LocalNodeState"), *id = json_str(info, "Swarm.Cluster.ID");
		char member[128];

		json_set_str(node, "versions.docker", json_str(info, "ServerVersion"));
		snprintf(member, sizeof(member), id && *id ? "swarm:%.64s" : "swarm", id);
		/* our own swarm says nothing that the fleet does not say */
		if (state && !strcmp(state, "active") && !json_has(node, "member") && !swarm_is_ours(json_str(info, "Swarm.NodeID")))
			json_set_str(node, "member", member);
	}
}

void machine_engines(struct json *node, const struct absence *a)
{
	static const char *const programs[] = { "runc", "crun", "podman" };

	for (size_t i = 0; i < sizeof(programs) / sizeof(*programs); i++)
		describe_version(node, programs[i], a);
	describe_docker(node, a);
	describe_criu(node, a);
	if (!json_has(node, "member") && !access("/var/lib/kubelet/config.yaml", F_OK))
		json_set_str(node, "member", "kubernetes");
}
