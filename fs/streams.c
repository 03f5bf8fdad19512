/* SPDX-License-Identifier: MIT */
/*
 * streams.c - from decoded ranges to blocks; see streams.h.
 *
 * A request is cut at the borders of segments. What it wants of a segment is a run of whole blocks
 * with perhaps a part of a block at either end; all of them are obtained at once.
 */
#include "fs/streams.h"

#include "codec/codec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct streams {
	struct image *image;
	struct segments *segments;
	struct decoder *decoder;
	struct stats *stats;
	struct slots *blocks; /* decoded */
};

int streams_create(struct streams **streams, struct image *image, struct segments *segments,
		   struct decoder *decoder, size_t cache, struct stats *stats)
{
	struct streams *new = calloc(1, sizeof(*new));
	uint32_t largest = EFS_BLOCK_LOG2_MIN;
	if (!new)
		return -ENOMEM;
	for (uint32_t i = 0; i < image_catalog(image)->stream_count; i++) {
		uint32_t log2 = image_stream(image, i)->block_log2;
		largest = log2 > largest ? log2 : largest;
	}
	*new = (struct streams){image, segments, decoder, stats, NULL};
	if (slots_create(&new->blocks, (size_t)1 << largest, (unsigned)(cache >> largest),
			 UINT64_MAX)) {
		free(new);
		return -ENOMEM;
	}
	*streams = new;
	return 0;
}

void streams_destroy(struct streams *streams)
{
	if (!streams)
		return;
	slots_destroy(streams->blocks);
	free(streams);
}

int streams_work_create(struct streams_work *work)
{
	*work = (struct streams_work){0};
	if (image_scratch_create(&work->scratch))
		return -ENOMEM;
	work->block = aligned_alloc(FETCH_ALIGN, CODEC_BLOCK_MAX);
	if (work->block)
		return 0;
	streams_work_free(work);
	return -ENOMEM;
}

void streams_work_free(struct streams_work *work)
{
	image_scratch_destroy(work->scratch);
	segments_own_free(&work->stored);
	free(work->block);
	*work = (struct streams_work){0};
}

/* What is still to be read of a request, or of a segment's share in it. */
struct range {
	uint32_t stream;
	bool in_order;
	uint64_t offset; /* of decoded bytes in the stream */
	size_t size;
	uint8_t *to;
};

/* One block, and which of its bytes a range wants: the first one's at the front, or the last one's
 * at the back. */
struct wanted {
	uint64_t block;
	size_t skip, size; /* bytes */
	size_t block_size;
	uint8_t *to;
};

static struct wanted wanted_of(const struct streams *streams, const struct range *range,
			       uint64_t block)
{
	const struct efs_stream *stream = image_stream(streams->image, range->stream);
	uint64_t start = block << stream->block_log2,
		 end = start + (UINT64_C(1) << stream->block_log2);
	uint64_t range_end = range->offset + range->size;
	if (end > stream->raw_size)
		end = stream->raw_size;
	uint64_t from = range->offset > start ? range->offset : start;
	uint64_t to = range_end < end ? range_end : end;
	return (struct wanted){.block = block,
			       .skip = (size_t)(from - start),
			       .size = (size_t)(to - from),
			       .block_size = (size_t)(end - start),
			       .to = range->to + (from - range->offset)};
}

static uint64_t first_block(const struct streams *streams, const struct range *range)
{
	return range->offset >> image_stream(streams->image, range->stream)->block_log2;
}

static uint64_t last_block(const struct streams *streams, const struct range *range)
{
	return (range->offset + range->size - 1) >>
	       image_stream(streams->image, range->stream)->block_log2;
}

static bool is_whole(const struct wanted *wanted)
{
	return wanted->size == wanted->block_size;
}

/* Whether a reader in order has now seen all of a block. */
static bool is_finished(const struct range *range, const struct wanted *wanted)
{
	return range->in_order && wanted->skip + wanted->size == wanted->block_size;
}

/* Delivers a part of a block if the cache has it. */
static bool deliver_found(struct streams *streams, const struct range *range,
			  const struct wanted *wanted)
{
	struct slot *slot;
	struct slots_key key = {range->stream, wanted->block};
	if (is_whole(wanted) || slots_find(streams->blocks, key, &slot) != SLOTS_READY)
		return false;
	stats_add(streams->stats, STATS_BLOCKS_FOUND, 1);
	memcpy(wanted->to, slot->data + wanted->skip, wanted->size);
	slots_put(streams->blocks, slot, is_finished(range, wanted));
	return true;
}

