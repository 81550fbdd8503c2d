/* SPDX-License-Identifier: MIT */
/* A memory image by content, and its index on disk. "index" exists only while the image is at rest; else there may be "rough",
 * which knows only what the image was a while ago. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/file.h"
#include "lib/move/image_int.h"

#define INDEX_MAGIC "EDGEMEM2"
#define PLACES_MIN 4096u
#define PLACES_MOVED 4 /* at each that is added: all have moved long before there are more again than should be */
#define LAYERS_MAX 6 /* more make CRIU's chain long: such an image is begun anew */

/* ---- by content ---- */

static uint64_t hash_key(const struct digest *d)
{
	uint64_t key;

	memcpy(&key, d->byte, sizeof(key));
	return key ? key : 1;
}

/* Where the key is, or would be. */
static struct place *place_at(struct place *table, size_t n, uint64_t key)
{
	size_t i = key & (n - 1);

	while (table[i].key && table[i].key != key)
		i = (i + 1) & (n - 1);
	return &table[i];
}

static void place_put(struct image *im, struct place p, bool newer)
{
	struct place *at = place_at(im->place, im->places, p.key);

	im->places_used += !at->key;
	if (!at->key || newer)
		*at = p;
}

/* A table twice as large, into which the entries move by and by: to move a million at once would take a tenth of a second, in which
 * nobody could work with the image. (To give back the old one takes a tenth of that.) */
static bool grow_places(struct image *im)
{
	size_t n = im->places ? im->places * 2 : PLACES_MIN;
	struct place *bigger = calloc(n, sizeof(*bigger));

	if (!bigger)
		return false;
	im->smaller = im->place;
	im->to_move = im->places;
	im->place = bigger;
	im->places = n;
	im->places_used = 0;
	return true;
}

void image_hash_add(struct image *im, const struct digest *d, uint64_t object, uint64_t addr)
{
	if (im->places_used * 2 >= im->places && !grow_places(im))
		return; /* only sharing is lost */
	for (int i = 0; i < PLACES_MOVED && im->to_move; i++)
		if (im->smaller[--im->to_move].key)
			place_put(im, im->smaller[im->to_move], false);
	if (!im->to_move)
		free(TAKE_PTR(im->smaller));
	place_put(im, (struct place){ hash_key(d), object, addr }, true);
}

bool image_hash_find(struct image *im, const struct digest *d, uint64_t *object, uint64_t *addr)
{
	uint64_t key = hash_key(d);
	const struct place *p = im->places ? place_at(im->place, im->places, key) : NULL;

	if (p && !p->key && im->to_move)
		p = place_at(im->smaller, im->places / 2, key);
	if (!p || !p->key)
		return false;
	*object = p->object;
	*addr = p->addr;
	return true;
}

static void hash_chunk(void *ctx, struct object *o, struct window *w, size_t k)
{
	for (size_t p = 0; p < PAGES_PER_CHUNK; p++)
		if (w->chunk[k]->state[p] == PAGE_DATA)
			image_hash_add(ctx, &w->chunk[k]->digest[p], o->id,
				       w->number << WINDOW_BITS | k << CHUNK_BITS | p * PAGE_BYTES);
}

void image_hash_all(struct image *im)
{
	image_each_chunk(im, hash_chunk, im);
	im->indexed = true;
}

/* ---- the index file: numbers in host order (it never leaves the node), closed by a SHA-256 of all before ---- */

struct index_file {
	FILE *f;
	struct digest_run *sum;
	bool bad;
	struct image *busy; /* others go on working with it meanwhile; else NULL */
	unsigned shape;     /* that it had in the beginning */
};

static void put(struct index_file *x, const void *p, size_t n)
{
	digest_add(x->sum, p, n);
	x->bad |= fwrite(p, 1, n, x->f) != n;
}

static void get(struct index_file *x, void *p, size_t n)
{
	x->bad |= fread(p, 1, n, x->f) != n;
	digest_add(x->sum, p, n);
}

static uint64_t get64(struct index_file *x)
{
	uint64_t v = 0;

	get(x, &v, sizeof(v));
	return x->bad ? 0 : v;
}

static void put64(struct index_file *x, uint64_t v)
{
	put(x, &v, sizeof(v));
}

/* Between these two others work with the image; NULL: nobody does. */
static void give_way(struct image *busy)
{
	if (busy)
		pthread_mutex_unlock(&busy->lock);
}

static void come_back(struct image *busy)
{
	if (busy)
		pthread_mutex_lock(&busy->lock);
}

