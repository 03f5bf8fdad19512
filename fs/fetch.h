/* SPDX-License-Identifier: MIT */
/*
 * fetch.h - stored bytes of the image, read past the page cache, now or ahead of their use.
 *
 * Direct reads (O_DIRECT) begin and end at multiples of the storage's alignment, so a buffer
 * receives a little more than was asked for: the bytes at `offset` lie at
 * buffer + fetch_lead(fetch, offset). Where direct reads are impossible or not wanted, the same
 * calls read through the page cache.
 *
 * Reads that somebody waits for are made in the calling thread; reads ahead by io_uring, or where
 * the kernel has none (or forbids it), by threads that call pread(). All calls may come from any
 * thread; no lock is held while a read is under way.
 */
#ifndef ENTROFS_FETCH_H
#define ENTROFS_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	FETCH_ALIGN = 4096,               /* bytes; alignment of every buffer */
	FETCH_AHEAD_MAX = 64,             /* reads ahead under way at once */
	FETCH_OVERHEAD = 2 * FETCH_ALIGN, /* what a buffer needs beyond the bytes wanted */
};

enum fetch_mode {
	FETCH_DIRECT,   /* past the page cache where the file system allows it */
	FETCH_BUFFERED, /* through it: the image is to stay in memory */
};

struct fetch;

/* The image starts at byte `base` of fd, which stays the caller's. 0 or a negative errno. */
int fetch_create(struct fetch **fetch, int fd, uint64_t base, enum fetch_mode mode);

/* Equal buffers side by side. */
struct fetch_buffers {
	uint8_t *memory;
	size_t size; /* bytes of each */
	unsigned count;
};

/*
 * Makes reads ahead possible; until then, and if it fails, fetch_ahead() refuses. Starts threads,
 * so it comes after any fork. Reads ahead will go to these buffers, which stay the caller's: each
 * is registered with the kernel when it is first used, if the kernel lets us, and is in memory
 * from then on.
 */
int fetch_start(struct fetch *fetch, const struct fetch_buffers *buffers);

/* Waits for reads under way; their done() has then been called. NULL does nothing. */
void fetch_destroy(struct fetch *fetch);

/* Where in its buffer the byte at this offset of the image arrives. */
size_t fetch_lead(const struct fetch *fetch, uint64_t offset);

/*
 * Reads image bytes [offset, offset + size) into buffer, which has room for size + FETCH_OVERHEAD.
 * 0 or a negative errno; -EIO also where the file ends too early.
 */
int fetch_read(struct fetch *fetch, uint64_t offset, size_t size, uint8_t *buffer);

/* A read ahead. The caller fills in the first four and keeps it in place until done() is called,
 * once, in some thread of the fetcher's: it must neither block nor call fetch_...(). */
struct fetch_request {
	uint64_t offset;
	size_t size;
	uint8_t *buffer;
	void (*done)(struct fetch_request *request, int error);
	struct fetch_request *next; /* the fetcher's */
};

/* Starts the reads of a list linked by next. Those that cannot be started are done with -EBUSY. */
void fetch_ahead(struct fetch *fetch, struct fetch_request *list);

/* In buffered mode: lets the kernel read ahead into its page cache. */
void fetch_advise(struct fetch *fetch, uint64_t offset, uint64_t size);

/* How reads ahead are made: "io_uring", "pread", or "none"; and whether past the page cache. */
const char *fetch_engine(const struct fetch *fetch);
bool fetch_is_direct(const struct fetch *fetch);

#endif
