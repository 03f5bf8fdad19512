/* SPDX-License-Identifier: MIT */
/* image_exercise.h - uses everything that a reader offers on an image that may be hostile. */
#ifndef ENTROFS_TESTS_IMAGE_EXERCISE_H
#define ENTROFS_TESTS_IMAGE_EXERCISE_H

#include "codec/codec.h"
#include "image/reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	EXERCISE_READ = 128 << 10,
	EXERCISE_MOST = 1 << 20,
	EXERCISE_PART = 777,
	EXERCISE_BUFFER = 2 * EXERCISE_READ, /* bytes that exercise() needs */
};

/* Whether bytes of a file are those of its sources, by its list of pieces. */
static inline int exercise_same(struct image *image, uint32_t node, uint64_t offset,
				const uint8_t *bytes, size_t size, uint8_t *buffer,
				struct image_scratch *scratch)
{
	const struct efs_node *file = image_node(image, node);
	struct image_diag diag;
	uint64_t start = 0;

	for (uint32_t i = file->first; i < file->first + file->count && size; i++) {
		const struct efs_piece *piece = image_piece(image, i);
		uint64_t skip = offset - start, from = piece->offset + skip;

		start += piece->length;
		if (offset >= start)
			continue;
		size_t part = size < piece->length - skip ? size : (size_t)(piece->length - skip);
		ssize_t got = image_read_source(image, piece->kind, piece->source, from, buffer,
						part, scratch, &diag);

		if (got != (ssize_t)part || memcmp(bytes, buffer, part) != 0)
			return 0;
		bytes += part;
		offset += part;
		size -= part;
	}
	return !size;
}

/*
 * Reads the file's beginning, its end and its middle, at most about EXERCISE_MOST bytes. What is
 * read must be what its pieces are, whole or in part.
 */
static inline void exercise_file(struct image *image, uint32_t node, uint8_t *buffer,
				 struct image_scratch *scratch)
{
	uint64_t size = image_node(image, node)->size;
	uint64_t places[] = {0, size / 2, size - (size != 0), size, UINT64_MAX};
	struct image_diag diag;

	for (uint64_t at = 0; at < size && at < EXERCISE_MOST; at += EXERCISE_READ) {
		ssize_t got =
		    image_read_file(image, node, at, buffer, EXERCISE_READ, scratch, &diag);

		if (got < 0)
			break;
		if (!exercise_same(image, node, at, buffer, (size_t)got, buffer + EXERCISE_READ,
				   scratch))
			abort();
	}
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		/* At the buffer's end, where a sanitizer notices each byte too many. */
		uint8_t *to = buffer + EXERCISE_BUFFER - EXERCISE_PART;
		ssize_t got =
		    image_read_file(image, node, places[i], to, EXERCISE_PART, scratch, &diag);
		uint64_t left = places[i] < size ? size - places[i] : 0;

		if (got >= 0 && (uint64_t)got != (left < EXERCISE_PART ? left : EXERCISE_PART))
			abort();
		if (got > 0 &&
		    !exercise_same(image, node, places[i], to, (size_t)got, buffer, scratch))
			abort();
	}
}

static inline uint64_t exercise_stream(struct image *image, uint32_t stream)
{
	uint64_t sum = 0, blocks = image_block_count(image, stream);
	struct image_diag diag;

	if (image_hold_index(image, stream, &diag))
		return 0;
	for (uint64_t i = 0; i < blocks && i < 1000; i++) {
		struct image_block block = image_block(image, stream, i);

		sum += block.offset + block.checksum + block.argument;
		if (block.kind == EFS_BLOCK_CODED)
			sum += image_table(image, stream, block.argument)->code[255];
	}
	image_release_index(image, stream);
	return sum;
}

/* Adds up what names, shapes and parameters hold, so that a sanitizer sees each byte read. */
static inline uint64_t exercise_records(struct image *image)
{
	const struct efs_catalog_header *catalog = image_catalog(image);
	uint64_t sum = 0;

	for (uint32_t i = 0; i < catalog->tensor_count; i++) {
		const struct efs_tensor *tensor = image_tensor(image, i);
		struct image_name name = image_string(image, tensor->name);
		struct image_name shard = image_shard(image, tensor->shard);

		for (uint32_t d = 0; d < tensor->rank; d++)
			sum += image_dims(image, tensor)[d];
		for (uint32_t p = 0; p < tensor->param_count; p++)
			sum += (uint32_t)image_params(image, tensor)[p].zero_point;
		for (size_t c = 0; c < name.size; c++)
			sum += (uint8_t)name.text[c];
		for (size_t c = 0; c < shard.size; c++)
			sum += (uint8_t)shard.text[c];
	}
	for (uint32_t i = 0; i < catalog->transcode_count; i++)
		sum += image_transcode(image, i)->raw_size;
	return sum;
}

/* 0 if the image opens; the sum of what it says is returned in *sum, so that nothing is optimised
 * away. */
static inline int exercise(int fd, uint64_t offset, uint8_t *buffer, struct image_scratch *scratch,
			   uint64_t *sum)
{
	struct image_diag diag = {0};
	struct image *image;
	char path[256];
	int err = image_open(&image, fd, offset, &diag);

	if (err)
		return err;
	image_set_index_budget(image, 0); /* indexes come and go all the time */
	*sum += exercise_records(image);
	for (uint32_t i = 0; i < image_catalog(image)->stream_count; i++)
		*sum += exercise_stream(image, i);
	for (uint32_t i = 0; i < image_catalog(image)->node_count; i++) {
		struct image_name name = image_string(image, image_node(image, i)->name);

		*sum += image_path(image, i, path, sizeof(path));
		if (i &&
		    image_lookup(image, image_node(image, i)->parent, name.text, name.size) != i)
			abort();
		if (image_node(image, i)->type == EFS_FILE)
			exercise_file(image, i, buffer, scratch);
	}
	image_verify_padding(image, &diag);
	image_verify_hashes(image, &diag);
	image_close(image);
	return 0;
}

#endif
