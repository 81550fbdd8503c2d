/* SPDX-License-Identifier: MIT */
/* What the files of world share. */
#ifndef EDGE_PLACE_WORLD_INT_H
#define EDGE_PLACE_WORLD_INT_H

#include "lib/base/json_scan.h"
#include "lib/place/map.h"
#include "lib/place/world.h"

struct word {
	uint64_t hash;
	size_t at, len; /* in `letters`, with a NUL behind it */
	int node, app;
	bool measured; /* it is an end of a latency */
};

struct list {
	int at, n; /* in `listed` */
};

struct world_private {
	struct json_scan scan;
	struct word *word;
	char *letters;
	size_t n_letters, letters_room;
	struct list *list;
	int *listed;
	int n_words, words_room, n_lists, lists_room, n_listed, listed_room;
	int *word_slot; /* hash table of words, -1 where free */
	int word_mask;
	/* The arrays of struct world, how many fit. */
	int nodes_room, services_room, latencies_room, users_room, groups_room, scored_room, apps_room, corners_room,
		peers_room;
	struct map services, latencies, users, groups, scores, lists;
};

/* Room for one more: returns the array, which may have moved. */
void *world_room(void *array, int n, int *room, size_t size);
int world_word_of(struct world *w, const char *s, size_t len);
/* Sorts `words` in place, drops repetitions. */
int world_list_of(struct world *w, int *words, int n);
/* The members of a service's definition as a word: "\"name\":\"web\",\"argv\":[...]", without addr; -1 when it has none. */
int world_spec_of(struct world *w, const struct json_scan *s);
/* True: the record is that of a move which its destination has refused. `key` is for the map of scores. */
bool world_refusal_of(struct world *w, struct json_scan *s, struct world_score *c, uint64_t *key);
/* The service of that name, made where needed. */
int world_app_of(struct world *w, int word);

#endif