/* The digests of its pages of data, as many at once as lie side by side. */
static void put_digests(struct index_file *x, const struct chunk *c)
{
	for (size_t p = 0, n; p < PAGES_PER_CHUNK; p += n + 1) {
		for (n = 0; p + n < PAGES_PER_CHUNK && c->state[p + n] == PAGE_DATA; n++)
			;
		if (n)
			put(x, &c->digest[p], n * sizeof(struct digest));
	}
}

/* Of an image that others work with, from a copy: the lock is held for as long as that takes. */
static void put_chunk(struct index_file *x, uint64_t k, const struct chunk *c)
{
	struct chunk copy;

	if (x->busy) {
		copy = *c;
		c = &copy;
		give_way(x->busy);
	}
	put64(x, k);
	put(x, c->state, sizeof(c->state));
	put_digests(x, c);
	if (!x->busy)
		return;
	x->bad |= fflush(x->f) != 0; /* what follows under the lock hardly comes to a disk */
	come_back(x->busy);
	x->bad |= x->busy->shape != x->shape || x->busy->note_over;
}

static void put_window(struct index_file *x, const struct window *w)
{
	bool have[CHUNKS_PER_WINDOW]; /* others may be added meanwhile */
	uint64_t chunks = 0;

	for (size_t k = 0; k < CHUNKS_PER_WINDOW; k++)
		chunks += have[k] = w->chunk[k] != NULL;
	put64(x, w->number);
	put64(x, (uint64_t)w->layer);
	put64(x, chunks);
	for (size_t k = 0; k < CHUNKS_PER_WINDOW && !x->bad; k++)
		if (have[k])
			put_chunk(x, k, w->chunk[k]);
}

static bool get_chunk(struct index_file *x, struct window *w)
{
	uint64_t k = get64(x);
	struct chunk *c = !x->bad && k < CHUNKS_PER_WINDOW && !w->chunk[k] ? calloc(1, sizeof(*c)) : NULL;

	if (!c)
		return false;
	w->chunk[k] = c;
	get(x, c->state, sizeof(c->state));
	for (size_t p = 0; p < PAGES_PER_CHUNK && !x->bad; p++) {
		if (c->state[p] > PAGE_STALE)
			return false;
		if (c->state[p] != PAGE_DATA)
			continue;
		get(x, &c->digest[p], sizeof(struct digest));
	}
	return !x->bad;
}

static bool get_object(struct index_file *x, struct image *im)
{
	uint64_t id = get64(x), layers = get64(x), windows = get64(x);
	struct object *o = x->bad || layers > LAYERS_MAX || windows > WINDOWS_MAX ? NULL : image_object_add(im, id);

	if (!o || o->window) /* the second would not fit into the first */
		return false;
	o->window = calloc(windows + 1, sizeof(struct window *));
	for (uint64_t i = 0; i < windows && o->window; i++) {
		struct window *w = calloc(1, sizeof(*w));

		if (!w)
			return false;
		o->window[o->n_windows++] = w;
		im->windows++;
		w->number = get64(x);
		w->layer = (int)get64(x);
		if (w->number >= 1ULL << (56 - WINDOW_BITS) || w->layer < 0 || (uint64_t)w->layer >= layers || (i && o->window[i - 1]->number >= w->number))
			return false;
		for (uint64_t chunks = get64(x); chunks; chunks--)
			if (!get_chunk(x, w))
				return false;
	}
	for (int layer = 0; layer < (int)layers && !x->bad; layer++)
		if (image_layer_open(im, o, layer, NULL))
			return false;
	return o->window && !x->bad;
}

static bool index_sum_ok(struct index_file *x)
{
	struct digest mine, theirs;

	digest_end(x->sum, &mine);
	return fread(&theirs, sizeof(theirs), 1, x->f) == 1 && digest_equal(&mine, &theirs);
}

static bool index_load(struct image *im, const char *name)
{
	char path[PATH_MAX + 8], magic[8];
	bool ok;

	snprintf(path, sizeof(path), "%s/%s", im->dir, name);
	AUTO_FILE FILE *f = fopen(path, "re");
	if (!f)
		return false;
	struct index_file x = { f, digest_begin(), false, NULL, 0 };
	get(&x, magic, sizeof(magic));
	ok = !x.bad && !memcmp(magic, INDEX_MAGIC, sizeof(magic));
	for (uint64_t n = ok ? get64(&x) : 0; ok && n; n--)
		ok = get_object(&x, im);
	return index_sum_ok(&x) && ok;
}

