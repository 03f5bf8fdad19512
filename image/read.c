/* SPDX-License-Identifier: MIT */
/*
 * read.c - reads decoded bytes of streams, blobs, transcodes and files, and the scratch that this
 * takes.
 *
 * Stored bytes of neighbouring blocks are fetched with one pread(). Blocks and chunks that are
 * wanted whole are decoded straight into the caller's buffer, others by way of the scratch.
 */
#include "image/internal.h"
#include "image/transcode.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum {
	RUN_MAX = 1 << 20, /* stored bytes fetched at once; more than any one block has */
	SCRATCH_ALIGN = 64,
};

static size_t round_up(size_t size)
{
	return (size + SCRATCH_ALIGN - 1) / SCRATCH_ALIGN * SCRATCH_ALIGN;
}

int image_scratch_create(struct image_scratch **scratch)
{
	struct image_scratch *made = calloc(1, sizeof(*made));

	if (!made)
		return -ENOMEM;
	made->codec = aligned_alloc(SCRATCH_ALIGN, round_up(codec_scratch_size));
	made->block = aligned_alloc(SCRATCH_ALIGN, CODEC_BLOCK_MAX);
	if (!made->codec || !made->block) {
		image_scratch_destroy(made);
		return -ENOMEM;
	}
	*scratch = made;
	return 0;
}

void image_scratch_destroy(struct image_scratch *scratch)
{
	if (!scratch)
		return;
	free(scratch->codec);
	free(scratch->block);
	free(scratch->chunk);
	free(scratch->source);
	free(scratch->stored);
	efs_section_work_free(&scratch->section);
	free(scratch);
}

/* Room for size stored bytes and the decoder's slack. What was there is lost. */
static int want_stored(struct image_scratch *scratch, size_t size)
{
	size_t need = size + CODEC_SLACK;

	if (scratch->stored_size < need) {
		free(scratch->stored);
		scratch->stored_size = 0;
		scratch->stored = malloc(need);
		if (!scratch->stored)
			return -ENOMEM;
		scratch->stored_size = need;
	}
	/* The slack's value is of no account, but it must not be undefined. */
	memset(scratch->stored + size, 0, CODEC_SLACK);
	return 0;
}

/* A stretch of decoded bytes that a call still has to deliver. */
struct wanted {
	uint64_t offset; /* in the stream or blob */
	uint64_t size;
	uint8_t *to;
};

static void deliver(struct wanted *wanted, uint64_t count)
{
	wanted->offset += count;
	wanted->size -= count;
	wanted->to += count;
}

/* Decodes the blocks of a run, whose stored bytes are in the scratch. */
static int decode_run(struct image *image, uint32_t stream, uint64_t first, uint64_t count,
		      struct wanted *wanted, struct image_scratch *scratch, struct image_diag *diag)
{
	const struct efs_stream *record = image_stream(image, stream);
	const uint8_t *stored = scratch->stored;

	for (uint64_t i = first; i < first + count; i++) {
		struct image_block block = image_block(image, stream, i);
		uint64_t skip = wanted->offset - (i << record->block_log2);
		uint64_t part = block.raw_size - skip;
		int whole = part <= wanted->size && !skip;
		int err = image_decode_block(image, stream, i, stored,
					     whole ? wanted->to : scratch->block, scratch, diag);

		if (err)
			return err;
		if (part > wanted->size)
			part = wanted->size;
		if (!whole)
			memcpy(wanted->to, scratch->block + skip, (size_t)part);
		deliver(wanted, part);
		stored += block.stored_size;
	}
	return 0;
}

/* Delivers the next run: as many of the wanted blocks as RUN_MAX stored bytes hold. */
static int read_run(struct image *image, uint32_t stream, struct wanted *wanted,
		    struct image_scratch *scratch, struct image_diag *diag)
{
	const struct efs_stream *record = image_stream(image, stream);
	uint64_t first = wanted->offset >> record->block_log2;
	uint64_t last = (wanted->offset + wanted->size - 1) >> record->block_log2;
	struct image_block block = image_block(image, stream, first);
	uint64_t offset = block.offset, next = first;
	size_t size = 0;
	int err;

	while (size + block.stored_size <= RUN_MAX) {
		size += block.stored_size;
		if (++next > last)
			break;
		block = image_block(image, stream, next);
	}
	if (want_stored(scratch, size))
		return image_fail(diag, -ENOMEM, "out of memory");
	err = efs_io_read(&image->file, offset, scratch->stored, size, diag);
	return err ? err : decode_run(image, stream, first, next - first, wanted, scratch, diag);
}

/* Cuts a request at the source's end; 0: nothing is left of it. */
static size_t cut(uint64_t offset, size_t size, uint64_t end)
{
	if (size > SSIZE_MAX)
		size = SSIZE_MAX;
	if (offset >= end)
		return 0;
	return size < end - offset ? size : (size_t)(end - offset);
}

ssize_t image_read_stream(struct image *image, uint32_t stream, uint64_t offset, void *buffer,
			  size_t size, struct image_scratch *scratch, struct image_diag *diag)
{
	struct wanted wanted = {.offset = offset, .to = buffer};
	int err;

	size = cut(offset, size, image_stream(image, stream)->raw_size);
	wanted.size = size;
	if (!size)
		return 0;
	err = image_hold_index(image, stream, diag);
	if (err)
		return err;
	while (!err && wanted.size)
		err = read_run(image, stream, &wanted, scratch, diag);
	image_release_index(image, stream);
	return err ? err : (ssize_t)size;
}

