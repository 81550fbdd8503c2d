/* SPDX-License-Identifier: MIT */
/* Digests by the published examples, and libraries that are loaded late. */
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/digest.h"
#include "lib/base/library.h"
#include "tests/unit/tap.h"

#define ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static const char *hex_of(const uint8_t sum[DIGEST_BYTES])
{
	static char hex[65];

	digest_hex(sum, hex);
	return hex;
}

/* FIPS 180-4. */
static void sums(void)
{
	uint8_t sum[DIGEST_BYTES];
	char hex[65];
	struct err e = { 0 };
	int fd = memfd_create("abc", MFD_CLOEXEC), folder = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	digest_of("abc", 3, sum);
	is_str(hex_of(sum), ABC, "SHA-256 of a text");
	digest_of("", 0, sum);
	is_str(hex_of(sum), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "... and of nothing");
	struct digest_run *r = digest_begin();
	digest_add(r, "a", 1);
	digest_of("between", 7, sum);
	digest_add(r, "", 0);
	digest_add(r, "bc", 2);
	digest_end(r, sum);
	is_str(hex_of(sum), ABC, "what comes in pieces has the same, also when another is taken between them");
	ok(write(fd, "abc", 3) == 3 && !lseek(fd, 0, SEEK_SET) && !digest_file(fd, hex, &e), "a file is read");
	is_str(hex, ABC, "... and has the same");
	is_int(digest_file(folder, hex, &e), -1, "a folder has none");
	is_str(e.text, "cannot read: Is a directory", "... which is said");
	close(fd);
	close(folder);
}

/* RFC 4231 and RFC 2202, test case 2. */
static void macs(void)
{
	static const char data[] = "what do ya want for nothing?";
	static const uint8_t sha1[DIGEST_SHA1_BYTES] = { 0xef, 0xfc, 0xdf, 0x6a, 0xe5, 0xeb, 0x2f, 0xa2, 0xd2, 0x74,
							 0x16, 0xd5, 0xf1, 0x84, 0xdf, 0x9c, 0x25, 0x9a, 0x7c, 0x79 };
	uint8_t mac[DIGEST_BYTES];

	digest_hmac("Jefe", 4, data, strlen(data), mac);
	is_str(hex_of(mac), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843", "HMAC of SHA-256");
	digest_hmac_sha1("Jefe", 4, data, strlen(data), mac);
	ok(digest_same(mac, sha1, sizeof(sha1)), "HMAC of SHA-1");
	mac[DIGEST_SHA1_BYTES - 1] ^= 1;
	ok(!digest_same(mac, sha1, sizeof(sha1)), "the last byte counts in a comparison");
	mac[0] ^= 1;
	ok(!digest_same(mac, sha1, sizeof(sha1)) && digest_same(mac, sha1, 0), "... and the first, and nothing is like nothing");
}

static void *sum_often(void *wrong)
{
	static const char page[4096];
	uint8_t first[DIGEST_BYTES], sum[DIGEST_BYTES];

	digest_of(page, sizeof(page), first);
	for (int i = 0; i < 1000; i++) {
		digest_of(page, sizeof(page), sum);
		*(int *)wrong += memcmp(first, sum, sizeof(sum)) != 0;
	}
	return NULL;
}

static void threads(void)
{
	pthread_t t[4];
	int wrong[4] = { 0 };

	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, sum_often, &wrong[i]);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	is_int(wrong[0] + wrong[1] + wrong[2] + wrong[3], 0, "four threads take digests at a time");
}

static int starts, fails;

static int start(void)
{
	starts++;
	return fails;
}

static void libraries(void)
{
	size_t (*table[2])(const char *) = { NULL };
	struct library none = { "libedge-none.so.1", "", "x\0", table, NULL, false };
	struct library old = { "libc.so.6", "str", "len\0new_in_3000\0", table, start, false };
	struct library good = { "libc.so.6", "str", "len\0", table, start, false };
	struct err e = { 0 };

	is_int(library_load(&none, &e), -1, "a library that is not installed");
	is_int(e.code, EX_UNAVAILABLE, "... is unavailable");
	is_str(e.text, "cannot load libedge-none.so.1: cannot open shared object file: No such file or directory", "... by name");
	is_int(library_load(&old, &e), -1, "one that lacks a function");
	is_str(e.text, "libc.so.6: has no strnew_in_3000", "... is named with it");
	fails = 1;
	is_int(library_load(&good, &e), -1, "one that does not start");
	is_str(e.text, "libc.so.6: cannot start", "... is said");
	fails = 0;
	ok(!library_load(&good, &e) && !library_load(&good, &e), "tried again it is loaded, and is there when asked for once more");
	is_int(starts, 2, "... and was started no more often than needed");
	is_int((long)table[0]("four"), 4, "its function is called");
}

int main(void)
{
	struct err e = { 0 };

	libraries();
	is_int(digest_load(&e), 0, "libcrypto is loaded");
	sums();
	macs();
	threads();
	return done();
}
