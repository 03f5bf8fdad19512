/* SPDX-License-Identifier: MIT */
/*
 * read.c - ranges of files from pieces, and what to fetch ahead of the next request; see read.h.
 */
#include "fs/read.h"

#include "fs/ahead.h"
#include "fs/buffers.h"
#include "fs/damage.h"
#include "fs/streams.h"
#include "image/transcode.h"

#include <errno.h>
#include <stdlib.h>

enum {
	/* Stored bytes of a fast reader are fetched so many times further ahead than the kernel
	 * reads. It asks for all that it reads ahead at once, and the next time is soon; and to
	 * fetch much at a time wakes the thread that does seldom. */
	AHEAD_FACTOR = 4,
	AHEAD_LEAST_SHARE = 4,   /* and of a slow one to this part of what the kernel reads ahead */
	READERS = 2,             /* in order, at once, that there is memory for segments of */
	SEGMENTS_MAX = 64 << 20, /* bytes */
};

struct reader {
	struct image *image;
	struct reader_options options;
	struct fetch *fetch;
	struct segments *segments;
	struct decoder *decoder;
	struct streams *streams;
	struct ahead *ahead;
	struct stats stats;
	struct buffers *buffers;
};

/* Bytes of stored segments to make room for. */
static size_t segments_room(const struct reader_options *options)
{
	if (options->keep_compressed)
		return 0; /* the kernel keeps them */
	uint64_t room = options->readahead * AHEAD_FACTOR * READERS;
	return room < SEGMENTS_MAX ? (size_t)room : SEGMENTS_MAX;
}

int reader_create(struct reader **reader, struct image *image, int fd, uint64_t base,
		  const struct reader_options *options)
{
	struct reader *new = calloc(1, sizeof(*new));
	if (!new)
		return -ENOMEM;
	new->image = image;
	new->options = *options;
	size_t room = segments_room(options);
	int error = fetch_create(&new->fetch, fd, base,
				 options->keep_compressed ? FETCH_BUFFERED : FETCH_DIRECT);
	if (!error)
		error = segments_create(&new->segments, image, new->fetch, room, &new->stats);
	if (!error)
		error = decoder_create(&new->decoder, image, &new->stats);
	if (!error)
		error = streams_create(&new->streams, image, new->segments, new->decoder,
				       (size_t)options->cache_size, &new->stats);
	const struct ahead_limits limits = {
	    .least = options->readahead / AHEAD_LEAST_SHARE,
	    .most = options->readahead * AHEAD_FACTOR,
	    .total = options->keep_compressed ? UINT64_MAX : room / 4 * 3,
	};
	if (!error)
		error = ahead_create(&new->ahead, &limits);
	if (!error)
		error = buffers_create(&new->buffers);
	if (error) {
		reader_destroy(new);
		return error;
	}
	*reader = new;
	return 0;
}

void reader_start(struct reader *reader)
{
	struct fetch_buffers buffers = segments_buffers(reader->segments);
	decoder_start(reader->decoder, reader->options.workers);
	if (buffers.count)
		fetch_start(reader->fetch, &buffers);
}

void reader_destroy(struct reader *reader)
{
	if (!reader)
		return;
	fetch_destroy(reader->fetch);
	decoder_destroy(reader->decoder);
	streams_destroy(reader->streams);
	segments_destroy(reader->segments);
	ahead_destroy(reader->ahead);
	buffers_destroy(reader->buffers);
	free(reader);
}

/* A stretch of a file that lies within one piece. */
struct stretch {
	const struct efs_piece *piece;
	uint64_t from; /* of the source's decoded bytes */
	uint64_t size;
};

/* Walks the pieces under a range of a file, which lies within it. */
struct walk {
	const struct image *image;
	int64_t number;  /* of the next piece */
	uint64_t start;  /* of that piece, in the file */
	uint64_t offset; /* what is left of the range */
	uint64_t size;
};

static struct walk walk_range(const struct image *image, uint32_t node, uint64_t offset,
			      uint64_t size)
{
	struct walk walk = {.image = image, .offset = offset, .size = size};
	if (size)
		walk.number = image_find_piece(image, node, offset, &walk.start);
	return walk;
}

