/* SPDX-License-Identifier: MIT */
#include "lib/move/settle.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/await.h"

#define EVERY_MS 1000
#define WHOLE_FIRST 2 /* time: files come first; */
#define WHOLE_EVERY 5 /* then as often as the kernel commits its journal anyway */

struct settle {
	int fd;
	DIR *pages;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	int owners; /* the thread, which a disk may hold up for long, and whoever has started it */
	bool last, done; /* the last time was asked for; is over */
	bool over; /* nobody waits for it any more */
};

static void free_parts(struct settle *s)
{
	if (s->fd >= 0)
		close(s->fd);
	if (s->pages)
		closedir(s->pages);
	free(s);
}

/* The lock is held. Who leaves last frees it. */
static void leave(struct settle *s)
{
	bool last = !--s->owners;

	pthread_mutex_unlock(&s->lock);
	if (!last)
		return;
	free_parts(s);
}

/* What was written to the files of `pages` is on its way to disk then. Other than syncfs(2), it has no journal committed, during
 * which who writes pages would wait to have the file's time noted: some 50 ms, in which the link has nothing to send. */
static void write_out(struct settle *s)
{
	struct dirent *d;

	rewinddir(s->pages);
	while ((d = readdir(s->pages))) {
		/* Not every filesystem says what it is; a folder has nothing to be written then. */
		const bool file = d->d_type == DT_REG || d->d_type == DT_UNKNOWN;
		AUTO_FD int fd = file ? openat(dirfd(s->pages), d->d_name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC) : -1;

		if (fd >= 0)
			sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	}
}

static void *run(void *arg)
{
	struct settle *s = arg;

	bool last = false;

	pthread_mutex_lock(&s->lock);
	for (unsigned times = 1; !last; times++) {
		await_ms(&s->cond, &s->lock, &s->last, EVERY_MS);
		if (s->over)
			break;
		last = s->last;
		pthread_mutex_unlock(&s->lock);
		if (last || times == WHOLE_FIRST || times % WHOLE_EVERY == 0)
			syncfs(s->fd); /* one that fails is found by who needs it there */
		else
			write_out(s);
		pthread_mutex_lock(&s->lock);
	}
	s->done = true;
	pthread_cond_broadcast(&s->cond);
	leave(s);
	return NULL;
}

struct settle *settle_start(const char *dir, const char *pages)
{
	struct settle *s = calloc(1, sizeof(*s));
	pthread_t thread;

	if (!s)
		return NULL;
	s->owners = 2;
	pthread_cond_init(&s->cond, NULL);
	pthread_mutex_init(&s->lock, NULL);
	s->fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	s->pages = opendir(pages);
	if (s->fd >= 0 && s->pages && !pthread_create(&thread, NULL, run, s)) {
		pthread_detach(thread);
		return s;
	}
	free_parts(s);
	return NULL;
}

void settle_now(struct settle *s, int ms)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->last = true;
	pthread_cond_broadcast(&s->cond);
	await_ms(&s->cond, &s->lock, &s->done, ms);
	pthread_mutex_unlock(&s->lock);
}

void settle_free(struct settle *s)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->last = s->over = true;
	pthread_cond_broadcast(&s->cond);
	leave(s);
}
