/* SPDX-License-Identifier: MIT */
/* Cleanup types for what the C library hands out; every other module declares its own with AUTO_DEFINE. */
#ifndef EDGE_BASE_AUTO_H
#define EDGE_BASE_AUTO_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define AUTO(fn) __attribute__((cleanup(fn)))

/* Defines `fn_auto`, which frees a pointer variable of `type *` with `fn` when it leaves its scope. */
#define AUTO_DEFINE(type, fn)                          \
	static inline void fn##_auto(type **p)         \
	{                                              \
		if (*p)                                \
			fn(*p);                        \
	}

static inline void auto_free(void *p)
{
	free(*(void **)p);
}

static inline void auto_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void auto_fclose(FILE **f)
{
	if (*f)
		fclose(*f);
}

#define AUTO_FREE AUTO(auto_free)
#define AUTO_FD AUTO(auto_close)
#define AUTO_FILE AUTO(auto_fclose)

/* Takes the value out of an AUTO_ variable, so that it is not freed: ownership moves to the caller. */
#define TAKE_PTR(p)                        \
	({                                 \
		__typeof__(p) take_ = (p); \
		(p) = NULL;                \
		take_;                     \
	})
#define TAKE_FD(fd)               \
	({                        \
		int take_ = (fd); \
		(fd) = -1;        \
		take_;            \
	})

#endif
