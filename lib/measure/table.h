/* SPDX-License-Identifier: MIT */
/* A hash table of fixed-size entries, which begin with their key. */
#ifndef EDGE_MEASURE_TABLE_H
#define EDGE_MEASURE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table {
	size_t entry, key; /* bytes of each; set these, all else 0 */
	size_t n, room;
	uint8_t *slots, *used;
};

/* The entry of a key, added with all else 0 when it is not there yet (*fresh, which may be NULL). Adding moves entries:
 * a pointer holds until the next call. */
void *table_at(struct table *t, const void *key, bool *fresh);
void *table_find(const struct table *t, const void *key);
/* The i-th of `room` slots, NULL for an empty one. */
void *table_slot(const struct table *t, size_t i);
/* Drops each entry for which keep() says no. */
void table_sift(struct table *t, bool (*keep)(void *entry, void *ctx), void *ctx);
void table_clear(struct table *t);
#define AUTO_TABLE AUTO(table_clear)

#endif
