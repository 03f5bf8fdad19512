/* SPDX-License-Identifier: MIT */
/*
 * buffers.h - a pool of buffers for replies, each with what it takes to fill one.
 *
 * Who reads takes a buffer and puts it back after the reply, so there are never more of them than
 * reads were under way at once. Any thread may call; the pool's lock covers a push or a pop.
 */
#ifndef ENTROFS_BUFFERS_H
#define ENTROFS_BUFFERS_H

#include "fs/streams.h"

enum { BUFFERS_PAGE = 4096 }; /* bytes; alignment of data, so that the kernel copies whole pages */

struct read_buffer {
	struct streams_work work;
	uint8_t *data;
	uint8_t *source; /* TRANSCODE_SOURCE_MAX bytes, once needed */
	/* The pool's: */
	struct read_buffer *next;
	int cpu;         /* that put it there */
	size_t capacity; /* bytes of data */
	bool is_slice;   /* data is a part of the pool's large pages */
};

struct buffers;

int buffers_create(struct buffers **buffers);  /* 0 or -ENOMEM */
void buffers_destroy(struct buffers *buffers); /* all were put back; NULL does nothing */

/* A buffer whose data have room for size bytes; NULL: out of memory. */
struct read_buffer *buffers_take(struct buffers *buffers, size_t size);
void buffers_put(struct buffers *buffers, struct read_buffer *buffer);

#endif
