/* SPDX-License-Identifier: MIT */
/* From one state of a folder to another: what happens to each entry, and where each block comes from. */
#include "lib/move/tree_plan.h"

#include <stdlib.h>
#include <sys/random.h>
#include <xxhash.h>

void tree_plan_free(struct tree_plan *p)
{
	if (!p)
		return;
	free(p->from);
	free(p->to);
	free(p->act);
	free(p->blocks);
	free(p->needs);
	free(p);
}

static uint32_t first_name(const struct tree *t, uint32_t i)
{
	return t->entries[i].link == TREE_NONE ? i : t->entries[i].link;
}

static void match(struct tree_plan *p)
{
	uint32_t i = 0, j = 0;

	memset(p->from, 0xff, p->want->n * sizeof *p->from);
	memset(p->to, 0xff, p->have->n * sizeof *p->to);
	while (i < p->want->n && j < p->have->n) {
		int c = path_cmp(p->want->entries[i].path, p->have->entries[j].path);

		if (!c) {
			p->from[i] = j;
			p->to[j] = i;
		}
		i += c <= 0;
		j += c >= 0;
	}
}

/* An inode with several names here can serve one inode there; its other names are made anew. owner[first
 * name] is the entry of `want` that keeps it. */
static void choose_owners(const struct tree_plan *p, uint32_t *owner, uint32_t *names)
{
	uint32_t j, i, g, first;

	memset(owner, 0xff, p->have->n * sizeof *owner);
	memset(names, 0, p->have->n * sizeof *names);
	for (j = 0; j < p->have->n; j++) {
		g = first_name(p->have, j);
		names[g]++;
		i = p->to[j];
		if (i == TREE_NONE || owner[g] != TREE_NONE)
			continue;
		first = first_name(p->want, i);
		if (p->from[first] != TREE_NONE && first_name(p->have, p->from[first]) == g)
			owner[g] = first;
	}
}

static bool lacks_lost(const struct tree_plan *p, const struct tree_entry *en)
{
	uint32_t r, k;

	for (r = 0; p->have->n_lost && r < en->n_runs; r++)
		for (k = 0; k < en->runs[r].n; k++)
			if (tree_lost(p->have, en->runs[r].digests + (size_t)k * TREE_DIGEST))
				return true;
	return false;
}

static enum act act_of(const struct tree_plan *p, uint32_t i, const uint32_t *owner, const uint32_t *names)
{
	const struct tree_entry *en = &p->want->entries[i], *was;
	uint32_t j = p->from[i], g;
	bool content;

	if (j == TREE_NONE)
		return en->link == TREE_NONE ? FRESH : LINK;
	was = &p->have->entries[j];
	g = first_name(p->have, j);
	if (en->link != TREE_NONE) {
		uint32_t f = p->from[en->link];

		return p->act[en->link] != FRESH && f != TREE_NONE && first_name(p->have, f) == g ? KEEP
												  : LINK;
	}
	if ((en->mode & S_IFMT) != (was->mode & S_IFMT) || en->major != was->major ||
	    en->minor != was->minor || (en->target && strcmp(en->target, was->target)))
		return FRESH;
	if (!S_ISDIR(en->mode) && owner[g] != i)
		return FRESH;
	content = !S_ISREG(en->mode) || (entry_same_content(en, was) && !lacks_lost(p, en));
	if (content && entry_same_meta(en, was))
		return KEEP;
	if (!S_ISDIR(en->mode) && was->nlink > names[g])
		return FRESH; /* it has names outside of this folder, which must not see a change */
	return content ? META : PATCH;
}

static int add_block(struct tree_plan *p, uint32_t entry, uint32_t block, const uint8_t *digest,
		     struct err *e)
{
	if (p->n_blocks == p->cap_blocks) {
		size_t cap = p->cap_blocks ? p->cap_blocks * 2 : 64;
		struct plan_block *b = reallocarray(p->blocks, cap, sizeof *b);

		if (!b || cap > UINT32_MAX) {
			if (b)
				p->blocks = b;
			return no_memory(e);
		}
		p->blocks = b;
		p->cap_blocks = cap;
	}
	p->blocks[p->n_blocks++] = (struct plan_block){
		.at = { entry, block }, .digest = digest, .src = { TREE_NONE, 0 }, .next = TREE_NONE
	};
	return 0;
}

