/* SPDX-License-Identifier: MIT */
#include "lib/move/checkpoint.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>

#include "lib/base/file.h"
#include "lib/discover/node.h"
#include "lib/move/pagemap.h"

static bool id_valid(const char *id)
{
	return id && strlen(id) == 32 && strspn(id, "0123456789abcdef") == 32;
}

static int make_folder(struct checkpoint *ck, struct err *e)
{
	snprintf(ck->dir, sizeof(ck->dir), "%s", file_path("/var/lib/edge/checkpoints/%s", ck->id));
	return file_mkdirs(ck->dir, 0700, e);
}

int checkpoint_new(struct checkpoint **out, const struct service *s, bool tcp_close, struct err *e)
{
	AUTO_CHECKPOINT struct checkpoint *ck = calloc(1, sizeof(*ck));
	AUTO_JSON struct json *copy = service_to_json(s);
	uint8_t random[16];

	if (!ck || !copy)
		return err_set(e, EX_OSERR, "out of memory");
	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return err_sys(e, "getrandom");
	for (size_t i = 0; i < sizeof(random); i++)
		snprintf(ck->id + 2 * i, 3, "%02x", random[i]);
	snprintf(ck->from, sizeof(ck->from), "%s", node_self());
	ck->tcp_close = tcp_close;
	if (service_from_json(&ck->service, copy, e) || make_folder(ck, e))
		return -1;
	*out = TAKE_PTR(ck);
	return 0;
}

int checkpoint_from_json(struct checkpoint **out, const struct json *j, struct err *e)
{
	AUTO_CHECKPOINT struct checkpoint *ck = calloc(1, sizeof(*ck));
	AUTO_JSON struct json *spec = json_get(j, "service");
	const char *id = json_str(j, "checkpoint"), *from = json_str(j, "from");

	if (!ck)
		return err_set(e, EX_OSERR, "out of memory");
	if (!id_valid(id) || !spec || !from || strlen(from) >= sizeof(ck->from))
		return err_set(e, EX_DATAERR, "checkpoint: id, service or source is missing");
	strcpy(ck->id, id);
	strcpy(ck->from, from);
	ck->tcp_close = json_bool(j, "tcp_close", false);
	ck->held = json_bool(j, "held", false);
	ck->facts = json_get(j, "facts");
	if (service_from_json(&ck->service, spec, e))
		return -1;
	if (!*ck->service->id) /* what is kept of it is kept by its id */
		return err_set(e, EX_DATAERR, "service %s: it has no id", ck->service->name);
	if (make_folder(ck, e))
		return -1;
	*out = TAKE_PTR(ck);
	return 0;
}

void checkpoint_to_json(const struct checkpoint *ck, struct json *j)
{
	json_set_str(j, "checkpoint", ck->id);
	json_set_str(j, "from", ck->from);
	json_set_bool(j, "tcp_close", ck->tcp_close);
	json_set_bool(j, "held", ck->held);
	json_set(j, "service", service_to_json(ck->service));
}

int checkpoint_save(const struct checkpoint *ck, struct err *e)
{
	AUTO_JSON struct json *j = json_object();
	char path[PATH_MAX + 32];

	checkpoint_to_json(ck, j);
	json_set(j, "facts", ck->facts ? json_copy(ck->facts) : NULL);
	snprintf(path, sizeof(path), "%s/checkpoint.json", ck->dir);
	return json_write_file(j, path, e);
}

int checkpoint_load(struct checkpoint **out, const char *id, struct err *e)
{
	char path[PATH_MAX];

	if (!id_valid(id))
		return err_set(e, EX_DATAERR, "checkpoint: not an id: %.40s", id);
	snprintf(path, sizeof(path), "%s", file_path("/var/lib/edge/checkpoints/%s/checkpoint.json", id));
	if (access(path, F_OK))
		return err_set(e, EX_UNAVAILABLE, "checkpoint %s: not on this node", id);
	AUTO_JSON struct json *j = json_read_file(path, e);
	if (!j)
		return err_wrap(e, "checkpoint %s", id);
	if (!json_str(j, "checkpoint") || strcmp(json_str(j, "checkpoint"), id))
		return err_set(e, EX_DATAERR, "checkpoint %s: its folder holds another one", id);
	return checkpoint_from_json(out, j, e) ? err_wrap(e, "checkpoint %s", id) : 0;
}

int checkpoint_remove(const struct checkpoint *ck, struct err *e)
{
	return file_remove_tree(ck->dir, e);
}

void checkpoint_free(struct checkpoint *ck)
{
	if (ck->service)
		service_free(ck->service);
	json_free(ck->facts);
	free(ck);
}