static bool walk_next(struct walk *walk, struct stretch *stretch)
{
	if (walk->size == 0)
		return false;
	const struct efs_piece *piece = image_piece(walk->image, (uint32_t)walk->number++);
	uint64_t skip = walk->offset - walk->start, rest = piece->length - skip;
	stretch->piece = piece;
	stretch->from = piece->offset + skip;
	stretch->size = walk->size < rest ? walk->size : rest;
	walk->start += piece->length;
	walk->offset += stretch->size;
	walk->size -= stretch->size;
	return true;
}

static int read_stream(struct reader *reader, const struct transcode_source *source, uint8_t *to,
		       bool in_order, struct streams_work *work, struct image_diag *diag)
{
	int error = image_hold_index(reader->image, source->stream, diag);
	if (error)
		return error;
	error = streams_read(reader->streams, source->stream, source->offset, to,
			     (size_t)source->size, in_order, work, diag);
	image_release_index(reader->image, source->stream);
	return error;
}

/* Part by part, so that what the numbers are made of is still in the processor's cache. */
static int read_transcode(struct reader *reader, const struct stretch *stretch, uint8_t *to,
			  bool in_order, struct read_buffer *buffer, struct image_diag *diag)
{
	uint32_t number = stretch->piece->source;
	uint64_t at = stretch->from, end = stretch->from + stretch->size;
	if (!buffer->source)
		buffer->source = aligned_alloc(BUFFERS_PAGE, TRANSCODE_SOURCE_MAX);
	if (!buffer->source)
		return -ENOMEM;
	while (at < end) {
		uint64_t rest = transcode_part(reader->image, number, at);
		size_t part = (size_t)(rest < end - at ? rest : end - at);
		struct transcode_source sources[TRANSCODE_SOURCES_MAX];
		unsigned count = transcode_sources(reader->image, number, at, part, sources);
		uint8_t *bytes = buffer->source;
		for (unsigned i = 0; i < count; i++) {
			int error =
			    read_stream(reader, &sources[i], bytes, in_order, &buffer->work, diag);
			if (error)
				return error;
			bytes += sources[i].size;
		}
		transcode(reader->image, number, at, part, buffer->source, to);
		at += part;
		to += part;
	}
	return 0;
}

static int read_stretch(struct reader *reader, const struct stretch *stretch, uint8_t *to,
			bool in_order, struct read_buffer *buffer, struct image_diag *diag)
{
	struct streams_work *work = &buffer->work;
	const struct transcode_source all = {stretch->piece->source, stretch->from, stretch->size};
	ssize_t got;
	switch (stretch->piece->kind) {
	case EFS_PIECE_BLOB:
		got = image_read_blob(reader->image, stretch->piece->source, stretch->from, to,
				      (size_t)stretch->size, work->scratch, diag);
		return got < 0 ? (int)got : 0;
	case EFS_PIECE_STREAM:
		return read_stream(reader, &all, to, in_order, work, diag);
	default:
		return read_transcode(reader, stretch, to, in_order, buffer, diag);
	}
}

/* Fills buffer->data[0..size) from the file's pieces; the range lies within it. */
static int read_pieces(struct reader *reader, uint32_t node, uint64_t offset, size_t size,
		       bool in_order, struct read_buffer *buffer)
{
	uint8_t *data = buffer->data;
	struct walk walk = walk_range(reader->image, node, offset, size);
	struct stretch stretch;
	while (walk_next(&walk, &stretch)) {
		struct image_diag diag = {""};
		int error = read_stretch(reader, &stretch, data, in_order, buffer, &diag);
		if (error) {
			struct damage damage = {
			    reader->image, reader->options.name, node, stretch.piece, error, diag};
			stats_add(&reader->stats, STATS_ERRORS, 1);
			return damage_report(&damage);
		}
		data += stretch.size;
	}
	return 0;
}

/* What a stretch is made of that is fetched ahead: of blobs, nothing. */
static unsigned sources_of(const struct image *image, const struct stretch *stretch,
			   struct transcode_source *sources)
{
	switch (stretch->piece->kind) {
	case EFS_PIECE_BLOB:
		return 0;
	case EFS_PIECE_STREAM:
		*sources =
		    (struct transcode_source){stretch->piece->source, stretch->from, stretch->size};
		return 1;
	default:
		return transcode_sources(image, stretch->piece->source, stretch->from,
					 stretch->size, sources);
	}
}

