/* SPDX-License-Identifier: MIT */
#include "lib/place/world.h"

#include <string.h>
#include <time.h>

#include "lib/place/world_int.h"

struct world *world_new(void)
{
	struct world *w = calloc(1, sizeof(*w));

	if (w)
		w->in = calloc(1, sizeof(*w->in));
	if (!w || !w->in)
		abort();
	w->since = NAN;
	return w;
}

void world_free(struct world *w)
{
	void *const arrays[] = { w->node, w->service, w->latency, w->user, w->group, w->scored, w->app, w->corner, w->peer,
		w->of_app, w->in->word, w->in->letters, w->in->list, w->in->listed, w->in->word_slot };
	struct map *const maps[] = { &w->in->services, &w->in->latencies, &w->in->users, &w->in->groups, &w->in->scores,
		&w->in->lists };

	for (size_t i = 0; i < sizeof(arrays) / sizeof(*arrays); i++)
		free(arrays[i]);
	for (size_t i = 0; i < sizeof(maps) / sizeof(*maps); i++)
		map_clear(maps[i]);
	json_scan_clear(&w->in->scan);
	free(w->in);
	free(w);
}

void *world_room(void *array, int n, int *room, size_t size)
{
	if (n < *room)
		return array;
	*room = *room ? *room * 2 : 64;
	array = realloc(array, (size_t)*room * size);
	if (!array)
		abort();
	return array;
}

/* --- words */

static uint64_t hash_of(const char *s, size_t n)
{
	uint64_t h = n;

	for (; n >= 8; n -= 8, s += 8) {
		uint64_t eight;

		memcpy(&eight, s, 8);
		h = map_mix(h ^ eight);
	}
	for (; n > 0; n--)
		h = h * 257 + (unsigned char)*s++;
	return map_mix(h);
}

/* Where the word is in the hash table, or the free slot where it would be. */
static struct word_slot *word_slot(const struct world_private *in, const char *s, size_t len, uint64_t hash)
{
	int i = (int)(hash & (uint64_t)in->word_mask);

	for (;; i = (i + 1) & in->word_mask) {
		struct word_slot *slot = &in->word_slot[i];

		if (slot->word < 0)
			return slot;
		if (slot->hash == (uint32_t)(hash >> 32)) {
			const struct word *word = &in->word[slot->word];

			if (word->len == len && !memcmp(in->letters + word->at, s, len))
				return slot;
		}
	}
}

static void grow_words(struct world_private *in)
{
	int size = in->word_slot ? (in->word_mask + 1) * 2 : 1024;

	free(in->word_slot);
	in->word_slot = malloc((size_t)size * sizeof(*in->word_slot));
	if (!in->word_slot)
		abort();
	memset(in->word_slot, 0xff, (size_t)size * sizeof(*in->word_slot));
	in->word_mask = size - 1;
	for (int w = 0; w < in->n_words; w++) {
		uint64_t hash = in->word[w].hash;
		int i = (int)(hash & (uint64_t)in->word_mask);

		while (in->word_slot[i].word >= 0)
			i = (i + 1) & in->word_mask;
		in->word_slot[i] = (struct word_slot){ (uint32_t)(hash >> 32), w };
	}
}

int world_word_of(struct world *w, const char *s, size_t len)
{
	struct world_private *in = w->in;
	struct word_slot *slot;
	uint64_t hash;

	if (len == 0)
		return -1;
	if (!in->word_slot || in->n_words > in->word_mask / 2)
		grow_words(in);
	hash = hash_of(s, len);
	slot = word_slot(in, s, len, hash);
	if (slot->word >= 0)
		return slot->word;
	if (in->n_letters + len + 1 > in->letters_room) {
		in->letters_room = in->letters_room * 2 + len + 4096;
		in->letters = realloc(in->letters, in->letters_room);
		if (!in->letters)
			abort();
	}
	in->word = world_room(in->word, in->n_words, &in->words_room, sizeof(*in->word));
	in->word[in->n_words] = (struct word){
		.hash = hash, .at = in->n_letters, .len = len, .node = -1, .app = -1
	};
	memcpy(in->letters + in->n_letters, s, len);
	in->letters[in->n_letters + len] = '\0';
	in->n_letters += len + 1;
	*slot = (struct word_slot){ (uint32_t)(hash >> 32), in->n_words };
	return in->n_words++;
}

