/* SPDX-License-Identifier: MIT */
/* A hash table from a number of 64 bits to an index. */
#ifndef EDGE_PLACE_MAP_H
#define EDGE_PLACE_MAP_H

#include <stdint.h>

struct map_slot {
	uint64_t key;
	int value; /* -1: free */
};

struct map { /* begin with a zeroed one */
	struct map_slot *slot;
	uint64_t n, mask;
};

void map_clear(struct map *m);
/* The value, or -1. */
int map_get(const struct map *m, uint64_t key);
/* The value that is there, or -1 after `value` (not negative) was put there. */
int map_add(struct map *m, uint64_t key, int value);

/* Spreads what differs in any bits over all bits. */
static inline uint64_t map_mix(uint64_t x)
{
	x ^= x >> 32;
	x *= 0x9e3779b97f4a7c15u;
	x ^= x >> 29;
	x *= 0xd6e8feb86659fd93u;
	return x ^ x >> 32;
}

static inline uint64_t map_pair(int a, int b)
{
	return (uint64_t)(uint32_t)a << 32 | (uint32_t)b;
}

#endif
