/* SPDX-License-Identifier: MIT */
/* SHA-256 and what is made with it, by libcrypto, which is loaded when it is first needed. */
#ifndef EDGE_BASE_DIGEST_H
#define EDGE_BASE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

#define DIGEST_BYTES 32
#define DIGEST_SHA1_BYTES 20

/* To be called, and to succeed, before the others of this header, which abort where they can do nothing: a digest that was not
 * taken would make equal what is not. May be called often, from any thread. Fails as library_load. */
int digest_load(struct err *e);

/* The DIGEST_BYTES go to `sum`. */
void digest_of(const void *data, size_t n, void *sum);

/* The same of what comes in pieces. The end frees it. */
struct digest_run;
struct digest_run *digest_begin(void);
void digest_add(struct digest_run *r, const void *data, size_t n);
void digest_end(struct digest_run *r, void *sum);

/* Of all that can be read, as digits. Loads what it needs. */
int digest_file(int fd, char hex[65], struct err *e);
void digest_hex(const uint8_t sum[DIGEST_BYTES], char hex[65]);

void digest_hmac(const void *key, size_t n_key, const void *data, size_t n, uint8_t mac[DIGEST_BYTES]);
void digest_hmac_sha1(const void *key, size_t n_key, const void *data, size_t n, uint8_t mac[DIGEST_SHA1_BYTES]);
/* Takes as long where the first byte differs as where the last one does. */
bool digest_same(const void *a, const void *b, size_t n);

#endif
