/* SPDX-License-Identifier: MIT */
/* podman's checkpoints: an archive of CRIU's images and of all that podman knows of a container, taken apart so that it can be
 * compared with an older one, and put together again where it goes. What the container has written is none of podman's business
 * here: of that podman 4.3 finds what is new, and not what is changed. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/proc.h"
#include "lib/engine/cgroup.h"
#include "lib/engine/container.h"
#include "lib/engine/criu_timers.h"
#include "lib/engine/net.h"

#define FREEZE_MS 5000
#define DEPTH 32

static const char *unable(void)
{
	return proc_find("runc") ? NULL : "it makes checkpoints by runc only, and there is none"; /* crun: only if built so */
}

static int freeze(const struct service *s, struct err *e)
{
	return cgroup_freeze_with(s->pid, FREEZE_MS, e);
}

static int thaw(const struct service *s, struct err *e)
{
	return cgroup_thaw_with(s->pid, e);
}

/* ---- what a container has taken away from its image ---- */

struct gone {
	struct json *list; /* of paths */
	const char *upper;
	char *lower; /* folders of the image's layers, with ':' between them */
};

static bool overlay_says(const char *path, const char *name)
{
	char value[256];

	return lgetxattr(path, name, value, sizeof(value)) > 0;
}

/* In the folder `below` nothing of the image is seen but what is in the upper one, too. */
static void hide(struct gone *g, const char *below)
{
	AUTO_FREE char *layers = strdup(g->lower);
	char path[2 * PATH_MAX], *save = NULL;
	struct stat st;
	struct dirent *de;

	for (char *l = layers ? strtok_r(layers, ":", &save) : NULL; l; l = strtok_r(NULL, ":", &save)) {
		snprintf(path, sizeof(path), "%s%s", l, below);
		DIR *d = opendir(path);

		while (d && (de = readdir(d))) {
			if (!strcmp(de->d_name, ".") || !strcmp(de->d_name, ".."))
				continue;
			snprintf(path, sizeof(path), "%s%s/%s", g->upper, below, de->d_name);
			if (lstat(path, &st))
				json_add(g->list, json_string(path + strlen(g->upper)));
		}
		if (d)
			closedir(d);
	}
}

/* below: "" or "/a/b"; opaque: nothing of the image shows through it. */
static int look(struct gone *g, const char *below, bool opaque, int depth, struct err *e)
{
	char path[2 * PATH_MAX], inside[PATH_MAX];
	struct stat st;
	struct dirent *de;
	int rc = 0;

	snprintf(path, sizeof(path), "%s%s", g->upper, below);
	opaque |= overlay_says(path, "trusted.overlay.opaque");
	if (opaque)
		hide(g, below);
	DIR *d = depth < DEPTH * 8 ? opendir(path) : NULL;
	if (!d)
		return err_sys(e, "%s", path);
	while (!rc && (de = readdir(d))) {
		if (!strcmp(de->d_name, ".") || !strcmp(de->d_name, "..") ||
		    snprintf(inside, sizeof(inside), "%s/%s", below, de->d_name) >= (int)sizeof(inside))
			continue;
		snprintf(path, sizeof(path), "%s%s", g->upper, inside);
		if (lstat(path, &st))
			rc = err_sys(e, "%s", path);
		else if (overlay_says(path, "trusted.overlay.redirect") || overlay_says(path, "trusted.overlay.metacopy"))
			rc = err_set(e, EX_UNAVAILABLE, "podman: its storage has %s by reference only (redirect_dir or metacopy): "
				     "cannot be moved", inside);
		else if (S_ISCHR(st.st_mode) && !st.st_rdev)
			json_add(g->list, json_string(inside));
		else if (S_ISDIR(st.st_mode))
			rc = look(g, inside, opaque, depth + 1, e);
	}
	closedir(d);
	return rc;
}

static int upper(const struct service *s, char path[PATH_MAX], struct err *e)
{
	AUTO_FREE char *text = NULL;

	if (s->pid && !(text = container_ask(s, "podman", "{{.GraphDriver.Data.UpperDir}}", e)))
		return -1;
	if (text && (*text != '/' || strlen(text) >= PATH_MAX))
		return err_set(e, EX_UNAVAILABLE, "service %s: podman: its storage driver is not overlay", s->name);
	snprintf(path, PATH_MAX, "%s", text ? text : service_dir(s, "upper"));
	return text ? 0 : file_mkdirs(path, 0755, e);
}

static int write_gone(const struct service *s, const char *dir, struct err *e)
{
	AUTO_FREE char *lower = container_ask(s, "podman", "{{.GraphDriver.Data.LowerDir}}", e);
	AUTO_JSON struct json *list = json_array();
	char above[PATH_MAX], file[PATH_MAX + 32];
	struct gone g = { list, above, lower };

	snprintf(file, sizeof(file), "%s/deleted.files", dir);
	if (!lower || upper(s, above, e) || look(&g, "", false, 0, e))
		return -1;
	return json_write_file(list, file, e);
}

/* ---- the checkpoint ---- */

/* Of criu's failures podman knows no more than that it failed. */
static int failed(const struct service *s, struct err *e)
{
	AUTO_FREE char *config = container_ask(s, "podman", "{{.OCIConfigPath}}", NULL);
	char *slash = config ? strrchr(config, '/') : NULL, lines[768] = "";

	if (slash) {
		*slash = '\0';
		criu_quote_log(config, "dump.log", lines, sizeof(lines));
	}
	return *lines ? err_set(e, EX_UNAVAILABLE, "service %s: podman: criu: %s", s->name, lines) : -1;
}