/* An index that is damaged is left to the read that needs it. */
static void fetch_source(struct reader *reader, const struct transcode_source *source)
{
	struct image_diag diag;
	if (image_hold_index(reader->image, source->stream, &diag))
		return;
	segments_ahead(reader->segments, source->stream, source->offset,
		       source->offset + source->size);
	image_release_index(reader->image, source->stream);
}

/* Starts to fetch what lies ahead of a reader. */
static void fetch_ahead_of(struct reader *reader, uint32_t node, const struct ahead_plan *plan)
{
	uint64_t end = image_node(reader->image, node)->size;
	uint64_t to = plan->to < end ? plan->to : end;
	uint64_t size = plan->from < to ? to - plan->from : 0;
	struct walk walk = walk_range(reader->image, node, plan->from, size);
	struct stretch stretch;
	while (walk_next(&walk, &stretch)) {
		struct transcode_source sources[TRANSCODE_SOURCES_MAX];
		unsigned count = sources_of(reader->image, &stretch, sources);
		for (unsigned i = 0; i < count; i++)
			fetch_source(reader, &sources[i]);
	}
}

/* What a file has of a range. */
static size_t clip(const struct reader *reader, uint32_t node, uint64_t offset, uint64_t size)
{
	uint64_t file_size = image_node(reader->image, node)->size;
	uint64_t rest = offset < file_size ? file_size - offset : 0;
	return (size_t)(size < rest ? size : rest);
}

/* Bytes [offset, offset + size) of a file, which has them. */
static int read_range(struct reader *reader, uint32_t node, uint64_t offset, size_t size,
		      bool in_order, struct read_lease *lease)
{
	struct read_buffer *buffer = buffers_take(reader->buffers, size);
	if (!buffer)
		return -ENOMEM;
	bool alone = decoder_begin_request(reader->decoder);
	struct read_lease made = {buffer->data, size, alone, buffer};
	int error = read_pieces(reader, node, offset, size, in_order, buffer);
	if (error)
		reader_release(reader, &made);
	else
		*lease = made;
	return error;
}

int reader_read(struct reader *reader, uint32_t node, uint64_t offset, size_t size,
		struct read_next *next, struct read_lease *lease)
{
	uint64_t start = stats_now();
	*lease = (struct read_lease){0};
	if (next)
		*next = (struct read_next){0};
	size = clip(reader, node, offset, size);
	if (size == 0)
		return 0;
	const struct ahead_request request = {node, offset, size, start, next != NULL};
	struct ahead_plan plan = ahead_note(reader->ahead, &request);
	/* First, so that storage is busy while this thread decodes. */
	fetch_ahead_of(reader, node, &plan);
	int error = read_range(reader, node, offset, size, plan.in_order, lease);
	if (error)
		return error;
	if (next)
		*next = (struct read_next){
		    node, plan.push_from,
		    clip(reader, node, plan.push_from, plan.push_to - plan.push_from)};
	stats_add(&reader->stats, STATS_READS, 1);
	stats_add(&reader->stats, STATS_BYTES_SERVED, size);
	stats_add_latency(&reader->stats, stats_now() - start);
	return 0;
}

int reader_read_next(struct reader *reader, const struct read_next *next, struct read_lease *lease)
{
	*lease = (struct read_lease){0};
	int error = read_range(reader, next->node, next->offset, next->size, true, lease);
	if (!error)
		stats_add(&reader->stats, STATS_BYTES_PUSHED, next->size);
	return error;
}

void reader_release(struct reader *reader, struct read_lease *lease)
{
	if (lease->buffer) {
		decoder_end_request(reader->decoder);
		buffers_put(reader->buffers, lease->buffer);
	}
	*lease = (struct read_lease){0};
}

struct stats *reader_stats(struct reader *reader)
{
	return &reader->stats;
}

const struct reader_options *reader_options(const struct reader *reader)
{
	return &reader->options;
}

const char *reader_fetch_engine(const struct reader *reader)
{
	return fetch_engine(reader->fetch);
}

bool reader_is_direct(const struct reader *reader)
{
	return fetch_is_direct(reader->fetch);
}
