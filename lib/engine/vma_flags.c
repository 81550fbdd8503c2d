/* SPDX-License-Identifier: MIT */
#include "lib/engine/vma_flags.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpf/vmas.skel.h"
#include "lib/base/auto.h"

#define MANY 256 /* mappings read in one go */

struct vma_flags {
	struct vmas_bpf *program;
};

struct vma_flags *vma_flags_open(void)
{
	AUTO_FREE struct vma_flags *v = calloc(1, sizeof(*v));

	libbpf_set_print(NULL);
	if (!v)
		return NULL;
	v->program = vmas_bpf__open_and_load();
	return v->program ? TAKE_PTR(v) : NULL;
}

static int read_all(int fd, struct vma_seen **list, size_t *n)
{
	size_t bytes = 0, room = 0;

	for (;;) {
		if (room - bytes < sizeof(**list)) {
			room += MANY * sizeof(**list);
			struct vma_seen *bigger = realloc(*list, room);

			if (!bigger)
				return -1;
			*list = bigger;
		}
		ssize_t r = read(fd, (char *)*list + bytes, room - bytes);
		if (r <= 0) {
			*n = bytes / sizeof(**list);
			return r || bytes % sizeof(**list) ? -1 : 0;
		}
		bytes += (size_t)r;
	}
}

/* A kernel that takes no notice of which process is asked for lists those of all. */
static bool is_one(const struct vma_seen *list, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (list[i].pid != list[0].pid || list[i].start < list[i - 1].end)
			return false;
	return n > 0;
}

int vma_flags_read(const struct vma_flags *v, pid_t pid, struct vma_seen **list, size_t *n)
{
	union bpf_iter_link_info which;
	struct bpf_iter_attach_opts options;

	memset(&which, 0, sizeof(which));
	which.task.tid = (__u32)pid;
	memset(&options, 0, sizeof(options)); /* its padding, too: libbpf looks at it */
	options.sz = sizeof(options);
	options.link_info = &which;
	options.link_info_len = sizeof(which);
	struct bpf_link *link = bpf_program__attach_iter(v->program->progs.list, &options);
	AUTO_FD int fd = link ? bpf_iter_create(bpf_link__fd(link)) : -1;

	*list = NULL;
	*n = 0;
	int rc = fd < 0 ? -1 : read_all(fd, list, n);
	bpf_link__destroy(link);
	if (rc || !is_one(*list, *n)) {
		free(*list);
		*list = NULL;
		return -1;
	}
	return 0;
}

void vma_flags_close(struct vma_flags *v)
{
	if (v)
		vmas_bpf__destroy(v->program);
	free(v);
}
