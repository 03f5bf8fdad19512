/* SPDX-License-Identifier: MIT */
/*
 * segments.c - stored bytes from slots that are filled by whoever needs them first, in time by the
 * fetcher; see segments.h.
 */
#include "fs/segments.h"

#include "codec/codec.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
	/* A segment's stored bytes are at most its decoded ones, block by block. */
	SLOT_SIZE = SEGMENT_SIZE + FETCH_OVERHEAD + FETCH_ALIGN,
	/* Nanoseconds after which nobody is likely to come for the rest of a segment. */
	KEEP_TIME = 100000000,
};
_Static_assert((int)CODEC_SLACK <= (int)FETCH_ALIGN, "the decoder's slack fits behind a segment");

/* One for each slot: a read ahead that is under way, and what is left to do with its segment. */
struct ahead_read {
	struct fetch_request request; /* first: the fetcher hands it back */
	struct segments *segments;
	struct slot *slot;
	_Atomic int64_t blocks_left; /* to be decoded; below 0 if some were decoded again */
};

struct segments {
	struct image *image;
	struct fetch *fetch;
	struct stats *stats;
	struct slots *slots;
	struct ahead_read *reads; /* by number of the slot */
};

int segments_create(struct segments **segments, struct image *image, struct fetch *fetch,
		    size_t memory, struct stats *stats)
{
	struct segments *new = calloc(1, sizeof(*new));
	unsigned count = (unsigned)(memory / SLOT_SIZE);
	if (!new)
		return -ENOMEM;
	*new = (struct segments){.image = image, .fetch = fetch, .stats = stats};
	new->reads = calloc(count ? count : 1, sizeof(*new->reads));
	if (!new->reads || slots_create(&new->slots, SLOT_SIZE, count, KEEP_TIME)) {
		free(new->reads);
		free(new);
		return -ENOMEM;
	}
	*segments = new;
	return 0;
}

void segments_destroy(struct segments *segments)
{
	if (!segments)
		return;
	slots_destroy(segments->slots);
	free(segments->reads);
	free(segments);
}

struct fetch_buffers segments_buffers(const struct segments *segments)
{
	size_t all;
	uint8_t *memory = slots_memory(segments->slots, &all);
	return (struct fetch_buffers){memory, SLOT_SIZE, (unsigned)(all / SLOT_SIZE)};
}

uint64_t segments_blocks(const struct segments *segments, uint32_t stream)
{
	return SEGMENT_SIZE >> image_stream(segments->image, stream)->block_log2;
}

void segments_own_free(struct segments_own *own)
{
	free(own->data);
	*own = (struct segments_own){0};
}

/* Where the stored bytes of some blocks lie in the image. */
struct extent {
	uint64_t offset;
	size_t size;
};

static struct extent extent_of(const struct segments *segments, uint32_t stream, uint64_t first,
			       uint64_t count)
{
	uint64_t offset = image_block(segments->image, stream, first).offset;
	struct image_block last = image_block(segments->image, stream, first + count - 1);
	return (struct extent){offset, (size_t)(last.offset + last.stored_size - offset)};
}

static uint64_t segment_count(const struct segments *segments, uint32_t stream)
{
	uint64_t each = segments_blocks(segments, stream);
	return (image_block_count(segments->image, stream) + each - 1) / each;
}

static uint64_t blocks_in(const struct segments *segments, uint32_t stream, uint64_t number)
{
	uint64_t each = segments_blocks(segments, stream);
	uint64_t rest = image_block_count(segments->image, stream) - number * each;
	return rest < each ? rest : each;
}

static struct extent segment_extent(const struct segments *segments, uint32_t stream,
				    uint64_t number)
{
	return extent_of(segments, stream, number * segments_blocks(segments, stream),
			 blocks_in(segments, stream, number));
}

static struct ahead_read *read_of(const struct segments *segments, const struct slot *slot)
{
	size_t all;
	const uint8_t *memory = slots_memory(segments->slots, &all);
	return &segments->reads[(size_t)(slot->data - memory) / SLOT_SIZE];
}

/* Before a slot is filled: none of its segment's blocks is decoded yet. */
static void begin_segment(struct segments *segments, struct slots_key key, struct slot *slot)
{
	atomic_store_explicit(&read_of(segments, slot)->blocks_left,
			      (int64_t)blocks_in(segments, key.source, key.number),
			      memory_order_relaxed);
}

static int fetch_now(struct segments *segments, struct extent extent, uint8_t *buffer)
{
	stats_add(segments->stats, STATS_BYTES_FETCHED, extent.size);
	return extent.size ? fetch_read(segments->fetch, extent.offset, extent.size, buffer) : 0;
}

static int cannot_read(uint32_t stream, struct extent extent, int error, struct image_diag *diag)
{
	return image_fail(diag, error, "stream %u: reading %zu bytes at byte %llu: %s", stream,
			  extent.size, (unsigned long long)extent.offset,
			  error == -EIO ? "the storage fails or the file ends too early"
					: strerror(-error));
}

