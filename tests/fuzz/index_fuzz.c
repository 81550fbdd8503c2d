/* SPDX-License-Identifier: MIT */
/* The index of a memory image, damaged. Its checksum is made to fit. Not built by default:
 *
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -I. tests/fuzz/index_fuzz.c \
 *         lib/move/image{,_index,_link,_used}.c lib/move/pagemap.c lib/base/{digest,library,file}.c lib/base/err.c -lpthread -o index_fuzz
 */
#include <stdlib.h>
#include <string.h>

#include "lib/base/file.h"
#include "lib/move/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char dir[] = "/dev/shm/index_fuzz.XXXXXX";
	static bool made;
	AUTO_FREE uint8_t *index = malloc(8 + size + sizeof(struct digest));
	AUTO_IMAGE struct image *im = NULL;
	uint8_t page[PAGE_BYTES];
	struct digest d;
	char path[64];

	if (!made && !mkdtemp(dir))
		abort();
	made = true;
	if (file_mkdirs(dir, 0700, NULL))
		abort();
	memcpy(index, "EDGEMEM2", 8);
	memcpy(index + 8, data, size);
	digest_of(index, 8 + size, &d);
	memcpy(index + 8 + size, &d, sizeof(d));
	snprintf(path, sizeof(path), "%s/index", dir);
	FILE *f = fopen(path, "we");
	if (!f || fwrite(index, 8 + size + sizeof(d), 1, f) != 1 || fclose(f) || image_open(&im, dir, NULL))
		abort();
	image_pages(im);
	image_find(im, &d, page);
	image_put(im, 1, 0, NULL, NULL, NULL);
	image_begin(im, NULL);
	image_cover(im, &(struct image_window){ 1, 0 }, 1, NULL);
	digest_of(page, sizeof(page), &d);
	if (!image_put(im, 1, PAGE_BYTES, &d, page, NULL) && image_read(im, 1, PAGE_BYTES, page))
		abort();
	image_save(im, IMAGE_SWEEP, NULL);
	file_remove_tree(dir, NULL);
	return 0;
}
