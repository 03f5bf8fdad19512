/* SPDX-License-Identifier: MIT */
/* internal.h - an open image and a reader's scratch, shared by the files of image/ that read. */
#ifndef ENTROFS_IMAGE_INTERNAL_H
#define ENTROFS_IMAGE_INTERNAL_H

#include "codec/codec.h"
#include "image/cache.h"
#include "image/catalog.h"
#include "image/io.h"
#include "image/reader.h"
#include "image/section.h"

enum { INDEX_STEP = 64 }; /* blocks between two stored offsets of an index */

/* A stream's index, validated. Immutable. One piece of memory, all pointers into it. */
struct stream_index {
	uint64_t blocks;
	uint8_t *raw; /* the index as it is on disk; the next five point into it or behind */
	const struct codec_table *tables;
	const uint32_t *checksums;
	const uint16_t *sizes;
	const uint8_t *kinds;
	const uint8_t *arguments;
	uint64_t *offsets; /* of every INDEX_STEP-th block, from the stream's start */
	uint8_t *trees;    /* aligned, tree_stride bytes for each table */
	size_t tree_stride;
	size_t size; /* bytes of all of it */
};

struct image {
	struct image_file file;
	struct efs_superblock super;
	struct catalog catalog;
	/* A stream_index for each stream, then a section_map for each blob. */
	struct cache indexes;
};

struct image_scratch {
	struct codec_scratch *codec;
	uint8_t *block;  /* CODEC_BLOCK_MAX bytes: a block that is wanted in part */
	uint8_t *chunk;  /* EFS_CHUNK_SIZE bytes, once needed: a chunk that is wanted in part */
	uint8_t *source; /* TRANSCODE_SOURCE_MAX bytes, once needed: what a transcode is made of */
	uint8_t *stored; /* stored bytes of a run of blocks */
	size_t stored_size;
	struct section_work section;
};

/*
 * Whether the file still holds the image that was opened, -EUCLEAN if not. What is read late and
 * only has checksums of its own (indexes, chunk sizes) must be of that image: an image written over
 * a mounted one is as valid, but means other weights.
 */
int efs_image_check_same(const struct image *image, struct image_diag *diag);

/* stream.c: the index of a stream, read and validated. */
int efs_stream_index_load(const struct image *image, uint32_t stream, struct stream_index **index,
			  struct image_diag *diag);
void efs_stream_index_free(struct stream_index *index);
uint64_t efs_stream_index_size(const struct efs_stream *stream); /* bytes that it takes */

/* indexes.c: what is in memory of an image whose catalog is there. */
int efs_image_init_indexes(struct image *image);
int efs_image_hold_map(struct image *image, uint32_t blob, const struct section_map **map,
		       struct image_diag *diag);
void efs_image_release_map(struct image *image, uint32_t blob);

static inline const struct stream_index *held_index(const struct image *image, uint32_t stream)
{
	return efs_cache_held(&image->indexes, stream);
}

static inline uint32_t block_raw_size(const struct efs_stream *stream, uint64_t block)
{
	uint64_t size = UINT64_C(1) << stream->block_log2;
	uint64_t rest = stream->raw_size - (block << stream->block_log2);

	return (uint32_t)(rest < size ? rest : size);
}

#endif