/* Every page of one pagemap. */
static int check_pagemap(const struct checkpoint *ck, const char *name, struct image *im, struct err *e)
{
	AUTO_PAGEMAP struct pagemap *pm = NULL;
	uint64_t object = pagemap_object(name);
	char path[PATH_MAX + 256];

	snprintf(path, sizeof(path), "%s/%s", ck->dir, name);
	if (pagemap_read(&pm, path, e))
		return -1;
	for (size_t i = 0; i < pm->n; i++) {
		const struct pagemap_entry *en = &pm->entry[i];

		if (!(en->flags & PAGES_IN_PARENT))
			return err_set(e, EX_DATAERR, "%s: pages that are not in the memory image", name);
		for (uint64_t p = 0; p < en->pages; p++)
			if (image_use(im, object, en->addr + p * PAGE_BYTES))
				return err_set(e, EX_DATAERR, "%s: page %#llx is missing", name,
					       (unsigned long long)(en->addr + p * PAGE_BYTES));
	}
	return 0;
}

int checkpoint_complete(const struct checkpoint *ck, struct image *im, struct err *e)
{
	DIR *d = opendir(ck->dir);
	bool inventory = false;
	struct dirent *de;
	int rc = 0;

	if (!d)
		return err_sys(e, "checkpoint %s", ck->id);
	while (!rc && (de = readdir(d))) {
		inventory |= !strcmp(de->d_name, "inventory.img");
		if (pagemap_object(de->d_name))
			rc = check_pagemap(ck, de->d_name, im, e);
	}
	closedir(d);
	if (!rc && !inventory)
		rc = err_set(e, EX_DATAERR, "images are missing");
	return rc ? err_wrap(e, "checkpoint %s", ck->id) : 0;
}

static int open_folder(struct files *f, unsigned number, const char *path, struct err *e)
{
	*f = (struct files){ .number = number, .root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
	return f->root < 0 ? err_sys(e, "%s", path) : 0;
}

int checkpoint_folders(const struct service *s, struct files *f, struct err *e)
{
	int n = 0;

	if (open_folder(&f[n], 0, service_dir(s, "upper"), e))
		return -1;
	snprintf(f[n++].what, sizeof(f->what), "service %s", s->name);
	for (int i = 0; i < s->n_volumes + (s->bundle[0] != 0); i++, n++) {
		bool volume = i < s->n_volumes;

		if (open_folder(&f[n], (unsigned)n, volume ? s->volumes[i].host : service_dir(s, "bundle"), e)) {
			while (n--)
				files_clear(&f[n]);
			return -1;
		}
		snprintf(f[n].what, sizeof(f->what), "%s %s", volume ? "volume" : "bundle of service",
			 volume ? s->volumes[i].path : s->name);
	}
	return n;
}

static void copied_path(const struct checkpoint *ck, int k, char path[PATH_MAX + 32])
{
	snprintf(path, PATH_MAX + 32, "%s/folders/%d", ck->dir, k);
}

static int copy_folder(const struct checkpoint *ck, struct files *f, int k, struct err *e)
{
	AUTO_TREE struct tree *want = NULL, *have = NULL;
	AUTO_TREE_PLAN struct tree_plan *plan = NULL;
	AUTO_TREE_APPLY struct tree_apply *apply = NULL;
	AUTO_TREE_READER struct tree_reader *reader = NULL;
	const struct tree_block *need;
	char path[PATH_MAX + 32];
	size_t n, len;
	int rc;

	copied_path(ck, k, path);
	if (file_mkdirs(path, 0700, e))
		return -1;
	AUTO_FD int to = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO_FREE uint8_t *buf = malloc(TREE_BLOCK);
	if (to < 0 || !buf)
		return err_sys(e, "%s", path);
	rc = tree_scan(&want, f->root, NULL, NULL, 0, e) || tree_scan(&have, to, NULL, NULL, 0, e) ||
	     tree_plan(&plan, have, want, e) || tree_apply_start(&apply, plan, to, 0, e) ||
	     tree_reader_open(&reader, f->root, want, e);
	need = rc ? NULL : tree_plan_needs(plan, &n);
	for (size_t i = 0; !rc && i < n; i++)
		rc = tree_read(reader, need[i], buf, &len, e) || tree_apply_put(apply, need[i], buf, len, e);
	if (!rc)
		rc = tree_apply_finish(apply, e);
	/* In this order: reader and plan point into the trees. */
	tree_apply_free_auto(&apply);
	tree_reader_free_auto(&reader);
	tree_plan_free_auto(&plan);
	apply = NULL;
	reader = NULL;
	plan = NULL;
	return rc ? err_wrap(e, "%s", f->what) : 0;
}

int checkpoint_copy_folders(const struct checkpoint *ck, struct files *f, int n, struct err *e)
{
	for (int k = 0; k < n; k++)
		if (copy_folder(ck, &f[k], k, e))
			return -1;
	return 0;
}

int checkpoint_copied_folders(const struct checkpoint *ck, struct files *f, struct err *e)
{
	char path[PATH_MAX + 32];
	int n = checkpoint_folders(ck->service, f, e);

	for (int k = 0; k < n; k++) {
		int copy;

		copied_path(ck, k, path);
		copy = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (copy < 0)
			continue;
		close(f[k].root);
		f[k].root = copy;
	}
	return n;
}
