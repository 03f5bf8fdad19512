/* SPDX-License-Identifier: MIT */
/*
 * pages.c - a queue of what was served, dropped from its old end; see pages.h.
 */
#include "fs/pages.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

enum {
	RANGES_MAX = 8192, /* of which PAGES_KEPT holds 4096 if all are single pages */
};

struct range {
	fuse_ino_t ino;
	uint64_t offset;
	size_t size;
};

struct pages {
	struct fuse_session *session;
	pthread_t thread;
	pthread_mutex_t lock; /* of all below */
	pthread_cond_t more;
	bool stopping;
	uint64_t total;        /* bytes in the queue */
	unsigned first, count; /* of the queue, in ranges */
	struct range ranges[RANGES_MAX];
};

/* Waits for the oldest range until there is too much; false: stop. */
static bool next_range(struct pages *pages, struct range *range)
{
	pthread_mutex_lock(&pages->lock);
	while (!pages->stopping && pages->total <= PAGES_KEPT)
		pthread_cond_wait(&pages->more, &pages->lock);
	bool found = !pages->stopping;
	if (found) {
		*range = pages->ranges[pages->first];
		pages->first = (pages->first + 1) % RANGES_MAX;
		pages->count--;
		pages->total -= range->size;
	}
	pthread_mutex_unlock(&pages->lock);
	return found;
}

static void *drop(void *argument)
{
	struct pages *pages = argument;
	struct range range;
	while (next_range(pages, &range))
		fuse_lowlevel_notify_inval_inode(pages->session, range.ino, (off_t)range.offset,
						 (off_t)range.size);
	return NULL;
}

int pages_start(struct pages **pages, struct fuse_session *session)
{
	struct pages *new = calloc(1, sizeof(*new));
	if (!new)
		return -ENOMEM;
	new->session = session;
	pthread_mutex_init(&new->lock, NULL);
	pthread_cond_init(&new->more, NULL);
	int error = pthread_create(&new->thread, NULL, drop, new);
	if (error) {
		pthread_cond_destroy(&new->more);
		pthread_mutex_destroy(&new->lock);
		free(new);
		return -error;
	}
	*pages = new;
	return 0;
}

void pages_stop(struct pages *pages)
{
	if (!pages)
		return;
	pthread_mutex_lock(&pages->lock);
	pages->stopping = true;
	pthread_cond_signal(&pages->more);
	pthread_mutex_unlock(&pages->lock);
	pthread_join(pages->thread, NULL);
}

void pages_destroy(struct pages *pages)
{
	if (!pages)
		return;
	pthread_cond_destroy(&pages->more);
	pthread_mutex_destroy(&pages->lock);
	free(pages);
}

/* Continues the newest range, as readers in order do. The lock is held. */
static bool extend(struct pages *pages, fuse_ino_t ino, uint64_t offset, size_t size)
{
	if (!pages->count)
		return false;
	struct range *newest = &pages->ranges[(pages->first + pages->count - 1) % RANGES_MAX];
	if (newest->ino != ino || newest->offset + newest->size != offset ||
	    newest->size + size > PAGES_KEPT / 16)
		return false;
	newest->size += size;
	return true;
}

void pages_note(struct pages *pages, fuse_ino_t ino, uint64_t offset, size_t size)
{
	pthread_mutex_lock(&pages->lock);
	/* A full queue means that the thread lags behind: these pages are left to the kernel. */
	bool noted = extend(pages, ino, offset, size);
	if (!noted && pages->count < RANGES_MAX) {
		pages->ranges[(pages->first + pages->count++) % RANGES_MAX] =
		    (struct range){ino, offset, size};
		noted = true;
	}
	if (noted)
		pages->total += size;
	if (pages->total > PAGES_KEPT)
		pthread_cond_signal(&pages->more);
	pthread_mutex_unlock(&pages->lock);
}

void pages_store(struct fuse_session *session, fuse_ino_t ino, uint64_t offset, const void *data,
		 size_t size)
{
	struct fuse_bufvec pages = FUSE_BUFVEC_INIT(size);
	pages.buf[0].mem = (void *)(uintptr_t)data;
	fuse_lowlevel_notify_store(session, ino, (off_t)offset, &pages, 0);
}
