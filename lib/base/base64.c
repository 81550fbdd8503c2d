/* SPDX-License-Identifier: MIT */
#include "lib/base/base64.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/libresolv.h"

char *base64_encode(const void *data, size_t n)
{
	size_t size = (n + 2) / 3 * 4 + 1;
	const struct libresolv *lib = libresolv_load(NULL);
	char *text = malloc(size);

	if (text && (!lib || lib->__b64_ntop(data, n, text, size) < 0)) {
		free(text);
		return NULL;
	}
	return text;
}

char *base64_decode(const char *text, size_t *n)
{
	size_t size = strlen(text) / 4 * 3 + 3;
	const struct libresolv *lib = libresolv_load(NULL);
	unsigned char *data = malloc(size + 1);
	int got = data && lib ? lib->__b64_pton(text, data, size) : -1;

	if (got < 0) {
		free(data);
		return NULL;
	}
	data[got] = '\0';
	if (n)
		*n = (size_t)got;
	return (char *)data;
}
