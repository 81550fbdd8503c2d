/* SPDX-License-Identifier: MIT */
/* The files of "/" that a service uses: the same at both nodes, or brought along. */
#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/digest.h"
#include "lib/base/file.h"
#include "lib/move/check_int.h"

#define LIST_MAX (6u << 20)  /* bytes: all of a call is one frame */
#define ENTRY_BYTES 100u     /* of the list, for a file beside its path */
#define REFUSALS_MAX 100     /* told one by one */

/* Paths, many of them again and again: sorted and made unique whenever they would need more room. */
struct paths {
	char **item;
	size_t n, room;
};

static void paths_clear(struct paths *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->item[i]);
	free(p->item);
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void paths_unique(struct paths *p)
{
	size_t kept = 0;

	if (p->n)
		qsort(p->item, p->n, sizeof(*p->item), compare);
	for (size_t i = 0; i < p->n; i++) {
		if (kept && !strcmp(p->item[i], p->item[kept - 1]))
			free(p->item[i]);
		else
			p->item[kept++] = p->item[i];
	}
	p->n = kept;
}

static int paths_add(struct paths *p, const char *path, struct err *e)
{
	if (p->n == p->room) {
		paths_unique(p);
		size_t room = p->n > p->room / 2 || !p->room ? 2 * p->room + 256 : p->room;
		char **bigger = realloc(p->item, room * sizeof(*bigger));

		if (!bigger)
			return err_set(e, EX_OSERR, "out of memory");
		p->item = bigger;
		p->room = room;
	}
	p->item[p->n] = strdup(path);
	if (!p->item[p->n])
		return err_set(e, EX_OSERR, "out of memory");
	p->n++;
	return 0;
}

/* ---- the source ---- */

/* A regular file of the service's lower layer, and in none of the folders that travel. */
static bool is_base(const struct service *s, const char *inside)
{
	char path[2 * PATH_MAX];
	struct stat st;

	if (inside[0] != '/' || strstr(inside, " (deleted)"))
		return false;
	for (int i = 0; i < s->n_volumes; i++)
		if (file_is_below(inside, s->volumes[i].path))
			return false;
	snprintf(path, sizeof(path), "%s%s", service_dir(s, "upper"), inside);
	return lstat(path, &st) && !lstat(inside, &st) && S_ISREG(st.st_mode);
}

static int add_mapped(struct paths *p, pid_t pid, struct err *e)
{
	char path[64], last[PATH_MAX] = "";
	AUTO_FREE char *line = NULL;
	size_t room = 0;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	AUTO_FILE FILE *f = fopen(path, "re");
	while (f && getline(&line, &room, f) > 0) {
		const char *file = strchr(line, '/');

		line[strcspn(line, "\n")] = 0;
		if (!file || strlen(file) >= sizeof(last) || !strcmp(file, last))
			continue;
		memcpy(last, file, strlen(file) + 1);
		if (paths_add(p, file, e))
			return -1;
	}
	return 0;
}

static int add_open(struct paths *p, pid_t pid, struct err *e)
{
	char path[64], target[PATH_MAX];
	struct dirent *de;
	int rc = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	DIR *d = opendir(path);
	while (d && !rc && (de = readdir(d))) {
		ssize_t n = readlinkat(dirfd(d), de->d_name, target, sizeof(target) - 1);

		if (n <= 0 || target[0] != '/')
			continue;
		target[n] = 0;
		rc = paths_add(p, target, e);
	}
	if (d)
		closedir(d);
	return rc;
}

static struct json *base_list(const struct service *s, const struct paths *p, struct err *e)
{
	AUTO_JSON struct json *base = json_array();
	size_t bytes = 0, files = 0;
	char hex[65];

	if (digest_load(e))
		return NULL;
	for (size_t i = 0; i < p->n; i++) {
		if (!is_base(s, p->item[i]))
			continue;
		files++;
		bytes += strlen(p->item[i]) + ENTRY_BYTES;
		if (bytes > LIST_MAX)
			continue;
		struct json *b = json_object();
		check_file_digest(p->item[i], hex);
		json_set_str(b, "path", p->item[i]);
		json_set_str(b, "sha256", hex);
		json_add(base, b);
	}
	if (bytes <= LIST_MAX)
		return TAKE_PTR(base);
	err_set(e, EX_UNAVAILABLE, "service %s: has %zu files of / open or mapped: a list of them is longer than %u MB", s->name,
		files, LIST_MAX >> 20);
	return NULL;
}

struct json *check_base_facts(const struct service *s, const pid_t *pids, size_t n, struct err *e)
{
	struct json *base = NULL;
	struct paths p = { 0 };
	int rc = 0;

	for (size_t i = 0; i < n && !rc; i++)
		rc = add_mapped(&p, pids[i], e) || add_open(&p, pids[i], e) ? -1 : 0;
	paths_unique(&p);
	if (!rc)
		base = base_list(s, &p, e);
	paths_clear(&p);
	return base;
}

bool check_base_offered(const struct json *facts, const char *path)
{
	AUTO_JSON struct json *base = json_get(facts, "base");
	size_t lo = 0, hi = base ? json_len(base, NULL) : 0;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		AUTO_JSON struct json *b = json_at(base, mid);
		int order = json_str(b, "path") ? strcmp(json_str(b, "path"), path) : -1;

		if (!order)
			return true;
		if (order < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}

/* ---- the destination ---- */

void check_base_here(const struct service *s, const struct json *call, struct json *list, struct json *wanted)
{
	AUTO_JSON struct json *base = json_get(call, "base");
	size_t refused = 0;
	char path[2 * PATH_MAX], hex[65];

	for (size_t i = 0, n = base ? json_len(base, NULL) : 0; i < n; i++) {
		AUTO_JSON struct json *b = json_at(base, i);
		const char *inside = json_str(b, "path"), *want = json_str(b, "sha256");

		if (!inside || !want || *inside != '/' || strlen(inside) >= PATH_MAX)
			continue;
		snprintf(path, sizeof(path), "%s%s", strcmp(s->root, "/") ? s->root : "", inside);
		check_file_digest(path, hex);
		if (!strcmp(hex, want))
			continue;
		if (json_bool(call, "ship_base", false))
			json_add(wanted, json_string(inside));
		else if (refused++ < REFUSALS_MAX)
			check_refuse(list, "base", *hex ? "%s: differs from the source's" : "%s: missing here", inside);
	}
	if (refused > REFUSALS_MAX)
		check_refuse(list, "base", "%zu more files differ or are missing", refused - REFUSALS_MAX);
}
