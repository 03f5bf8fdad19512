/* SPDX-License-Identifier: MIT */
/*
 * segments.h - the stored bytes of blocks, from memory or from storage.
 *
 * A segment is a run of blocks that one read fetches: SEGMENT_SIZE decoded bytes, counted from the
 * start of the stream. Readers in order get whole segments, fetched ahead of them; others get just
 * the blocks they ask for, in memory of their own. Any thread may call that holds
 * the stream's index.
 */
#ifndef ENTROFS_SEGMENTS_H
#define ENTROFS_SEGMENTS_H

#include "fs/fetch.h"
#include "fs/slots.h"
#include "fs/stats.h"
#include "image/reader.h"

enum { SEGMENT_SIZE = 512 << 10 }; /* decoded bytes */

struct segments;

/* For at most `memory` bytes of stored segments. The others stay the caller's. 0 or -ENOMEM. */
int segments_create(struct segments **segments, struct image *image, struct fetch *fetch,
		    size_t memory, struct stats *stats);
void segments_destroy(struct segments *segments); /* after fetch; NULL does nothing */

/* Where they are kept, for fetch_start(). */
struct fetch_buffers segments_buffers(const struct segments *segments);

/* Blocks in each segment of a stream but the last. */
uint64_t segments_blocks(const struct segments *segments, uint32_t stream);

/* Memory for the stored bytes of one caller, grown as needed. Starts zeroed. */
struct segments_own {
	uint8_t *data;
	size_t capacity;
};
void segments_own_free(struct segments_own *own);

/* Stored bytes of some blocks, with CODEC_SLACK readable bytes behind them. */
struct stored {
	const uint8_t *data;
	struct slot *slot; /* NULL: in the caller's own memory */
};

/*
 * Stored bytes of blocks [first, first + count) of one segment. in_order: fetches the whole segment
 * for others, too; else only looks whether it is there. 0, or a negative errno and a diag.
 */
int segments_obtain(struct segments *segments, uint32_t stream, uint64_t first, uint64_t count,
		    bool in_order, struct segments_own *own, struct stored *stored,
		    struct image_diag *diag);

/*
 * Lets go. decoded: how many blocks the caller has decoded from it that no reader will want again,
 * 0 if unknown. Once these are as many as the segment has, its memory is the first to be used for
 * others. The last block will not do as a sign: requests overtake each other, and the one before
 * may still want its part.
 */
void segments_release(struct segments *segments, struct stored *stored, uint64_t decoded);

/* Starts to fetch the segments that hold decoded bytes [from, to) of a stream. Never waits. */
void segments_ahead(struct segments *segments, uint32_t stream, uint64_t from, uint64_t to);

#endif