/* Is this content where it should be already? */
static bool in_place(const struct tree_plan *p, uint32_t i, uint32_t block, const uint8_t *digest,
		     uint32_t *hint)
{
	const uint8_t *was;

	if (p->act[i] == FRESH)
		return false;
	was = entry_digest(&p->have->entries[p->from[i]], block, hint);
	return was && (was == digest || !memcmp(was, digest, TREE_DIGEST)) && !tree_lost(p->have, digest);
}

static int list_blocks(struct tree_plan *p, struct err *e)
{
	uint32_t i, r, k;

	for (i = 0; i < p->want->n; i++) {
		const struct tree_entry *en = &p->want->entries[i];
		uint32_t hint = 0;

		if (en->link != TREE_NONE || (p->act[i] != FRESH && p->act[i] != PATCH))
			continue;
		for (r = 0; r < en->n_runs; r++) {
			for (k = 0; k < en->runs[r].n; k++) {
				const uint8_t *d = en->runs[r].digests + (size_t)k * TREE_DIGEST;

				if (!in_place(p, i, en->runs[r].first + k, d, &hint) &&
				    add_block(p, i, en->runs[r].first + k, d, e))
					return -1;
			}
		}
	}
	return 0;
}

struct table {
	uint32_t *slots; /* index of the first block with this content, or TREE_NONE */
	uint64_t mask, seed;
};

static uint32_t *table_slot(const struct tree_plan *p, const struct table *t, const uint8_t *digest)
{
	uint64_t h = XXH3_64bits_withSeed(digest, TREE_DIGEST, t->seed) & t->mask;

	while (t->slots[h] != TREE_NONE && memcmp(p->blocks[t->slots[h]].digest, digest, TREE_DIGEST))
		h = (h + 1) & t->mask;
	return &t->slots[h];
}

/* Chains blocks of equal content behind the first of them. */
static int table_fill(struct tree_plan *p, struct table *t, struct err *e)
{
	size_t cap = 64, i;

	while (cap < p->n_blocks * 2)
		cap *= 2;
	t->mask = cap - 1;
	t->slots = malloc(cap * sizeof *t->slots);
	if (!t->slots)
		return no_memory(e);
	memset(t->slots, 0xff, cap * sizeof *t->slots);
	if (getrandom(&t->seed, sizeof t->seed, 0) != sizeof t->seed)
		return err_sys(e, "files: cannot get random bytes");
	for (i = 0; i < p->n_blocks; i++) {
		uint32_t *slot = table_slot(p, t, p->blocks[i].digest);

		if (*slot == TREE_NONE) {
			*slot = (uint32_t)i;
			continue;
		}
		p->blocks[i].repeat = true;
		p->blocks[i].next = p->blocks[*slot].next;
		p->blocks[*slot].next = (uint32_t)i;
	}
	return 0;
}

/* Will this block of `have` still be there when everything else has been changed? */
static bool stays(const struct tree_plan *p, uint32_t j, uint32_t block, const uint8_t *digest)
{
	uint32_t i = p->to[j];
	const uint8_t *d;

	if (i == TREE_NONE || p->act[i] == FRESH || p->act[i] == LINK)
		return false;
	d = entry_digest(&p->want->entries[first_name(p->want, i)], block, NULL);
	return d && !memcmp(d, digest, TREE_DIGEST);
}

/* The few blocks that are looked for stand in the table, the many that are here stream past it. */
static void find_sources(struct tree_plan *p, const struct table *t)
{
	uint32_t j, r, k;

	for (j = 0; j < p->have->n; j++) {
		const struct tree_entry *en = &p->have->entries[j];

		for (r = 0; en->link == TREE_NONE && r < en->n_runs; r++) {
			for (k = 0; k < en->runs[r].n; k++) {
				const uint8_t *d = en->runs[r].digests + (size_t)k * TREE_DIGEST;
				uint32_t *slot = table_slot(p, t, d);
				struct plan_block *b = *slot == TREE_NONE ? NULL : &p->blocks[*slot];

				if (!b || (b->src.entry != TREE_NONE && !b->spool) || tree_lost(p->have, d))
					continue;
				b->src = (struct tree_block){ j, en->runs[r].first + k };
				b->spool = !stays(p, j, b->src.block, d);
			}
		}
	}
}

