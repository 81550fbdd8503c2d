/* SPDX-License-Identifier: MIT */
#include "lib/engine/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/file.h"

#define ROTATE_AT (1 << 20)

void log_open(struct log *l, const char *path)
{
	struct stat st;

	if (path != l->path)
		snprintf(l->path, sizeof(l->path), "%s", path);
	l->fd = open(l->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
	l->size = l->fd >= 0 && !fstat(l->fd, &st) ? st.st_size : 0;
	l->line_end = true;
}

static void rotate(struct log *l)
{
	char one[PATH_MAX + 2], two[PATH_MAX + 2];

	snprintf(one, sizeof(one), "%s.1", l->path);
	snprintf(two, sizeof(two), "%s.2", l->path);
	log_close(l);
	rename(one, two);
	rename(l->path, one);
	log_open(l, l->path);
}

void log_write(struct log *l, const char *data, size_t n)
{
	while (n) {
		const char *end = memrchr(data, '\n', n);
		size_t part = n;

		/* between lines if there are lines */
		if (l->size >= ROTATE_AT && (l->line_end || l->size >= 2 * ROTATE_AT))
			rotate(l);
		else if (l->size + (off_t)n >= ROTATE_AT && end && end + 1 < data + n)
			part = (size_t)(end + 1 - data);
		if (l->fd >= 0 && fd_write_all(l->fd, data, part))
			l->size = ROTATE_AT; /* full: the oldest file goes at the next line, which gives room */
		l->size += (off_t)part;
		l->line_end = data[part - 1] == '\n';
		data += part;
		n -= part;
	}
}

void log_close(struct log *l)
{
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
}