int world_word(struct world *w, const char *s)
{
	return s ? world_word_of(w, s, strlen(s)) : -1;
}

int world_find(const struct world *w, const char *s)
{
	size_t len = s ? strlen(s) : 0;

	return len && w->in->word_slot ? word_slot(w->in, s, len, hash_of(s, len))->word : -1;
}

const char *world_text(const struct world *w, int word)
{
	return word < 0 ? "" : w->in->letters + w->in->word[word].at;
}

/* --- lists of words */

static int compare_ints(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return (x > y) - (x < y);
}

int world_list_of(struct world *w, int *words, int n)
{
	struct world_private *in = w->in;
	uint64_t key = 0;
	int kept = 0, same;

	qsort(words, (size_t)n, sizeof(int), compare_ints);
	for (int i = 0; i < n; i++)
		if (!i || words[i] != words[i - 1])
			words[kept++] = words[i];
	for (int i = 0; i < kept; i++)
		key = map_mix(key ^ (uint64_t)(uint32_t)words[i]);
	/* Two lists with one key would be a wonder, but then the second one looks on. */
	while ((same = map_add(&in->lists, key, in->n_lists)) >= 0) {
		if (in->list[same].n == kept && (!kept || !memcmp(in->listed + in->list[same].at, words, (size_t)kept * sizeof(int))))
			return same;
		key++;
	}
	in->list = world_room(in->list, in->n_lists, &in->lists_room, sizeof(*in->list));
	in->list[in->n_lists] = (struct list){ in->n_listed, kept };
	for (int i = 0; i < kept; i++) {
		in->listed = world_room(in->listed, in->n_listed, &in->listed_room, sizeof(int));
		in->listed[in->n_listed++] = words[i];
	}
	return in->n_lists++;
}

const int *world_list(const struct world *w, int list, int *n)
{
	*n = list < 0 ? 0 : w->in->list[list].n;
	return list < 0 ? NULL : w->in->listed + w->in->list[list].at;
}

bool world_list_has(const struct world *w, int list, int word)
{
	int n;
	const int *words = world_list(w, list, &n);

	for (int i = 0; i < n; i++)
		if (words[i] == word)
			return true;
	return false;
}

bool world_list_within(const struct world *w, int a, int b)
{
	int n_a, n_b, at = 0;
	const int *in_a = world_list(w, a, &n_a), *in_b = world_list(w, b, &n_b);

	if (a == b)
		return true;
	for (int i = 0; i < n_a; i++) {
		while (at < n_b && in_b[at] < in_a[i])
			at++;
		if (at == n_b || in_b[at] != in_a[i])
			return false;
	}
	return true;
}

/* --- what is where */

int world_copy_service(struct world *w, int service, int node)
{
	struct world_service *s;

	w->service = world_room(w->service, w->n_services, &w->in->services_room, sizeof(*w->service));
	s = &w->service[w->n_services];
	*s = w->service[service];
	s->id = -1;
	s->node = node;
	s->cpu = s->mem = s->net_bps = s->moved = NAN;
	return w->n_services++;
}

int world_add_group(struct world *w, const struct world_group *g)
{
	w->group = world_room(w->group, w->n_groups, &w->in->groups_room, sizeof(*w->group));
	w->group[w->n_groups] = *g;
	return w->n_groups++;
}

int world_node(const struct world *w, int word)
{
	return word < 0 ? -1 : w->in->word[word].node;
}

int world_app(const struct world *w, int word)
{
	return word < 0 ? -1 : w->in->word[word].app;
}

