/* SPDX-License-Identifier: MIT */
#include "lib/move/tar.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/file.h"

#define BLOCK 512

int tar_file(int to, const char *name, const char *path, struct err *e)
{
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	char header[BLOCK] = { 0 }, block[64 * BLOCK];
	struct stat st;
	unsigned sum = 0;
	ssize_t n;
	off_t left;

	if (fd < 0 || fstat(fd, &st))
		return err_sys(e, "%s", path);
	snprintf(header, 100, "%.99s", name);
	snprintf(header + 100, 8, "%07o", 0700);
	snprintf(header + 108, 8, "%07o", 0);
	snprintf(header + 116, 8, "%07o", 0);
	snprintf(header + 124, 12, "%011llo", (unsigned long long)st.st_size);
	snprintf(header + 136, 12, "%011o", 0);
	memset(header + 148, ' ', 8);
	header[156] = '0';
	memcpy(header + 257, "ustar\00000", 8);
	for (int i = 0; i < BLOCK; i++)
		sum += (unsigned char)header[i];
	snprintf(header + 148, 8, "%06o", sum);
	if (fd_write_all(to, header, BLOCK))
		return err_sys(e, "archive");
	for (left = st.st_size; left > 0; left -= n) {
		size_t most = left < (off_t)sizeof(block) ? (size_t)left : sizeof(block), padded;

		n = read(fd, block, most);
		if (n <= 0)
			return err_sys(e, "%s", path);
		padded = left == n ? ((size_t)n + BLOCK - 1) / BLOCK * BLOCK : (size_t)n;
		memset(block + n, 0, padded - (size_t)n);
		if (fd_write_all(to, block, padded))
			return err_sys(e, "archive");
	}
	return 0;
}

int tar_end(int to, struct err *e)
{
	static const char end[2 * BLOCK];

	return fd_write_all(to, end, sizeof(end)) ? err_sys(e, "archive") : 0;
}