static int list_needs(struct tree_plan *p, struct err *e)
{
	size_t i;

	for (i = 0; i < p->n_blocks; i++)
		p->n_needs += !p->blocks[i].repeat && p->blocks[i].src.entry == TREE_NONE;
	p->needs = reallocarray(NULL, p->n_needs + 1, sizeof *p->needs);
	if (!p->needs)
		return no_memory(e);
	p->n_needs = 0;
	for (i = 0; i < p->n_blocks; i++)
		if (!p->blocks[i].repeat && p->blocks[i].src.entry == TREE_NONE)
			p->needs[p->n_needs++] = p->blocks[i].at;
	return 0;
}

static int plan_acts(struct tree_plan *p, struct err *e)
{
	AUTO_FREE uint32_t *owner = malloc((p->have->n + 1) * sizeof *owner);
	AUTO_FREE uint32_t *names = malloc((p->have->n + 1) * sizeof *names);
	uint32_t i;

	p->from = malloc((p->want->n + 1) * sizeof *p->from);
	p->to = malloc((p->have->n + 1) * sizeof *p->to);
	p->act = calloc(p->want->n + 1, 1);
	if (!owner || !names || !p->from || !p->to || !p->act)
		return no_memory(e);
	match(p);
	choose_owners(p, owner, names);
	for (i = 0; i < p->want->n; i++)
		p->act[i] = (uint8_t)act_of(p, i, owner, names);
	return 0;
}

int tree_plan(struct tree_plan **out, const struct tree *have, const struct tree *want, struct err *e)
{
	struct tree_plan *p = calloc(1, sizeof *p);
	struct table t = { 0 };
	int rc;

	if (!p)
		return no_memory(e);
	p->have = have;
	p->want = want;
	rc = plan_acts(p, e);
	if (!rc)
		rc = list_blocks(p, e);
	if (!rc && p->n_blocks) {
		rc = table_fill(p, &t, e);
		if (!rc)
			find_sources(p, &t);
	}
	if (!rc)
		rc = list_needs(p, e);
	free(t.slots);
	if (rc)
		tree_plan_free(p);
	else
		*out = p;
	return rc;
}

const struct tree_block *tree_plan_needs(const struct tree_plan *p, size_t *n)
{
	*n = p->n_needs;
	return p->needs;
}

bool tree_plan_block(const struct tree_plan *p, size_t i, struct tree_block *b)
{
	if (i < p->n_blocks)
		*b = p->blocks[i].at;
	return i < p->n_blocks;
}

bool tree_plan_empty(const struct tree_plan *p)
{
	uint32_t i;

	for (i = 0; i < p->want->n; i++)
		if (p->act[i] != KEEP)
			return false;
	for (i = 0; i < p->have->n; i++)
		if (p->to[i] == TREE_NONE)
			return false;
	return true;
}

uint64_t tree_plan_bytes(const struct tree_plan *p)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < p->n_needs; i++)
		sum += block_len(p->want->entries[p->needs[i].entry].size, p->needs[i].block);
	return sum;
}

uint64_t tree_plan_space(const struct tree_plan *p)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < p->n_blocks; i++) /* what is spooled lies there twice for a while */
		sum += (p->blocks[i].spool ? 2 : 1) *
		       block_len(p->want->entries[p->blocks[i].at.entry].size, p->blocks[i].at.block);
	return sum;
}

struct plan_block *plan_find(const struct tree_plan *p, struct tree_block at)
{
	size_t lo = 0, hi = p->n_blocks;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		struct plan_block *b = &p->blocks[mid];

		if (b->at.entry == at.entry && b->at.block == at.block)
			return b;
		if (b->at.entry < at.entry || (b->at.entry == at.entry && b->at.block < at.block))
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}
