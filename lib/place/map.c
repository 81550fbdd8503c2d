/* SPDX-License-Identifier: MIT */
#include "lib/place/map.h"

#include <stdlib.h>
#include <string.h>

void map_clear(struct map *m)
{
	free(m->key);
	free(m->value);
	memset(m, 0, sizeof(*m));
}

static uint64_t slot(const struct map *m, uint64_t key)
{
	uint64_t i = map_mix(key) & m->mask;

	while (m->value[i] >= 0 && m->key[i] != key)
		i = (i + 1) & m->mask;
	return i;
}

static void grow(struct map *m)
{
	struct map old = *m;
	uint64_t size = old.key ? (old.mask + 1) * 2 : 1024;

	m->key = malloc(size * sizeof(*m->key));
	m->value = malloc(size * sizeof(*m->value));
	if (!m->key || !m->value)
		abort();
	memset(m->value, 0xff, size * sizeof(*m->value));
	m->mask = size - 1;
	for (uint64_t i = 0; old.key && i <= old.mask; i++) {
		if (old.value[i] >= 0) {
			uint64_t to = slot(m, old.key[i]);

			m->key[to] = old.key[i];
			m->value[to] = old.value[i];
		}
	}
	free(old.key);
	free(old.value);
}

int map_get(const struct map *m, uint64_t key)
{
	return m->key ? m->value[slot(m, key)] : -1;
}

int map_add(struct map *m, uint64_t key, int value)
{
	uint64_t i;

	if (!m->key || m->n * 10 > m->mask * 6)
		grow(m);
	i = slot(m, key);
	if (m->value[i] >= 0)
		return m->value[i];
	m->key[i] = key;
	m->value[i] = value;
	m->n++;
	return -1;
}
