/* SPDX-License-Identifier: MIT */
/* fetch_engine.h - what fetch.c and the two engines for reads ahead share; private to them. */
#ifndef ENTROFS_FETCH_ENGINE_H
#define ENTROFS_FETCH_ENGINE_H

#include "fs/fetch.h"

#include <stdatomic.h>

struct fetch_engine {
	const char *name;
	void (*submit)(struct fetch *fetch, struct fetch_request *list);
	void (*stop)(struct fetch *fetch); /* after the last read; frees the engine's state */
};

struct fetch {
	int buffered_fd; /* the caller's */
	int direct_fd;   /* ours; -1: none */
	_Atomic int fd;  /* the one of the two that is read */
	uint64_t base;
	uint32_t align;                    /* bytes, a power of two */
	const struct fetch_engine *engine; /* NULL: no reads ahead */
	void *state;                       /* the engine's */
};

/* The aligned range of the FILE around a range of the image. */
struct fetch_span {
	uint64_t offset;
	size_t size;
	size_t needed; /* bytes from the span's start to the end of what is wanted */
};
struct fetch_span fetch_span_of(const struct fetch *fetch, uint64_t offset, size_t size);

/* Reads what is missing of a span of which `have` bytes are there: after a short read, or all. */
int fetch_finish(struct fetch *fetch, const struct fetch_span *span, uint8_t *buffer, size_t have);

/* Set engine and state. 0 or a negative errno. */
int fetch_uring_start(struct fetch *fetch, const struct fetch_buffers *buffers);
int fetch_threads_start(struct fetch *fetch);

#endif
