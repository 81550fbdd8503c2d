/* SPDX-License-Identifier: MIT */
#include "lib/measure/rtt.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "bpf/rtt.skel.h"

#define BATCH 4096

struct rtt {
	struct rtt_bpf *bpf;
	struct bpf_link *link;
};

/* libbpf says on its own what goes wrong; whoever calls us does that. */
static int mute(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	(void)level;
	(void)fmt;
	(void)ap;
	return 0;
}

int rtt_open(struct rtt **out, const char *cgroup, struct err *e)
{
	AUTO_RTT struct rtt *r = calloc(1, sizeof(*r));
	AUTO_FD int fd = open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (!r)
		return err_sys(e, "watch");
	if (fd < 0)
		return err_sys(e, "cgroup %s", cgroup);
	libbpf_set_print(mute);
	r->bpf = rtt_bpf__open_and_load();
	if (r->bpf)
		r->link = bpf_program__attach_cgroup(r->bpf->progs.rtt, fd);
	if (r->link) {
		*out = TAKE_PTR(r);
		return 0;
	}
	err_sys(e, r->bpf ? "bpf: cannot attach to cgroup" : "bpf: cannot load");
	if (e && e->code != EX_NOPERM)
		e->code = EX_UNAVAILABLE;
	return -1;
}

void rtt_free(struct rtt *r)
{
	if (!r)
		return;
	bpf_link__destroy(r->link);
	rtt_bpf__destroy(r->bpf);
	free(r);
}

/* All entries of a map, taken out of it a batch at a time. */
static int drain(int map, size_t key_size, size_t value_size, void (*each)(void *, const void *, const void *), void *ctx,
		 struct err *e)
{
	AUTO_FREE uint8_t *keys = malloc(BATCH * key_size), *values = malloc(BATCH * value_size);
	uint8_t at[64]; /* the kernel's own note of how far it came: of a key's size, at most */
	bool first = true, more = true;

	if (!keys || !values)
		abort();
	while (more) {
		uint32_t n = BATCH;

		if (bpf_map_lookup_and_delete_batch(map, first ? NULL : at, at, keys, values, &n, NULL)) {
			more = false; /* ENOENT: that was the last batch */
			if (errno != ENOENT)
				return err_sys(e, "bpf: cannot read");
		}
		first = false;
		for (uint32_t i = 0; i < n; i++)
			each(ctx, keys + i * key_size, values + i * value_size);
	}
	return 0;
}

struct takers {
	rtt_bin_fn *bin;
	rtt_closed_fn *closed;
	void *ctx;
};

static void take_bin(void *ctx, const void *key, const void *value)
{
	const struct takers *t = ctx;
	struct rtt_counts counts;
	struct rtt_key k;

	memcpy(&k, key, sizeof(k));
	memcpy(&counts, value, sizeof(counts));
	for (size_t i = 0; i < RTT_TOGETHER; i++, k.bin++)
		if (counts.n[i])
			t->bin(t->ctx, &k, counts.n[i]);
}

static void take_closed(void *ctx, const void *key, const void *value)
{
	const struct takers *t = ctx;
	struct rtt_closed c;
	uint64_t cookie;

	memcpy(&cookie, key, sizeof(cookie));
	memcpy(&c, value, sizeof(c));
	t->closed(t->ctx, cookie, &c);
}

int rtt_drain(struct rtt *r, rtt_bin_fn *bin, rtt_closed_fn *closed, void *ctx, struct err *e)
{
	struct takers t = { bin, closed, ctx };
	int bins = bpf_map__fd(r->bpf->maps.bins), ends = bpf_map__fd(r->bpf->maps.closed);

	if (drain(bins, sizeof(struct rtt_key), sizeof(struct rtt_counts), take_bin, &t, e))
		return -1;
	return drain(ends, sizeof(uint64_t), sizeof(struct rtt_closed), take_closed, &t, e);
}

uint64_t rtt_missed(const struct rtt *r)
{
	return r->bpf->bss->missed;
}