static int read_chunk(struct image *image, const struct section_map *map, struct wanted *wanted,
		      struct image_scratch *scratch, struct image_diag *diag)
{
	uint64_t index = wanted->offset / EFS_CHUNK_SIZE;
	uint64_t skip = wanted->offset % EFS_CHUNK_SIZE;
	uint64_t part = efs_section_chunk_raw_size(map, index) - skip;
	int whole = part <= wanted->size && !skip;
	int err;

	if (!whole && !scratch->chunk)
		scratch->chunk = malloc(EFS_CHUNK_SIZE);
	if (!whole && !scratch->chunk)
		return image_fail(diag, -ENOMEM, "out of memory");
	err = efs_section_read_chunk(map, index, &image->file, whole ? wanted->to : scratch->chunk,
				     &scratch->section, diag);
	if (err)
		return err;
	if (part > wanted->size)
		part = wanted->size;
	if (!whole)
		memcpy(wanted->to, scratch->chunk + skip, (size_t)part);
	deliver(wanted, part);
	return 0;
}

ssize_t image_read_blob(struct image *image, uint32_t blob, uint64_t offset, void *buffer,
			size_t size, struct image_scratch *scratch, struct image_diag *diag)
{
	struct wanted wanted = {.offset = offset, .to = buffer};
	const struct section_map *map = NULL;
	struct image_diag detail = {0};
	int err;

	size = cut(offset, size, image_blob(image, blob)->raw_size);
	wanted.size = size;
	if (!size)
		return 0;
	err = efs_image_hold_map(image, blob, &map, &detail);
	if (!err) {
		while (!err && wanted.size)
			err = read_chunk(image, map, &wanted, scratch, &detail);
		efs_image_release_map(image, blob);
	}
	if (err)
		return image_fail(diag, err, "blob %u: %s", blob, detail.text);
	return (ssize_t)size;
}

/* The next bytes of a transcode, as far as one part goes. */
static int read_part(struct image *image, uint32_t number, struct wanted *wanted,
		     struct image_scratch *scratch, struct image_diag *diag)
{
	uint64_t part = transcode_part(image, number, wanted->offset);
	struct transcode_source sources[TRANSCODE_SOURCES_MAX];
	uint8_t *to = scratch->source;

	part = part < wanted->size ? part : wanted->size;
	unsigned count = transcode_sources(image, number, wanted->offset, part, sources);
	for (unsigned i = 0; i < count; i++) {
		ssize_t got = image_read_stream(image, sources[i].stream, sources[i].offset, to,
						(size_t)sources[i].size, scratch, diag);

		if (got < 0)
			return (int)got;
		to += sources[i].size;
	}
	transcode(image, number, wanted->offset, (size_t)part, scratch->source, wanted->to);
	deliver(wanted, part);
	return 0;
}

ssize_t image_read_transcode(struct image *image, uint32_t transcode, uint64_t offset, void *buffer,
			     size_t size, struct image_scratch *scratch, struct image_diag *diag)
{
	struct wanted wanted = {.offset = offset, .to = buffer};

	size = cut(offset, size, image_transcode(image, transcode)->raw_size);
	wanted.size = size;
	if (size && !scratch->source)
		scratch->source = malloc(TRANSCODE_SOURCE_MAX);
	if (size && !scratch->source)
		return image_fail(diag, -ENOMEM, "out of memory");
	while (wanted.size) {
		int err = read_part(image, transcode, &wanted, scratch, diag);

		if (err)
			return err;
	}
	return (ssize_t)size;
}

ssize_t image_read_source(struct image *image, uint32_t kind, uint32_t source, uint64_t offset,
			  void *buffer, size_t size, struct image_scratch *scratch,
			  struct image_diag *diag)
{
	switch (kind) {
	case EFS_PIECE_STREAM:
		return image_read_stream(image, source, offset, buffer, size, scratch, diag);
	case EFS_PIECE_BLOB:
		return image_read_blob(image, source, offset, buffer, size, scratch, diag);
	default:
		return image_read_transcode(image, source, offset, buffer, size, scratch, diag);
	}
}

ssize_t image_read_file(struct image *image, uint32_t node, uint64_t offset, void *buffer,
			size_t size, struct image_scratch *scratch, struct image_diag *diag)
{
	uint8_t *to = buffer;
	size_t left;
	uint64_t start;
	int64_t piece;

	if (image_node(image, node)->type != EFS_FILE)
		return image_fail(diag, -EISDIR, "node %u is a directory", node);
	size = cut(offset, size, image_node(image, node)->size);
	if (!size)
		return 0;
	piece = image_find_piece(image, node, offset, &start);
	for (left = size; left; piece++) {
		const struct efs_piece *at = image_piece(image, (uint32_t)piece);
		uint64_t skip = offset - start;
		size_t part = left < at->length - skip ? left : (size_t)(at->length - skip);
		ssize_t got = image_read_source(image, at->kind, at->source, at->offset + skip, to,
						part, scratch, diag);

		if (got < 0)
			return got;
		to += part;
		left -= part;
		offset += part;
		start += at->length;
	}
	return (ssize_t)size;
}
