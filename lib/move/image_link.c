/* SPDX-License-Identifier: MIT */
/* A memory image as CRIU reads it: a chain of parent images, one a layer. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/move/image_int.h"
#include "lib/move/pagemap.h"

/* The pagemap of one object at one layer: that layer's windows are here, those of deeper layers in the parent. */
static int link_layer(struct image *im, struct object *o, int layer, unsigned pages_id, const char *dir, struct err *e)
{
	AUTO_PAGEMAP struct pagemap *pm = calloc(1, sizeof(*pm));
	char path[PATH_MAX + 96], target[PATH_MAX + 64], name[64];

	if (!pm || !(pm->entry = calloc(o->n_windows + 1, sizeof(*pm->entry))))
		return err_set(e, EX_OSERR, "out of memory");
	pm->pages_id = pages_id;
	for (size_t i = 0; i < o->n_windows; i++)
		if (o->window[i]->layer <= layer)
			pm->entry[pm->n++] = (struct pagemap_entry){
				.addr = o->window[i]->number << WINDOW_BITS,
				.pages = (1ULL << WINDOW_BITS) / PAGE_BYTES,
				.flags = o->window[i]->layer == layer ? PAGES_PRESENT : PAGES_IN_PARENT,
			};
	pagemap_name(o->id, name);
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (pagemap_write(pm, path, e))
		return -1;
	snprintf(path, sizeof(path), "%s/pages-%u.img", dir, pages_id);
	snprintf(target, sizeof(target), "%s/%016" PRIx64 ".%d", im->dir, o->id, layer);
	/* Not a symbolic link: CRIU opens it when its root is the service's already. */
	unlink(path);
	return link(target, path) ? err_sys(e, "%s", path) : 0;
}

static int link_level(struct image *im, int level, const char *dir, struct err *e)
{
	int rc = 0;

	if (mkdir(dir, 0700) && errno != EEXIST)
		return err_sys(e, "%s", dir);
	for (size_t i = 0; i < im->n_objects && !rc; i++) {
		int layer = im->object[i]->n_layers - 1 - level;

		if (layer >= 0)
			rc = link_layer(im, im->object[i], layer, (unsigned)i + 1, dir, e);
	}
	return rc;
}

int image_link_parents(struct image *im, const char *images, struct err *e)
{
	char dir[PATH_MAX];
	int depth = 0, rc = 0;

	pthread_mutex_lock(&im->lock);
	for (size_t i = 0; i < im->n_objects; i++)
		if (im->object[i]->n_layers > depth)
			depth = im->object[i]->n_layers;
	snprintf(dir, sizeof(dir), "%s", images);
	for (int level = 0; level < depth && !rc; level++) {
		if (strlen(dir) + sizeof("/parent") > sizeof(dir)) {
			rc = err_set(e, EX_SOFTWARE, "memory image: too many layers");
			break;
		}
		strcat(dir, "/parent");
		rc = link_level(im, level, dir, e);
	}
	pthread_mutex_unlock(&im->lock);
	return rc;
}
