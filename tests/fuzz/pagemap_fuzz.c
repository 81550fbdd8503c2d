/* SPDX-License-Identifier: MIT */
/* Pagemaps from a hostile peer. Not built by default:
 *
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -I. tests/fuzz/pagemap_fuzz.c \
 *         lib/move/pagemap.c lib/base/file.c lib/base/err.c -o pagemap_fuzz
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/move/pagemap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void path_of(int fd, char path[64])
{
	snprintf(path, 64, "/proc/self/fd/%d", fd);
}

/* What has been read must be the same when written and read again. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t magic[8] = { 0x19, 0x43, 0x56, 0x54, 0x25, 0x40, 0x08, 0x56 };
	AUTO_PAGEMAP struct pagemap *pm = NULL, *again = NULL;
	AUTO_FD int fd = memfd_create("in", MFD_CLOEXEC), out = memfd_create("out", MFD_CLOEXEC);
	char path[64];

	if (write(fd, magic, 8) != 8 || write(fd, data, size) != (ssize_t)size)
		abort();
	path_of(fd, path);
	if (pagemap_read(&pm, path, NULL))
		return 0;
	path_of(out, path);
	if (pagemap_write(pm, path, NULL) || pagemap_read(&again, path, NULL) || again->n != pm->n ||
	    again->pages_id != pm->pages_id)
		abort();
	for (size_t i = 0; i < pm->n; i++)
		if (pm->entry[i].addr != again->entry[i].addr || pm->entry[i].pages != again->entry[i].pages ||
		    pm->entry[i].flags != again->entry[i].flags)
			abort();
	return 0;
}
