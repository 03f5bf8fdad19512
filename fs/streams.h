/* SPDX-License-Identifier: MIT */
/*
 * streams.h - ranges of a stream's decoded bytes.
 *
 * Blocks that are wanted whole are decoded straight into the caller's buffer. Others go through a
 * bounded cache of decoded blocks, where each is decoded once however many readers want a part of
 * it. Any number of threads may read at once, each with a streams_work of its own; no lock is held
 * while one fetches, decodes or waits.
 */
#ifndef ENTROFS_STREAMS_H
#define ENTROFS_STREAMS_H

#include "fs/decoder.h"
#include "fs/segments.h"

struct streams;

/* cache: bytes of decoded blocks to keep. The others stay the caller's. 0 or -ENOMEM. */
int streams_create(struct streams **streams, struct image *image, struct segments *segments,
		   struct decoder *decoder, size_t cache, struct stats *stats);
void streams_destroy(struct streams *streams); /* NULL does nothing */

/* One reading thread's memory. */
struct streams_work {
	struct image_scratch *scratch;
	struct segments_own stored;
	uint8_t *block; /* decoded; for when the cache has no room */
};
int streams_work_create(struct streams_work *work); /* 0 or -ENOMEM */
void streams_work_free(struct streams_work *work);

/*
 * Decoded bytes [offset, offset + size) of a stream, which must lie within it. in_order: the read
 * belongs to a reader that goes through the stream. 0, or a negative errno and a diag.
 */
int streams_read(struct streams *streams, uint32_t stream, uint64_t offset, uint8_t *to,
		 size_t size, bool in_order, struct streams_work *work, struct image_diag *diag);

#endif
