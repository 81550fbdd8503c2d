/* SPDX-License-Identifier: MIT */
#include "lib/engine/watches.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>

#include "lib/base/auto.h"
#include "lib/engine/cgroup.h"

#define WATCHES_MAX 1024
#define OVERLAY_TYPE 0xf8      /* of a handle: the kernel's OVL_FILEID_V1 */
#define OVERLAY_MAGIC 0xfb
#define OVERLAY_UPPER 4        /* a flag: the real file lies in the upper layer */
#define HANDLE_MAX 128

/* The kernel's struct ovl_fb, as ext4, xfs and btrfs give it to NFS servers, too. */
struct overlay_handle {
	uint8_t version, magic, len, flags, type, uuid[16], real[HANDLE_MAX];
} __attribute__((packed));

struct layer {
	int fd;
	char path[PATH_MAX]; /* "" for the root folder */
};

struct search {
	struct layer upper, lower;
	char **paths;
	size_t n;
};

static void layer_open(struct layer *l, const char *path)
{
	l->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (!realpath(path, l->path) || !strcmp(l->path, "/"))
		*l->path = 0;
}

/* The file's path below the layer, "" when it cannot be found. */
static void real_path(const struct layer *l, const struct overlay_handle *h, char out[PATH_MAX])
{
	union {
		struct file_handle h;
		char room[sizeof(struct file_handle) + HANDLE_MAX];
	} real = { .h = { .handle_bytes = h->len - (unsigned)offsetof(struct overlay_handle, real), .handle_type = h->type } };
	char link[64], path[PATH_MAX];
	size_t n = strlen(l->path);

	*out = 0;
	memcpy(real.h.f_handle, h->real, real.h.handle_bytes);
	AUTO_FD int fd = open_by_handle_at(l->fd, &real.h, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t len = readlink(link, path, sizeof(path) - 1);
	if (len <= 0)
		return;
	path[len] = 0;
	if (!strncmp(path, l->path, n) && (path[n] == '/' || !path[n]))
		snprintf(out, PATH_MAX, "%s", path[n] && path[n + 1] ? path + n : "/.");
}

static void add(struct search *f, const char *path)
{
	for (size_t i = 0; i < f->n; i++)
		if (!strcmp(f->paths[i], path))
			return;
	if (f->n < WATCHES_MAX && (f->paths[f->n] = strdup(path)))
		f->n++;
}

/* "inotify wd:1 ino:11 sdev:55 mask:fc6 ignored_mask:0 fhandle-bytes:20 fhandle-type:f8 f_handle:0000..." */
static void take_line(struct search *f, const char *line)
{
	const char *type = strstr(line, "fhandle-type:"), *hex = strstr(line, "f_handle:");
	uint8_t bytes[3 + sizeof(struct overlay_handle)] = { 0 }; /* three that align the uuid */
	struct overlay_handle h;
	char path[PATH_MAX];
	unsigned t, byte;

	if (strncmp(line, "inotify ", 8) || !type || !hex || sscanf(type, "fhandle-type:%x", &t) != 1 || t != OVERLAY_TYPE)
		return;
	hex += strlen("f_handle:");
	for (size_t i = 0; i < sizeof(bytes) && sscanf(hex + 2 * i, "%2x", &byte) == 1; i++)
		bytes[i] = (uint8_t)byte;
	memcpy(&h, bytes + 3, sizeof(h));
	if (h.magic != OVERLAY_MAGIC || h.len <= offsetof(struct overlay_handle, real) || h.len > HANDLE_MAX)
		return;
	real_path(h.flags & OVERLAY_UPPER ? &f->upper : &f->lower, &h, path);
	if (*path)
		add(f, path);
}

static void take_process(struct search *f, pid_t pid)
{
	char path[128], target[64];
	AUTO_FREE char *line = NULL;
	size_t room = 0;
	struct dirent *de;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	DIR *d = opendir(path);
	while (d && (de = readdir(d))) {
		ssize_t n = readlinkat(dirfd(d), de->d_name, target, sizeof(target) - 1);

		if (n < 0 || (target[n] = 0, strcmp(target, "anon_inode:inotify") != 0))
			continue;
		snprintf(path, sizeof(path), "/proc/%d/fdinfo/%.20s", (int)pid, de->d_name);
		AUTO_FILE FILE *info = fopen(path, "re");
		while (info && getline(&line, &room, info) > 0)
			take_line(f, line);
	}
	if (d)
		closedir(d);
}

char **watches_find(const struct service *s)
{
	struct search f = { .paths = calloc(WATCHES_MAX + 1, sizeof(char *)) };
	AUTO_FREE pid_t *pids = NULL;
	int n = 0;

	if (!f.paths)
		return NULL;
	layer_open(&f.upper, service_dir(s, "upper"));
	layer_open(&f.lower, s->root);
	if (!cgroup_pids(s->name, &pids, &n, NULL))
		for (int i = 0; i < n; i++)
			take_process(&f, pids[i]);
	auto_close(&f.upper.fd);
	auto_close(&f.lower.fd);
	if (!f.n) {
		free(f.paths);
		return NULL;
	}
	return f.paths;
}

void watches_free(char **paths)
{
	for (char **p = paths; p && *p; p++)
		free(*p);
	free(paths);
}