static int dump(const struct service *s, const char *dir, struct err *e)
{
	char file[PATH_MAX + 32], images[PATH_MAX + 32];
	const char *const words[] = { "podman", "container", "checkpoint", "--leave-running", "--tcp-established", "--ignore-rootfs",
				      "--compress", "none", "--export", file, s->name, NULL };
	const char *const tar[] = { "tar", "-C", dir, "-xf", file, NULL };

	snprintf(file, sizeof(file), "%s/archive", dir);
	snprintf(images, sizeof(images), "%s/checkpoint", dir);
	if (container_do_apart(words, s, e))
		return failed(s, e);
	if (container_do(tar, NULL, CONTAINER_RUN_MS, s, e))
		return -1;
	unlink(file);
	return criu_mend_timers(images, e) || write_gone(s, dir, e) ? -1 : 0;
}

static int arm(struct service *s, struct err *e)
{
	return net_create(s, e);
}

#define SOURCE "\"source\":"

/* The text with `to` instead of `from` as the source of a mount, as often as it stands there (new). */
static char *with(const char *text, const char *from, const char *to)
{
	char *out = NULL, old[PATH_MAX + 3];
	size_t size, n = (size_t)snprintf(old, sizeof(old), "\"%s\"", from);
	FILE *f = open_memstream(&out, &size);

	if (!f)
		return NULL;
	for (const char *at; (at = strstr(text, SOURCE)); text = at) {
		at += strlen(SOURCE);
		at += strspn(at, " ");
		fprintf(f, "%.*s", (int)(at - text), text);
		if (strncmp(at, old, n))
			continue;
		fprintf(f, "\"%s\"", to);
		at += n;
	}
	fputs(text, f);
	return fclose(f) ? (free(out), NULL) : out;
}

/* Where they are here, in one of the files in which podman says where they were. As text: numbers in them are larger than a
 * reader of JSON may keep. */
static int move_volumes(const struct service *s, const char *dir, const char *name, const struct json *mounts, struct err *e)
{
	char path[PATH_MAX + 32];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	AUTO_FREE char *text = file_slurp(path, NULL, e);
	for (size_t k = 0; text && k < json_len(mounts, NULL); k++) {
		AUTO_JSON struct json *m = json_at(mounts, k);
		const char *at = json_str(m, "destination"), *from = json_str(m, "source");

		for (int i = 0; text && at && from && i < s->n_volumes; i++) {
			if (strcmp(at, s->volumes[i].path) || strlen(from) >= PATH_MAX)
				continue;
			char *now = with(text, from, s->volumes[i].host);

			free(text);
			text = now;
		}
	}
	return text ? file_write(path, text, strlen(text), 0600, e) : -1;
}

static int place_volumes(const struct service *s, const char *dir, struct err *e)
{
	char path[PATH_MAX + 32];

	snprintf(path, sizeof(path), "%s/spec.dump", dir);
	AUTO_JSON struct json *spec = s->n_volumes ? json_read_file(path, e) : NULL, *mounts = spec ? json_get(spec, "mounts") : NULL;
	if (!s->n_volumes)
		return 0;
	return !mounts || move_volumes(s, dir, "config.dump", mounts, e) || move_volumes(s, dir, "spec.dump", mounts, e) ? -1 : 0;
}

static int remove_whiteout(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)type;
	(void)ftw;
	return S_ISCHR(st->st_mode) && !st->st_rdev ? unlink(path) : 0;
}

static int restore(struct service *s, const char *dir, struct err *e)
{
	char above[PATH_MAX], files[PATH_MAX + 32], archive[PATH_MAX];
	const char *const pack_files[] = { "tar", "-C", above, "--xattrs", "--xattrs-include=user.*",
					   "--xattrs-include=security.capability", "-cf", files, ".", NULL };
	const char *const pack[] = { "tar", "-C", dir, "-cf", archive, ".", NULL };
	const char *const words[] = { "podman", "container", "restore", "--tcp-established", "--import", archive, NULL };

	snprintf(above, sizeof(above), "%s", service_dir(s, "upper"));
	snprintf(files, sizeof(files), "%s/rootfs-diff.tar", dir);
	snprintf(archive, sizeof(archive), "%s", service_dir(s, "archive"));
	if (place_volumes(s, dir, e))
		return -1;
	/* They are in the list; as files they mean nothing to podman. */
	if (nftw(above, remove_whiteout, DEPTH, FTW_PHYS))
		return err_sys(e, "%s", above);
	int rc = container_do(pack_files, NULL, CONTAINER_RUN_MS, s, e) || container_do(pack, NULL, CONTAINER_RUN_MS, s, e) ||
		 container_do_apart(words, s, e);
	unlink(files);
	unlink(archive);
	return rc || container_pid(s, "podman", e) || freeze(s, e) ? -1 : 0;
}

const struct engine_memory podman_memory = {
	.unable = unable,
	.copies = 3, /* as it came, packed for podman, and unpacked by that */
	.keeps_connections = true,
	.freeze = freeze,
	.thaw = thaw,
	.dump = dump,
	.arm = arm,
	.upper = upper,
	.restore = restore,
};