/* Decodes one block. stored: its stored bytes; NULL: they have yet to be obtained. */
static int decode_one(struct streams *streams, const struct range *range, uint64_t block,
		      const uint8_t *stored, uint8_t *raw, struct streams_work *work,
		      struct image_diag *diag)
{
	struct decode_run run = {range->stream, block, 1, stored, raw};
	struct stored obtained = {0};
	int error = 0;
	if (!stored) {
		error = segments_obtain(streams->segments, range->stream, block, 1, range->in_order,
					&work->stored, &obtained, diag);
		run.stored = obtained.data;
	}
	if (!error)
		error = decoder_run(streams->decoder, &run, work->scratch, diag);
	segments_release(streams->segments, &obtained, range->in_order && !error);
	return error;
}

/* Delivers a part of a block, decoded in the cache or, if that has no room, in the caller's memory.
 * stored as for decode_one(). */
static int deliver_part(struct streams *streams, const struct range *range,
			const struct wanted *wanted, const uint8_t *stored,
			struct streams_work *work, struct image_diag *diag)
{
	struct slot *slot;
	struct slots_key key = {range->stream, wanted->block};
	enum slots_state state = slots_get(streams->blocks, key, &slot);
	uint8_t *raw = state == SLOTS_NONE ? work->block : slot->data;
	int error = 0;
	if (state == SLOTS_READY)
		stats_add(streams->stats, STATS_BLOCKS_FOUND, 1);
	else
		error = decode_one(streams, range, wanted->block, stored, raw, work, diag);
	if (state == SLOTS_FILL)
		slots_filled(streams->blocks, slot, error != 0);
	if (!error)
		memcpy(wanted->to, raw + wanted->skip, wanted->size);
	if (state != SLOTS_NONE)
		slots_put(streams->blocks, slot, is_finished(range, wanted));
	return error;
}

/* Where the stored bytes of a block lie, given those of an earlier one. */
static const uint8_t *stored_at(const struct streams *streams, uint32_t stream,
				const uint8_t *stored, uint64_t first, uint64_t block)
{
	return stored + (image_block(streams->image, stream, block).offset -
			 image_block(streams->image, stream, first).offset);
}

/* Blocks [first, last] of a range whose stored bytes are at hand. */
static int deliver_blocks(struct streams *streams, const struct range *range, uint64_t first,
			  uint64_t last, const uint8_t *stored, struct streams_work *work,
			  struct image_diag *diag)
{
	struct wanted head = wanted_of(streams, range, first);
	struct wanted tail = wanted_of(streams, range, last);
	struct decode_run run = {.stream = range->stream,
				 .first = is_whole(&head) ? first : first + 1};
	uint64_t end = is_whole(&tail) ? last + 1 : last; /* of the whole ones */
	int error = 0;
	if (!is_whole(&head))
		error = deliver_part(streams, range, &head, stored, work, diag);
	if (!error && run.first < end) {
		run.count = end - run.first;
		run.stored = stored_at(streams, range->stream, stored, first, run.first);
		run.raw = wanted_of(streams, range, run.first).to;
		error = decoder_run(streams->decoder, &run, work->scratch, diag);
	}
	if (!error && last > first && !is_whole(&tail))
		error = deliver_part(streams, range, &tail,
				     stored_at(streams, range->stream, stored, first, last), work,
				     diag);
	return error;
}

/* A range within one segment. Readers cannot wait for each other in a circle: who fills a block
 * waits for a segment at most, who fills a segment for storage alone. */
static int read_segment(struct streams *streams, const struct range *range,
			struct streams_work *work, struct image_diag *diag)
{
	uint64_t first = first_block(streams, range), last = last_block(streams, range);
	struct wanted head = wanted_of(streams, range, first);
	struct wanted tail = wanted_of(streams, range, last);
	if (first == last && !is_whole(&head))
		return deliver_part(streams, range, &head, NULL, work, diag);
	first += deliver_found(streams, range, &head);
	if (first <= last)
		last -= deliver_found(streams, range, &tail);
	if (first > last)
		return 0;
	struct stored stored;
	int error = segments_obtain(streams->segments, range->stream, first, last - first + 1,
				    range->in_order, &work->stored, &stored, diag);
	if (error)
		return error;
	error = deliver_blocks(streams, range, first, last, stored.data, work, diag);
	segments_release(streams->segments, &stored,
			 range->in_order && !error ? last - first + 1 : 0);
	return error;
}

int streams_read(struct streams *streams, uint32_t stream, uint64_t offset, uint8_t *to,
		 size_t size, bool in_order, struct streams_work *work, struct image_diag *diag)
{
	int error = 0;
	while (size && !error) {
		uint64_t rest = SEGMENT_SIZE - offset % SEGMENT_SIZE;
		size_t part = size < rest ? size : (size_t)rest;
		struct range range = {stream, in_order, offset, part, to};
		error = read_segment(streams, &range, work, diag);
		offset += part;
		to += part;
		size -= part;
	}
	return error;
}
