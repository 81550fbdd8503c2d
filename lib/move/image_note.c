/* SPDX-License-Identifier: MIT */
/* Notes of a memory image while it changes, in a thread of its own: who brings pages does not wait for it. */
#include <math.h>

#include "lib/base/await.h"
#include "lib/base/clock.h"
#include "lib/base/proc.h"
#include "lib/move/image_int.h"

#define NOTE_MS 250
#define NOTE_SHARE 50 /* one in so many milliseconds goes into notes at most; */
#define NOTE_MOST_MS 5000 /* but they are no further apart than this, even where all is busy, */
#define NOTE_LEAST 4      /* if the disk keeps up: so many times as long as one takes there is none */

static void *write_notes(void *arg)
{
	struct image *im = arg;

	proc_yield();
	pthread_mutex_lock(&im->lock);
	for (;;) {
		while (!im->note_due && !im->note_over)
			pthread_cond_wait(&im->note_cond, &im->lock);
		if (im->note_over)
			break;
		double start = clock_ms();

		image_index_write(im, "rough", INDEX_BUSY, NULL);
		double now = clock_ms(), took = now - start, pause = fmin(fmax(took * NOTE_SHARE, NOTE_MS), NOTE_MOST_MS);
		if (!im->note_over)
			im->note_at = now + fmax(pause, took * NOTE_LEAST);
		im->note_due = false;
	}
	im->note_gone = true;
	pthread_cond_broadcast(&im->note_cond);
	pthread_mutex_unlock(&im->lock);
	return NULL;
}

void image_note_begin(struct image *im)
{
	im->note_at = clock_ms() + NOTE_MS;
}

void image_note(struct image *im)
{
	if (pthread_mutex_trylock(&im->lock)) /* it is asked often enough */
		return;
	if (im->note_at && !im->note_due && clock_ms() > im->note_at) {
		if (!im->noting)
			im->noting = !pthread_create(&im->noter, NULL, write_notes, im);
		im->note_due = im->noting;
		pthread_cond_broadcast(&im->note_cond);
	}
	pthread_mutex_unlock(&im->lock);
}

void image_note_stop(struct image *im, int ms)
{
	pthread_mutex_lock(&im->lock);
	im->note_at = 0;
	im->note_over = true;
	pthread_cond_broadcast(&im->note_cond);
	if (im->noting)
		await_ms(&im->note_cond, &im->lock, &im->note_gone, ms);
	pthread_mutex_unlock(&im->lock);
}

void image_note_end(struct image *im)
{
	image_note_stop(im, 0);
	if (im->noting)
		pthread_join(im->noter, NULL);
	pthread_mutex_lock(&im->lock);
	im->noting = im->note_over = im->note_due = im->note_gone = false;
	pthread_mutex_unlock(&im->lock);
}