static void forget_objects(struct image *im)
{
	for (size_t i = 0; i < im->n_objects; i++) {
		struct object *o = im->object[i];

		for (size_t j = 0; j < o->n_windows; j++) {
			for (size_t k = 0; k < CHUNKS_PER_WINDOW; k++)
				if (o->window[j]->chunk[k]) {
					free(o->window[j]->chunk[k]->mark);
					free(o->window[j]->chunk[k]);
				}
			free(o->window[j]);
		}
		for (int l = 0; l < o->n_layers; l++)
			if (o->fd[l] >= 0)
				close(o->fd[l]);
		free(o->fd);
		free(o->window);
		free(o);
	}
	free(im->object);
	free(im->place);
	free(im->smaller);
	im->object = NULL;
	im->shape++;
	im->last = NULL;
	im->place = im->smaller = NULL;
	im->n_objects = im->windows = im->places = im->places_used = im->to_move = 0;
}

/* ---- after a crash ---- */

static bool punch(int fd, off_t at, off_t n)
{
	return !fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, n);
}

/* What the index does not know to be data may have been written since: it becomes a hole. */
static bool empty_gaps(const struct object *o, struct window *w)
{
	bool ok = true;

	for (size_t k = 0; k < CHUNKS_PER_WINDOW && ok; k++) {
		off_t at = (off_t)w->rank << WINDOW_BITS | (off_t)k << CHUNK_BITS;
		struct chunk *c = w->chunk[k];

		if (!c)
			ok = punch(o->fd[w->layer], at, 1 << CHUNK_BITS);
		for (size_t p = 0; c && p < PAGES_PER_CHUNK && ok; p++) {
			if (c->state[p] == PAGE_DATA)
				continue;
			c->state[p] = PAGE_NONE;
			ok = punch(o->fd[w->layer], at + (off_t)(p * PAGE_BYTES), PAGE_BYTES);
		}
	}
	return ok;
}

/* Files of layers that it does not know go. */
static bool drop_unknown(const struct image *im)
{
	DIR *d = opendir(im->dir);
	bool ok = d != NULL;
	struct dirent *de;

	while (ok && (de = readdir(d))) {
		bool known = false;
		uint64_t id;
		int layer;

		if (sscanf(de->d_name, "%16" SCNx64 ".%d", &id, &layer) != 2)
			continue;
		for (size_t i = 0; i < im->n_objects; i++)
			known |= im->object[i]->id == id && layer >= 0 && layer < im->object[i]->n_layers;
		ok = known || !unlinkat(dirfd(d), de->d_name, 0);
	}
	if (d)
		closedir(d);
	return ok;
}

/* Whose last user died. Its digests may be out of date, too; but no page counts before it was read and found to be what it is
 * taken for. */
static bool rough_load(struct image *im)
{
	if (!index_load(im, "rough") || !drop_unknown(im))
		return false;
	for (size_t i = 0; i < im->n_objects; i++)
		for (size_t j = 0; j < im->object[i]->n_windows; j++)
			if (!empty_gaps(im->object[i], im->object[i]->window[j]))
				return false;
	return true;
}

int image_open(struct image **out, const char *dir, struct err *e)
{
	AUTO_IMAGE struct image *im = calloc(1, sizeof(*im));

	if (!im)
		return err_set(e, EX_OSERR, "out of memory");
	pthread_mutex_init(&im->lock, NULL);
	pthread_cond_init(&im->note_cond, NULL);
	snprintf(im->dir, sizeof(im->dir), "%s", dir);
	if (digest_load(e) || file_mkdirs(dir, 0700, e))
		return -1;
	bool known = index_load(im, "index");
	if (!known) {
		forget_objects(im);
		known = im->rough = rough_load(im);
	}
	if (!known) {
		forget_objects(im);
		if (file_remove_tree(dir, e) || file_mkdirs(dir, 0700, e))
			return -1;
	}
	*out = TAKE_PTR(im);
	return 0;
}

bool image_rough(const struct image *im)
{
	return im->rough;
}

void image_free(struct image *im)
{
	image_note_end(im);
	forget_objects(im);
	pthread_mutex_destroy(&im->lock);
	pthread_cond_destroy(&im->note_cond);
	free(im);
}

static void begin_chunk(void *ctx, struct object *o, struct window *w, size_t k)
{
	(void)ctx, (void)o;
	memset(w->chunk[k]->used, 0, sizeof(w->chunk[k]->used));
	free(w->chunk[k]->mark);
	w->chunk[k]->mark = NULL;
}

int image_begin(struct image *im, struct err *e)
{
	char path[PATH_MAX + 8], rough[PATH_MAX + 8];

	snprintf(path, sizeof(path), "%s/index", im->dir);
	snprintf(rough, sizeof(rough), "%s/rough", im->dir);
	if (rename(path, rough) && errno != ENOENT)
		return err_sys(e, "%s", path);
	image_note_end(im);
	pthread_mutex_lock(&im->lock);
	image_each_chunk(im, begin_chunk, NULL);
	image_note_begin(im);
	pthread_mutex_unlock(&im->lock);
	return 0;
}

