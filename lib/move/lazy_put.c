/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>

#include "lib/move/image.h"
#include "lib/move/lazy_fill_int.h"

static bool is_zero(const uint8_t *page)
{
	const uint64_t *w = (const uint64_t *)page;

	for (unsigned i = 0; i < PAGE_BYTES / sizeof(*w); i += 8)
		if (w[i] | w[i + 1] | w[i + 2] | w[i + 3] | w[i + 4] | w[i + 5] | w[i + 6] | w[i + 7])
			return false;
	return true;
}

uint64_t lazy_data_pages(const uint8_t *page, uint64_t most)
{
	uint64_t n = 0;

	while (n < most && !is_zero(page + n * PAGE_BYTES))
		n++;
	return n;
}

uint64_t lazy_zero_pages(const uint8_t *page, uint64_t most)
{
	uint64_t n = 0;

	while (n < most && is_zero(page + n * PAGE_BYTES))
		n++;
	return n;
}

static enum put put_failed(uint64_t *pages)
{
	switch (errno) {
	case EEXIST: /* it has been touched, or is the parent's */
	case ENOENT: /* nothing is mapped there, or it was when pages were not waited for */
	case EFAULT:
		*pages = 1;
		return PUT_DONE;
	case EAGAIN: /* there is an event to be read first */
	case ENOMEM:
		return PUT_LATER;
	case ESRCH:
	case ENOSPC:
		return PUT_GONE;
	default:
		return PUT_BAD;
	}
}

enum put lazy_put_data(int uffd, uint64_t addr, const uint8_t *page, uint64_t most, uint64_t *pages)
{
	/* ENOENT: perhaps they lie in two mappings, and at least the first ones are welcome. */
	do {
		struct uffdio_copy c = { .dst = addr, .src = (uintptr_t)page, .len = most * PAGE_BYTES };
		int rc = ioctl(uffd, UFFDIO_COPY, &c);

		*pages = rc ? 0 : most;
		if (rc && c.copy > 0)
			*pages = (uint64_t)c.copy / PAGE_BYTES;
		if (*pages)
			return PUT_DONE;
	} while (errno == ENOENT && (most /= 2));
	return put_failed(pages);
}

enum put lazy_put_zero(int uffd, uint64_t addr)
{
	struct uffdio_zeropage z = { .range = { addr, PAGE_BYTES } };
	uint64_t pages;

	return ioctl(uffd, UFFDIO_ZEROPAGE, &z) ? put_failed(&pages) : PUT_DONE;
}
