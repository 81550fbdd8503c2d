/* SPDX-License-Identifier: MIT */
#include "lib/place/map.h"

#include <stdlib.h>
#include <string.h>

void map_clear(struct map *m)
{
	free(m->slot);
	memset(m, 0, sizeof(*m));
}

static struct map_slot *slot(const struct map *m, uint64_t key)
{
	uint64_t i = map_mix(key) & m->mask;

	while (m->slot[i].value >= 0 && m->slot[i].key != key)
		i = (i + 1) & m->mask;
	return &m->slot[i];
}

static void grow(struct map *m)
{
	struct map old = *m;
	uint64_t size = old.slot ? (old.mask + 1) * 2 : 1024;

	m->slot = malloc(size * sizeof(*m->slot));
	if (!m->slot)
		abort();
	memset(m->slot, 0xff, size * sizeof(*m->slot));
	m->mask = size - 1;
	for (uint64_t i = 0; old.slot && i <= old.mask; i++)
		if (old.slot[i].value >= 0)
			*slot(m, old.slot[i].key) = old.slot[i];
	free(old.slot);
}

int map_get(const struct map *m, uint64_t key)
{
	return m->slot ? slot(m, key)->value : -1;
}

int map_add(struct map *m, uint64_t key, int value)
{
	struct map_slot *at;

	if (!m->slot || m->n * 10 > m->mask * 6)
		grow(m);
	at = slot(m, key);
	if (at->value >= 0)
		return at->value;
	*at = (struct map_slot){ key, value };
	m->n++;
	return -1;
}