/* Pages that the service no longer has go, and give their space back. */
static void sweep_chunk(void *ctx, struct object *o, struct window *w, size_t k)
{
	struct chunk *c = w->chunk[k];
	bool any = false;

	(void)ctx;
	for (size_t p = 0; p < PAGES_PER_CHUNK; p++) {
		if (c->used[p / 8] >> p % 8 & 1)
			any = true;
		else
			c->state[p] = c->state[p] < PAGE_DATA ? PAGE_NONE : PAGE_STALE;
	}
	if (any || fallocate(o->fd[w->layer], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			     (off_t)w->rank << WINDOW_BITS | (off_t)k << CHUNK_BITS, 1 << CHUNK_BITS))
		return;
	free(c->mark);
	free(c);
	w->chunk[k] = NULL;
}

static void put_object(struct index_file *x, const struct object *o)
{
	put64(x, o->id);
	put64(x, (uint64_t)o->n_layers);
	put64(x, o->n_windows);
	for (size_t i = 0; i < o->n_windows && !x->bad; i++)
		put_window(x, o->window[i]);
}

/* Closes the file, and it takes the place of the one before; or goes, when it is bad. */
static int index_end(struct index_file *x, const char *tmp, const char *path, bool sync, struct err *e)
{
	struct digest sum;

	digest_end(x->sum, &sum);
	x->bad |= fwrite(&sum, sizeof(sum), 1, x->f) != 1 || fflush(x->f) || (sync && fsync(fileno(x->f)));
	if (x->bad || rename(tmp, path)) {
		err_sys(e, "%s", path);
		x->bad = true;
		unlink(tmp);
	}
	fclose(x->f);
	return x->bad ? -1 : 0;
}

int image_index_write(struct image *im, const char *name, enum index_how how, struct err *e)
{
	struct image *busy = how == INDEX_BUSY ? im : NULL;
	const bool sync = how == INDEX_SYNC;
	char path[PATH_MAX + 8], tmp[PATH_MAX + 8];

	snprintf(path, sizeof(path), "%s/%s", im->dir, name);
	snprintf(tmp, sizeof(tmp), "%s/index~", im->dir);
	/* The disk may keep waiting who opens, ends or removes a file: nobody else waits with it. */
	give_way(busy);
	FILE *f = fopen(tmp, "we");
	come_back(busy);
	if (!f)
		return err_sys(e, "%s", tmp);
	struct index_file x = { f, digest_begin(), false, busy, im->shape };
	put(&x, INDEX_MAGIC, 8);
	put64(&x, im->n_objects);
	for (size_t i = 0; i < im->n_objects && !x.bad; i++)
		put_object(&x, im->object[i]);
	give_way(busy);
	int rc = index_end(&x, tmp, path, sync, e);
	come_back(busy);
	if (rc || !sync)
		return rc;
	AUTO_FD int folder = open(im->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return folder < 0 || fsync(folder) ? err_sys(e, "%s", im->dir) : 0;
}

int image_save(struct image *im, int flags, struct err *e)
{
	char rough[PATH_MAX + 8];
	int rc = 0;

	image_note_end(im);
	pthread_mutex_lock(&im->lock);
	if (flags & IMAGE_SWEEP)
		image_each_chunk(im, sweep_chunk, NULL);
	for (size_t i = 0; i < im->n_objects && (flags & IMAGE_SYNC) && !rc; i++)
		for (int l = 0; l < im->object[i]->n_layers && !rc; l++)
			if (fdatasync(im->object[i]->fd[l]))
				rc = err_sys(e, "memory image");
	/* What was not looked at since somebody died is as doubtful as before. */
	im->rough &= !(flags & IMAGE_SWEEP);
	if (!rc)
		rc = image_index_write(im, im->rough ? "rough" : "index", flags & IMAGE_SYNC ? INDEX_SYNC : INDEX_WHOLE, e);
	snprintf(rough, sizeof(rough), "%s/rough", im->dir);
	if (!rc && !im->rough)
		unlink(rough);
	pthread_mutex_unlock(&im->lock);
	return rc;
}

static void count_pages(void *ctx, struct object *o, struct window *w, size_t k)
{
	(void)o;
	for (size_t p = 0; p < PAGES_PER_CHUNK; p++)
		*(uint64_t *)ctx += w->chunk[k]->state[p] == PAGE_DATA;
}

uint64_t image_pages(struct image *im)
{
	uint64_t n = 0;

	pthread_mutex_lock(&im->lock);
	image_each_chunk(im, count_pages, &n);
	pthread_mutex_unlock(&im->lock);
	return n;
}
