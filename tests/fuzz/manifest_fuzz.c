/* SPDX-License-Identifier: MIT */
/* Manifests and deltas from a hostile peer. Not built by default:
 *
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -I. tests/fuzz/manifest_fuzz.c \
 *         lib/move/tree*.c lib/base/{digest,library,err}.c -lxxhash -o manifest_fuzz
 *
 * For AFL++: the same with afl-clang-fast and -fsanitize=fuzzer, which it knows. */
#include <stdlib.h>
#include <string.h>

#include "lib/move/tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What has been decoded must encode to something that decodes to the same. */
static void check(const struct tree *t)
{
	AUTO_TREE struct tree *again = NULL;
	AUTO_FREE uint8_t *a = NULL, *b = NULL;
	size_t n, m;

	if (tree_encode(t, &a, &n, NULL) || tree_decode(&again, a, n, NULL) ||
	    tree_encode(again, &b, &m, NULL) || n != m || memcmp(a, b, n))
		abort();
}

/* The first two bytes: the length of a manifest; behind it a delta, whose base is made to fit. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_TREE struct tree *base = NULL, *next = NULL;
	AUTO_TREE_PLAN struct tree_plan *plan = NULL;
	AUTO_FREE uint8_t *delta = NULL;
	size_t n;

	if (size < 2)
		return 0;
	n = data[0] | (size_t)data[1] << 8;
	if (n > size - 2)
		n = size - 2;
	if (tree_decode(&base, data + 2, n, NULL))
		return 0;
	check(base);
	data += 2 + n;
	size -= 2 + n;
	if (size < 7 + TREE_DIGEST)
		return 0;
	delta = malloc(size);
	if (!delta)
		return 0;
	memcpy(delta, data, size);
	if (tree_id(base, delta + 7, NULL) || tree_decode_delta(&next, base, delta, size, NULL))
		return 0;
	check(next);
	if (tree_plan(&plan, base, next, NULL))
		abort();
	return 0;
}
