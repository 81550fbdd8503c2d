/* SPDX-License-Identifier: MIT */
#include "lib/base/base64.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

char *base64_encode(const void *data, size_t n)
{
	char *text = malloc((n + 2) / 3 * 4 + 1);

	if (text)
		EVP_EncodeBlock((unsigned char *)text, data, (int)n);
	return text;
}

char *base64_decode(const char *text, size_t *n)
{
	size_t len = strlen(text);
	char *data = malloc(len / 4 * 3 + 1);
	int got = data && len % 4 == 0 ? EVP_DecodeBlock((unsigned char *)data, (const unsigned char *)text, (int)len) : -1;

	if (got < 0) {
		free(data);
		return NULL;
	}
	for (; len && text[len - 1] == '='; len--)
		got--;
	data[got] = '\0';
	if (n)
		*n = (size_t)got;
	return data;
}
