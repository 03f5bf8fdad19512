/* SPDX-License-Identifier: MIT */
/*
 * catalog.h - the catalog in memory: its arrays found and every record validated.
 *
 * Whatever the rest of image/ reads from a catalog that efs_catalog_parse() accepted needs no
 * further check: indexes are in range, sizes agree, extents lie within the data zone and do not
 * overlap.
 */
#ifndef ENTROFS_IMAGE_CATALOG_H
#define ENTROFS_IMAGE_CATALOG_H

#include "codec/planes.h"
#include "image/diag.h"
#include "image/format.h"

#include <stddef.h>
#include <stdint.h>

struct catalog {
	uint8_t *raw; /* malloc'ed, owned; the pointers below point into it */
	const struct efs_catalog_header *header;
	const struct efs_node *nodes;
	const struct efs_piece *pieces;
	const struct efs_tensor *tensors;
	const struct efs_stream *streams;
	const struct efs_section *blobs;
	const struct efs_string *shards;
	const uint64_t *dims;
	const struct efs_param *params;
	const struct efs_transcode *transcodes;
	const char *strings;
	uint64_t *piece_starts; /* malloc'ed: each piece's offset within its file, bytes */
};

/*
 * Takes over raw (size bytes, malloc'ed; freed by efs_catalog_free(), also after a failure) and
 * validates it against the superblock. -EUCLEAN or -ENOMEM with a diag on failure.
 */
int efs_catalog_parse(struct catalog *catalog, uint8_t *raw, uint64_t size,
		      const struct efs_superblock *super, struct image_diag *diag);
void efs_catalog_free(struct catalog *catalog);

static inline uint64_t stream_align(const struct efs_stream *stream)
{
	return stream->raw_size >= EFS_LARGE_STREAM ? EFS_STREAM_ALIGN_LARGE : EFS_STREAM_ALIGN;
}

static inline uint64_t stream_blocks(const struct efs_stream *stream)
{
	uint64_t mask = (UINT64_C(1) << stream->block_log2) - 1;

	return (stream->raw_size >> stream->block_log2) + ((stream->raw_size & mask) != 0);
}

/* Elements of a tensor; -1 if they are beyond 64 bits. */
int efs_tensor_count(const struct efs_tensor *tensor, const uint64_t *dims, uint64_t *count);

/* Decoded bytes of a tensor's data, from its shape; -1 if they are beyond INT64_MAX. */
int efs_tensor_raw_size(const struct efs_tensor *tensor, const uint64_t *dims, uint64_t *size);

/* Bytes of one element; 0 for an unknown dtype. */
unsigned efs_dtype_size(uint8_t dtype);

/* Whether it is one of the numbers that can be quantized. */
int efs_dtype_is_float(uint8_t dtype);

/* The records that a transcode of rule EFS_JOIN is made of. */
struct planes efs_transcode_planes(const struct efs_transcode *transcode);

/* --- parts of efs_catalog_parse(), in files of their own
 * ------------------------------------------ */

int efs_catalog_check_tree(struct catalog *catalog, struct image_diag *diag); /* catalog_tree.c */
int efs_catalog_check_tensors(const struct catalog *catalog, struct image_diag *diag);
/* catalog_transcodes.c; after the tensors */
int efs_catalog_check_transcodes(const struct catalog *catalog, struct image_diag *diag);

/* --- extents ---------------------------------------------------------------------------------- */

enum extent_kind { EXTENT_STREAM, EXTENT_BLOB, EXTENT_INDEX, EXTENT_CATALOG };

struct extent {
	enum extent_kind kind;
	uint32_t number; /* of the stream or blob */
	uint64_t offset;
	uint64_t size;
};

/* Walks all extents in ascending order; zero-initialise, then set the catalog and superblock. */
struct extent_walk {
	const struct catalog *catalog;
	const struct efs_superblock *super;
	uint32_t stream, blob, index; /* next of each kind */
	int catalog_done;
};
int efs_extent_next(struct extent_walk *walk, struct extent *extent); /* 0 at the end */

/* The place of an extent is a multiple of this. */
uint64_t efs_extent_align(const struct catalog *catalog, const struct extent *extent);

/* "stream 3", "the index of stream 3", ... for a diag */
struct extent_name {
	char text[48];
};
struct extent_name efs_extent_name(const struct extent *extent);

#endif
