/* SPDX-License-Identifier: MIT */
#include "lib/base/digest.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/library.h"

#define FUNCTIONS(F) F(MD_fetch) F(MD_CTX_new) F(MD_CTX_free) F(DigestInit_ex) F(DigestUpdate) F(DigestFinal_ex) F(Q_mac)
#define POINTER(NAME) __typeof__(&EVP_##NAME)(NAME);

static struct {
	FUNCTIONS(POINTER)
} evp;

static EVP_MD *sha256;
static pthread_key_t contexts; /* frees a thread's context when the thread ends */

static void free_context(void *ctx)
{
	evp.MD_CTX_free(ctx);
}

static int start(void)
{
	sha256 = evp.MD_fetch(NULL, "SHA256", NULL);
	return !sha256 || pthread_key_create(&contexts, free_context);
}

int digest_load(struct err *e)
{
	static struct library crypto = { LIBRARY_CRYPTO, "EVP_", FUNCTIONS(LIBRARY_NAME), &evp, start, false };

	return library_load(&crypto, e);
}

static void must(bool done)
{
	if (!done)
		abort();
}

static EVP_MD_CTX *context_new(void)
{
	EVP_MD_CTX *ctx;

	must(!digest_load(NULL) && (ctx = evp.MD_CTX_new()));
	return ctx;
}

void digest_of(const void *data, size_t n, void *sum)
{
	/* Fetching the algorithm and allocating a context cost more than hashing a page does. */
	static __thread EVP_MD_CTX *ctx;

	if (!ctx) {
		ctx = context_new();
		pthread_setspecific(contexts, ctx);
	}
	must(evp.DigestInit_ex(ctx, sha256, NULL) && evp.DigestUpdate(ctx, data, n) && evp.DigestFinal_ex(ctx, sum, NULL));
}

struct digest_run *digest_begin(void)
{
	EVP_MD_CTX *ctx = context_new();

	must(evp.DigestInit_ex(ctx, sha256, NULL));
	return (struct digest_run *)ctx;
}

void digest_add(struct digest_run *r, const void *data, size_t n)
{
	must(evp.DigestUpdate((EVP_MD_CTX *)r, data, n));
}

void digest_end(struct digest_run *r, void *sum)
{
	must(evp.DigestFinal_ex((EVP_MD_CTX *)r, sum, NULL));
	evp.MD_CTX_free((EVP_MD_CTX *)r);
}

void digest_hex(const uint8_t sum[DIGEST_BYTES], char hex[65])
{
	for (int i = 0; i < DIGEST_BYTES; i++)
		snprintf(hex + 2 * i, 3, "%02x", sum[i]);
}

int digest_file(int fd, char hex[65], struct err *e)
{
	uint8_t buf[1 << 17], sum[DIGEST_BYTES];
	ssize_t n;

	if (digest_load(e))
		return -1;
	struct digest_run *r = digest_begin();
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		digest_add(r, buf, (size_t)n);
	digest_end(r, sum);
	if (n < 0)
		return err_sys(e, "cannot read");
	digest_hex(sum, hex);
	return 0;
}

static void hmac(const char *by, const void *key, size_t n_key, const void *data, size_t n, uint8_t *mac, size_t size)
{
	must(!digest_load(NULL) && evp.Q_mac(NULL, "HMAC", NULL, by, NULL, key, n_key, data, n, mac, size, NULL));
}

void digest_hmac(const void *key, size_t n_key, const void *data, size_t n, uint8_t mac[DIGEST_BYTES])
{
	hmac("SHA256", key, n_key, data, n, mac, DIGEST_BYTES);
}

void digest_hmac_sha1(const void *key, size_t n_key, const void *data, size_t n, uint8_t mac[DIGEST_SHA1_BYTES])
{
	hmac("SHA1", key, n_key, data, n, mac, DIGEST_SHA1_BYTES);
}

bool digest_same(const void *a, const void *b, size_t n)
{
	const volatile unsigned char *x = a, *y = b;
	unsigned differ = 0;

	for (size_t i = 0; i < n; i++)
		differ |= x[i] ^ y[i];
	return !differ;
}
