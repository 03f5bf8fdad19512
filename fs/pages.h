/* SPDX-License-Identifier: MIT */
/*
 * pages.h - puts decoded pages into the kernel's page cache, and drops them from it.
 *
 * They are dropped so that the image's fit in, for cache=compressed: of what was read last,
 * PAGES_KEPT bytes stay, which covers what the kernel reads ahead of a reader; older pages are
 * dropped and will be decoded again. A thread of its own does it, as the kernel may make it wait
 * for a request that is still to be answered.
 */
#ifndef ENTROFS_PAGES_H
#define ENTROFS_PAGES_H

#include "fs/libfuse.h"

#include <stddef.h>
#include <stdint.h>

enum { PAGES_KEPT = 16 << 20 }; /* bytes */

struct pages;

/* Starts the thread, so it comes after any fork. session stays the caller's until pages_stop(). 0
 * or a negative errno. */
int pages_start(struct pages **pages, struct fuse_session *session);

/* Ends the thread; what is noted afterwards is of no effect. Both do nothing with NULL. */
void pages_stop(struct pages *pages);
void pages_destroy(struct pages *pages); /* after pages_stop() and the last pages_note() */

/* Notes a range of a file that has been served. Any thread may call; never waits. */
void pages_note(struct pages *pages, fuse_ino_t ino, uint64_t offset, size_t size);

/* Gives the kernel bytes of a file that it has not asked for. What it cannot take now, it will ask
 * for when it needs it. May wait for pages that requests under way are to fill, so other threads
 * must be there to answer them. */
void pages_store(struct fuse_session *session, fuse_ino_t ino, uint64_t offset, const void *data,
		 size_t size);

#endif
