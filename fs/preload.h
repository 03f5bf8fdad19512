/* SPDX-License-Identifier: MIT */
/*
 * preload.h - puts files in the page cache before anybody asks for them, slowly, in their order.
 *
 * Decoded pages are handed to the kernel, file by file; of a compressed cache, the image's own
 * pages are read. Both by one thread, so many bytes a second, and only while an eighth of the
 * machine's memory is available: what it puts there must not drive out what others need.
 */
#ifndef ENTROFS_PRELOAD_H
#define ENTROFS_PRELOAD_H

#include "fs/libfuse.h"
#include "fs/read.h"

struct preload;

struct preload_source {
	struct fuse_session *session;
	const char *mountpoint; /* absolute */
	struct reader *reader;
	struct image *image;
	int fd; /* of the image, at byte `offset` of the file */
	uint64_t offset;
	bool compressed; /* read the image, not the files in it */
	uint64_t rate;   /* bytes per second; 0: as fast as possible */
};

/* Starts the thread, so it comes after any fork; what the source names stays the caller's until
 * preload_stop(). 0 or a negative errno. */
int preload_start(struct preload **preload, const struct preload_source *source);

/* Ends it, finished or not. NULL does nothing. */
void preload_stop(struct preload *preload);

#endif