/* A segment in a slot: found there, awaited, or fetched; NULL: the caller has to do without. */
static struct slot *hold_segment(struct segments *segments, struct slots_key key, bool in_order)
{
	struct slot *slot;
	enum slots_state state = in_order ? slots_get(segments->slots, key, &slot)
					  : slots_find(segments->slots, key, &slot);
	if (state == SLOTS_READY)
		stats_add(segments->stats, STATS_SEGMENTS_FOUND, 1);
	if (state != SLOTS_FILL)
		return slot;
	begin_segment(segments, key, slot);
	bool failed =
	    fetch_now(segments, segment_extent(segments, key.source, key.number), slot->data) != 0;
	slots_filled(segments->slots, slot, failed);
	if (!failed)
		return slot;
	slots_put(segments->slots, slot, true);
	return NULL;
}

/* Room for a fetch of size bytes. */
static int grow(struct segments_own *own, size_t size)
{
	size_t need = (size + FETCH_OVERHEAD + FETCH_ALIGN) & ~(size_t)(FETCH_ALIGN - 1);
	if (need <= own->capacity)
		return 0;
	segments_own_free(own);
	own->data = aligned_alloc(FETCH_ALIGN, need);
	if (!own->data)
		return -ENOMEM;
	memset(own->data, 0, need);
	own->capacity = need;
	return 0;
}

int segments_obtain(struct segments *segments, uint32_t stream, uint64_t first, uint64_t count,
		    bool in_order, struct segments_own *own, struct stored *stored,
		    struct image_diag *diag)
{
	struct extent extent = extent_of(segments, stream, first, count);
	struct slots_key key = {stream, first / segments_blocks(segments, stream)};
	*stored = (struct stored){.slot = hold_segment(segments, key, in_order)};
	if (stored->slot) {
		struct extent whole = segment_extent(segments, stream, key.number);
		stored->data = stored->slot->data + fetch_lead(segments->fetch, whole.offset) +
			       (extent.offset - whole.offset);
		return 0;
	}
	int error = grow(own, extent.size);
	if (!error)
		error = fetch_now(segments, extent, own->data);
	if (error)
		return cannot_read(stream, extent, error, diag);
	stored->data = own->data + fetch_lead(segments->fetch, extent.offset);
	return 0;
}

void segments_release(struct segments *segments, struct stored *stored, uint64_t decoded)
{
	if (stored->slot) {
		_Atomic int64_t *left = &read_of(segments, stored->slot)->blocks_left;
		int64_t before =
		    atomic_fetch_sub_explicit(left, (int64_t)decoded, memory_order_relaxed);
		slots_put(segments->slots, stored->slot, before <= (int64_t)decoded);
	}
	*stored = (struct stored){0};
}

static void ahead_done(struct fetch_request *request, int error)
{
	struct ahead_read *read = (struct ahead_read *)request;
	slots_filled(read->segments->slots, read->slot, error != 0);
	slots_put(read->segments->slots, read->slot, error != 0);
}

/* A read of this segment, if it is neither there nor on its way. */
static struct fetch_request *prepare(struct segments *segments, struct slots_key key)
{
	struct slot *slot;
	if (slots_claim(segments->slots, key, &slot) != SLOTS_FILL)
		return NULL;
	begin_segment(segments, key, slot);
	struct extent extent = segment_extent(segments, key.source, key.number);
	if (extent.size == 0) { /* constant blocks only */
		slots_filled(segments->slots, slot, false);
		slots_put(segments->slots, slot, true);
		return NULL;
	}
	struct ahead_read *read = read_of(segments, slot);
	read->request =
	    (struct fetch_request){extent.offset, extent.size, slot->data, ahead_done, NULL};
	read->segments = segments;
	read->slot = slot;
	stats_add(segments->stats, STATS_SEGMENTS_AHEAD, 1);
	stats_add(segments->stats, STATS_BYTES_FETCHED, extent.size);
	return &read->request;
}

/* Where there are no slots, the image is read through the kernel's page cache. */
static void advise(struct segments *segments, uint32_t stream, uint64_t from, uint64_t to)
{
	unsigned log2 = image_stream(segments->image, stream)->block_log2;
	uint64_t first = from >> log2, last = (to - 1) >> log2;
	struct extent extent = extent_of(segments, stream, first, last - first + 1);
	fetch_advise(segments->fetch, extent.offset, extent.size);
}

void segments_ahead(struct segments *segments, uint32_t stream, uint64_t from, uint64_t to)
{
	size_t memory;
	slots_memory(segments->slots, &memory);
	if (!memory) {
		advise(segments, stream, from, to);
		return;
	}
	struct fetch_request *list = NULL, **last = &list;
	uint64_t end = segment_count(segments, stream);
	if (end > (to + SEGMENT_SIZE - 1) / SEGMENT_SIZE)
		end = (to + SEGMENT_SIZE - 1) / SEGMENT_SIZE;
	for (uint64_t number = from / SEGMENT_SIZE; number < end; number++) {
		*last = prepare(segments, (struct slots_key){stream, number});
		if (*last)
			last = &(*last)->next;
	}
	if (list)
		fetch_ahead(segments->fetch, list);
}
