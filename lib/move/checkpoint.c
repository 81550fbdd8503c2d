/* SPDX-License-Identifier: MIT */
#include "lib/move/checkpoint.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "lib/base/file.h"
#include "lib/base/random.h"
#include "lib/discover/node.h"
#include "lib/move/check.h"
#include "lib/move/pagemap.h"

bool checkpoint_id_valid(const char *id)
{
	return id && strlen(id) == 32 && strspn(id, "0123456789abcdef") == 32;
}

static struct checkpoint *alloc(struct err *e)
{
	struct checkpoint *ck = calloc(1, sizeof(*ck));

	if (ck)
		ck->lock = -1;
	else
		err_set(e, EX_OSERR, "out of memory");
	return ck;
}

int checkpoint_make_folder(struct checkpoint *ck, struct err *e)
{
	struct stat st;

	if (ck->lock >= 0)
		close(ck->lock);
	snprintf(ck->dir, sizeof(ck->dir), "%s", file_path("/var/lib/edge/checkpoints/%s", ck->id));
	if (file_mkdir_private(file_path("/var/lib/edge/checkpoints"), e) || file_mkdir_private(ck->dir, e))
		return -1;
	ck->lock = open(ck->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (ck->lock < 0 || flock(ck->lock, LOCK_SH) || fstat(ck->lock, &st))
		return err_sys(e, "%s", ck->dir);
	/* It was swept away before it was locked. */
	return st.st_nlink ? 0 : checkpoint_make_folder(ck, e);
}

static int make_new(struct checkpoint *ck, bool tcp_close, struct err *e)
{
	if (random_hex(ck->id, 16, e))
		return -1;
	snprintf(ck->from, sizeof(ck->from), "%s", node_self());
	ck->tcp_close = tcp_close;
	return checkpoint_make_folder(ck, e);
}

int checkpoint_new(struct checkpoint **out, const struct service *s, bool tcp_close, struct err *e)
{
	AUTO_CHECKPOINT struct checkpoint *ck = alloc(e);
	AUTO_JSON struct json *copy = service_to_json(s);

	if (!ck || service_from_json(&ck->service, copy, e) || make_new(ck, tcp_close, e))
		return -1;
	*out = TAKE_PTR(ck);
	return 0;
}

int checkpoint_new_tree(struct checkpoint **out, pid_t pid, bool tcp_close, struct err *e)
{
	AUTO_CHECKPOINT struct checkpoint *ck = alloc(e);

	if (!ck)
		return -1;
	ck->tree = pid;
	if (make_new(ck, tcp_close, e))
		return -1;
	*out = TAKE_PTR(ck);
	return 0;
}

int checkpoint_from_json(struct checkpoint **out, const struct json *j, struct err *e)
{
	AUTO_CHECKPOINT struct checkpoint *ck = alloc(e);
	AUTO_JSON struct json *spec = json_get(j, "service");
	const char *id = json_str(j, "checkpoint"), *from = json_str(j, "from");

	if (!ck)
		return -1;
	if (json_has(j, "pid"))
		return err_set(e, EX_UNAVAILABLE, "is of processes that are no service: criu restores it (see edge-checkpoint(8))");
	if (!checkpoint_id_valid(id) || !spec || !from || strlen(from) >= sizeof(ck->from))
		return err_set(e, EX_DATAERR, "checkpoint: id, service or source is missing");
	strcpy(ck->id, id);
	strcpy(ck->from, from);
	ck->tcp_close = json_bool(j, "tcp_close", false);
	ck->held = json_bool(j, "held", false);
	ck->facts = json_get(j, "facts");
	if (service_from_json(&ck->service, spec, e))
		return -1;
	ck->service->pid = 0; /* what ran there does not run here */
	ck->service->start_time = 0;
	if (!*ck->service->id) /* what is kept of it is kept by its id */
		return err_set(e, EX_DATAERR, "service %s: it has no id", ck->service->name);
	if (checkpoint_make_folder(ck, e))
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
	if (ck->stored)
		json_set_bool(j, "seal", true);
	if (ck->tree)
		json_set_num(j, "pid", ck->tree);
	else
		json_set(j, "service", service_to_json(ck->service));
}

int checkpoint_save(const struct checkpoint *ck, struct err *e)
{
	AUTO_JSON struct json *j = json_object();
	char path[PATH_MAX + 32];

	checkpoint_to_json(ck, j);
	struct json *digests = checkpoint_digests(ck, e);
	if (!digests)
		return -1;
	json_set(j, "images", digests);
	json_set(j, "facts", ck->facts ? json_copy(ck->facts) : NULL);
	if (ck->own_memory)
		json_set_bool(j, "own_memory", true);
	struct json *copies = ck->n_copies ? json_array() : NULL;
	for (int k = 0; k < ck->n_copies; k++)
		json_add(copies, json_string(ck->copy[k]));
	json_set(j, "copies", copies);
	snprintf(path, sizeof(path), "%s/checkpoint.json", ck->dir);
	AUTO_FREE char *text = json_text(j);
	if (!text)
		return err_set(e, EX_OSERR, "out of memory");
	return file_write(path, text, strlen(text), 0600, e); /* it has the service's environment */
}

/* Only a checkpoint of this node's own has them: none of this comes over the wire. */
static void read_copies(struct checkpoint *ck, const struct json *j)
{
	AUTO_JSON struct json *copies = json_get(j, "copies");
	size_t n = copies ? json_len(copies, NULL) : 0;

	ck->own_memory = json_bool(j, "own_memory", false);
	for (; (size_t)ck->n_copies < n && ck->n_copies < CHECKPOINT_FOLDERS; ck->n_copies++) {
		AUTO_JSON struct json *copy = json_at(copies, (size_t)ck->n_copies);

		snprintf(ck->copy[ck->n_copies], sizeof(ck->copy[0]), "%s", json_value(copy) ? json_value(copy) : "");
	}
}

int checkpoint_load(struct checkpoint **out, const char *id, struct err *e)
{
	char path[PATH_MAX];

	if (!checkpoint_id_valid(id))
		return err_set(e, EX_DATAERR, "checkpoint: not an id: %.40s", id);
	snprintf(path, sizeof(path), "%s", file_path("/var/lib/edge/checkpoints/%s/checkpoint.json", id));
	if (access(path, F_OK))
		return err_set(e, EX_UNAVAILABLE, "checkpoint %s: not on this node", id);
	AUTO_JSON struct json *j = json_read_file(path, e);
	AUTO_JSON struct json *images = j ? json_get(j, "images") : NULL;
	AUTO_CHECKPOINT struct checkpoint *ck = NULL;

	if (j && (!json_str(j, "checkpoint") || strcmp(json_str(j, "checkpoint"), id)))
		return err_set(e, EX_DATAERR, "checkpoint %s: its folder holds another one", id);
	if (!j || checkpoint_from_json(&ck, j, e) || checkpoint_verify(ck, images, e))
		return err_wrap(e, "checkpoint %s", id);
	read_copies(ck, j);
	ck->stored = true;
	*out = TAKE_PTR(ck);
	return 0;
}

bool checkpoint_is_held(const char *id)
{
	AUTO_CHECKPOINT struct checkpoint *ck = NULL;

	return !checkpoint_load(&ck, id, NULL) && ck->held;
}

bool checkpoint_exists(const char *id)
{
	return checkpoint_id_valid(id) && !access(file_path("/var/lib/edge/checkpoints/%s", id), F_OK);
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
	if (ck->lock >= 0)
		close(ck->lock);
	free(ck);
}

/* The pages of one entry. What lay on a disk for an unknown time is read before it is used; for a
 * holder it came just now. */
static int check_entry(const struct checkpoint *ck, struct image *im, uint64_t object, const struct pagemap_entry *en,
		       struct err *e)
{
	uint64_t held = image_use(im, object, en->addr, en->pages);
	uint8_t page[PAGE_BYTES];

	if (held < en->pages)
		return err_set(e, EX_DATAERR, "page %#llx is missing", (unsigned long long)(en->addr + held * PAGE_BYTES));
	for (uint64_t p = 0; p < en->pages && ck->own_memory && !ck->held; p++)
		if (image_read(im, object, en->addr + p * PAGE_BYTES, page))
			return err_set(e, EX_DATAERR, "page %#llx is damaged",
				       (unsigned long long)(en->addr + p * PAGE_BYTES));
	return 0;
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

		if (en->flags == PAGES_LAZY && ck->late && !(object & OBJECT_SHARED))
			continue;
		if (!(en->flags & PAGES_IN_PARENT))
			return err_set(e, EX_DATAERR, "%s: pages that are not in the memory image", name);
		if (check_entry(ck, im, object, en, e))
			return err_wrap(e, "%s", name);
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
