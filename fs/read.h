/* SPDX-License-Identifier: MIT */
/*
 * read.h - ranges of files, verified and decoded, for any number of threads at once.
 *
 * Knows nothing of FUSE. How bytes are fetched, decoded and kept is its own business: everything
 * goes through reader_read().
 */
#ifndef ENTROFS_READ_H
#define ENTROFS_READ_H

#include "fs/stats.h"
#include "image/reader.h"

#include <stdbool.h>

struct reader;
struct read_buffer;

struct reader_options {
	const char *name;     /* of the image, for messages; stays the caller's */
	uint64_t cache_size;  /* bytes of decoded blocks to keep */
	uint64_t readahead;   /* decoded bytes to be ahead of one reader in order; 0: never */
	unsigned workers;     /* threads that may decode one request */
	bool keep_compressed; /* let the kernel keep the image's pages; else read past its cache */
};

/* The image, at byte `base` of fd, and the fd stay the caller's and must outlive the reader. 0 or a
 * negative errno. */
int reader_create(struct reader **reader, struct image *image, int fd, uint64_t base,
		  const struct reader_options *options);

/* Starts the threads, after any fork. A reader works without, but reads nothing ahead. */
void reader_start(struct reader *reader);

/* No read may be under way. NULL does nothing. */
void reader_destroy(struct reader *reader);

/* Decoded bytes lent by the reader: valid until reader_release(). */
struct read_lease {
	const void *data;
	size_t size;
	bool alone; /* no other read was under way when this one began */
	struct read_buffer *buffer;
};

/* What will be asked for soon. */
struct read_next {
	uint32_t node;
	uint64_t offset;
	size_t size; /* 0: unknown */
};

/*
 * Reads bytes [offset, offset + size) of file `node`, fewer only at its end. On 0 the lease must be
 * released, after the bytes have been used; else a negative errno (-EIO: the image is damaged
 * there, which has been logged) and nothing to release. Takes no lock while it fetches or decodes.
 *
 * next: for callers that can deliver what is not asked for yet, where small requests in order make
 * that worth while; else NULL. They read it with reader_read_next(), or do not deliver it.
 */
int reader_read(struct reader *reader, uint32_t node, uint64_t offset, size_t size,
		struct read_next *next, struct read_lease *lease);
int reader_read_next(struct reader *reader, const struct read_next *next, struct read_lease *lease);
void reader_release(struct reader *reader, struct read_lease *lease);

/* What it counts, and how it works, for people. */
struct stats *reader_stats(struct reader *reader);
const struct reader_options *reader_options(const struct reader *reader);
const char *reader_fetch_engine(const struct reader *reader);
bool reader_is_direct(const struct reader *reader);

#endif