int world_latency(const struct world *w, int from, int to)
{
	int there = map_get(&w->in->latencies, map_pair(from, to)), back;

	if (there >= 0 && !w->latency[there].predicted)
		return there;
	back = map_get(&w->in->latencies, map_pair(to, from));
	return there < 0 || (back >= 0 && !w->latency[back].predicted) ? back : there;
}

bool world_measured(const struct world *w, int word)
{
	return word >= 0 && w->in->word[word].measured;
}

int world_app_of(struct world *w, int word)
{
	struct word *at = &w->in->word[word];

	if (at->app < 0) {
		w->app = world_room(w->app, w->n_apps, &w->in->apps_room, sizeof(*w->app));
		w->app[w->n_apps] = (struct world_app){ .name = word };
		at->app = w->n_apps++;
	}
	return at->app;
}

/* Counting sort of the indices of things by service, in the order of their records; `at` is where they begin in of_app. */
#define BY_APP(things, n_things, first, count)                                   \
	do {                                                                     \
		for (int i = 0; i < w->n_things; i++)                            \
			w->app[w->things[i].app].count++;                        \
		for (int a = 0; a < w->n_apps; a++) {                            \
			w->app[a].first = at;                                    \
			at += w->app[a].count;                                   \
			w->app[a].count = 0;                                     \
		}                                                                \
		for (int i = 0; i < w->n_things; i++) {                          \
			struct world_app *of = &w->app[w->things[i].app];        \
                                                                                 \
			w->of_app[of->first + of->count++] = i;                  \
		}                                                                \
	} while (0)

void world_index(struct world *w)
{
	size_t n = (size_t)w->n_services + (size_t)w->n_users + (size_t)w->n_groups;
	int at = 0;

	free(w->of_app);
	w->of_app = calloc(n + 1, sizeof(int));
	if (!w->of_app)
		abort();
	for (int a = 0; a < w->n_apps; a++)
		w->app[a] = (struct world_app){ .name = w->app[a].name };
	BY_APP(service, n_services, first_service, n_services);
	BY_APP(user, n_users, first_user, n_users);
	BY_APP(group, n_groups, first_group, n_groups);
	for (int i = 0; i < w->n_nodes; i++)
		w->node[i].running = 0;
	for (int i = 0; i < w->n_services; i++) {
		int node = w->service[i].running ? world_node(w, w->service[i].node) : -1;

		if (node >= 0)
			w->node[node].running++;
	}
}

int world_time(const char *s, size_t len, double *seconds)
{
	static const char form[] = "dddd-dd-ddTdd:dd:dd";
	const size_t n = sizeof(form) - 1;
	double behind = 0, place = 0.1;
	struct tm tm = { 0 };

	if (len <= n || s[len - 1] != 'Z')
		return -1;
	for (size_t i = 0; i < n; i++)
		if (form[i] == 'd' ? s[i] < '0' || s[i] > '9' : s[i] != form[i])
			return -1;
	for (size_t i = n + 1; s[n] == '.' && i < len - 1; i++, place /= 10) {
		if (s[i] < '0' || s[i] > '9')
			return -1;
		behind += place * (s[i] - '0');
	}
	if (s[n] != '.' && len != n + 1)
		return -1;
#define TWO(at) ((s[at] - '0') * 10 + (s[(at) + 1] - '0'))
	tm.tm_year = TWO(0) * 100 + TWO(2) - 1900;
	tm.tm_mon = TWO(5) - 1;
	tm.tm_mday = TWO(8);
	tm.tm_hour = TWO(11);
	tm.tm_min = TWO(14);
	tm.tm_sec = TWO(17);
#undef TWO
	if (tm.tm_mon < 0 || tm.tm_mon > 11 || tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour > 23 || tm.tm_min > 59 ||
	    tm.tm_sec > 60)
		return -1;
	*seconds = (double)timegm(&tm) + behind;
	return 0;
}
