/* SPDX-License-Identifier: MIT */
/*
 * read.h - ranges of files, verified and decoded, for any number of threads at once.
 *
 * Knows nothing of FUSE. How bytes are fetched, decoded and kept is its own business: everything
 * goes through reader_read().
 */
#ifndef ENTROFS_READ_H
#define ENTROFS_READ_H

#include "image/reader.h"

struct reader;
struct read_buffer;

/* The image stays the caller's and must outlive the reader; name is that of the image, for
 * messages. 0 or -ENOMEM. */
int reader_create(struct reader **reader, struct image *image, const char *name);

/* No read may be under way. NULL does nothing. */
void reader_destroy(struct reader *reader);

/* Decoded bytes lent by the reader: valid until reader_release(). */
struct read_lease {
	const void *data;
	size_t size;
	struct read_buffer *buffer;
};

/*
 * Reads bytes [offset, offset + size) of file `node`, fewer only at its end. On 0 the lease must be
 * released, after the bytes have been used; else a negative errno (-EIO: the image is damaged
 * there, which has been logged) and nothing to release. Takes no lock while it fetches or decodes.
 */
int reader_read(struct reader *reader, uint32_t node, uint64_t offset, size_t size,
		struct read_lease *lease);
void reader_release(struct reader *reader, struct read_lease *lease);

#endif
