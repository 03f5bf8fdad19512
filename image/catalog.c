/* SPDX-License-Identifier: MIT */
/* catalog.c - finds the catalog's arrays, checks streams, blobs and extents; see catalog.h. */
#include "image/catalog.h"

#include "codec/codec.h"
#include "image/section.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static int find_arrays(struct catalog *catalog, uint64_t size, struct image_diag *diag)
{
	const struct efs_catalog_header *header = (const void *)catalog->raw;
	const uint8_t *at = catalog->raw + sizeof(*header);
	uint64_t total = sizeof(*header);

	if (size < total)
		return image_fail(diag, -EUCLEAN, "catalog: it has no header");
	/* Counts have 32 bits and records at most 104 bytes: the sum cannot overflow. */
	total += (uint64_t)header->node_count * sizeof(struct efs_node);
	total += (uint64_t)header->piece_count * sizeof(struct efs_piece);
	total += (uint64_t)header->tensor_count * sizeof(struct efs_tensor);
	total += (uint64_t)header->stream_count * sizeof(struct efs_stream);
	total += (uint64_t)header->blob_count * sizeof(struct efs_section);
	total += (uint64_t)header->shard_count * sizeof(struct efs_string);
	total += (uint64_t)header->dim_count * sizeof(uint64_t);
	total += (uint64_t)header->param_count * sizeof(struct efs_param);
	total += (uint64_t)header->transcode_count * sizeof(struct efs_transcode);
	total += header->string_size;
	if (total != size)
		return image_fail(diag, -EUCLEAN, "catalog: its counts contradict its size");
	catalog->header = header;
	catalog->nodes = (const void *)at;
	at += (uint64_t)header->node_count * sizeof(struct efs_node);
	catalog->pieces = (const void *)at;
	at += (uint64_t)header->piece_count * sizeof(struct efs_piece);
	catalog->tensors = (const void *)at;
	at += (uint64_t)header->tensor_count * sizeof(struct efs_tensor);
	catalog->streams = (const void *)at;
	at += (uint64_t)header->stream_count * sizeof(struct efs_stream);
	catalog->blobs = (const void *)at;
	at += (uint64_t)header->blob_count * sizeof(struct efs_section);
	catalog->shards = (const void *)at;
	at += (uint64_t)header->shard_count * sizeof(struct efs_string);
	catalog->dims = (const void *)at;
	at += (uint64_t)header->dim_count * sizeof(uint64_t);
	catalog->params = (const void *)at;
	at += (uint64_t)header->param_count * sizeof(struct efs_param);
	catalog->transcodes = (const void *)at;
	at += (uint64_t)header->transcode_count * sizeof(struct efs_transcode);
	catalog->strings = (const void *)at;
	return 0;
}

static const char *stream_fault(const struct efs_stream *stream, uint64_t end)
{
	const char *fault;

	if (stream->reserved0 || stream->reserved1)
		return "a reserved field is not zero";
	if (stream->block_log2 < EFS_BLOCK_LOG2_MIN || stream->block_log2 > EFS_BLOCK_LOG2_MAX)
		return "its block size is invalid";
	if (stream->table_count > EFS_TABLES_MAX)
		return "it has too many code tables";
	if (stream->raw_size > INT64_MAX || stream->stored_size > stream->raw_size)
		return "its sizes are impossible";
	if (stream->offset % stream_align(stream))
		return "it is not aligned";
	if (stream->offset < EFS_SUPERBLOCK_SIZE || stream->offset > end ||
	    stream->stored_size > end - stream->offset)
		return "it lies outside the image's data";
	if (stream->index.raw_size != (uint64_t)stream->table_count * CODEC_SYMBOLS +
					  stream_blocks(stream) * EFS_INDEX_ENTRY_SIZE)
		return "its index has a wrong size";
	if (stream->index.raw_size > EFS_LOADED_MAX)
		return "its index is too large";
	fault = efs_section_fault(&stream->index, EFS_SUPERBLOCK_SIZE, end);
	return fault;
}

static int check_sources(const struct catalog *catalog, uint64_t end, struct image_diag *diag)
{
	for (uint32_t i = 0; i < catalog->header->stream_count; i++) {
		const char *fault = stream_fault(&catalog->streams[i], end);

		if (fault)
			return image_fail(diag, -EUCLEAN, "catalog: stream %u: %s", i, fault);
	}
	for (uint32_t i = 0; i < catalog->header->blob_count; i++) {
		const char *fault = efs_section_fault(&catalog->blobs[i], EFS_SUPERBLOCK_SIZE, end);

		if (fault)
			return image_fail(diag, -EUCLEAN, "catalog: blob %u: %s", i, fault);
	}
	return 0;
}

/* Whether a lies before b. Of two at the same place an empty one does: it overlaps nothing. */
static int before(const struct extent *a, const struct extent *b)
{
	return a->offset != b->offset ? a->offset < b->offset : a->size < b->size;
}

int efs_extent_next(struct extent_walk *walk, struct extent *extent)
{
	const struct catalog *catalog = walk->catalog;
	struct extent next[4];
	unsigned count = 0, best = 0;

	if (walk->stream < catalog->header->stream_count) {
		const struct efs_stream *stream = &catalog->streams[walk->stream];

		next[count++] = (struct extent){EXTENT_STREAM, walk->stream, stream->offset,
						stream->stored_size};
	}
	if (walk->blob < catalog->header->blob_count) {
		const struct efs_section *blob = &catalog->blobs[walk->blob];

		next[count++] =
		    (struct extent){EXTENT_BLOB, walk->blob, blob->offset, blob->stored_size};
	}
	if (walk->index < catalog->header->stream_count) {
		const struct efs_section *index = &catalog->streams[walk->index].index;

		next[count++] =
		    (struct extent){EXTENT_INDEX, walk->index, index->offset, index->stored_size};
	}
	if (!walk->catalog_done)
		next[count++] = (struct extent){EXTENT_CATALOG, 0, walk->super->catalog.offset,
						walk->super->catalog.stored_size};
	if (!count)
		return 0;
	for (unsigned i = 1; i < count; i++)
		if (before(&next[i], &next[best]))
			best = i;
	*extent = next[best];
	walk->stream += extent->kind == EXTENT_STREAM;
	walk->blob += extent->kind == EXTENT_BLOB;
	walk->index += extent->kind == EXTENT_INDEX;
	walk->catalog_done |= extent->kind == EXTENT_CATALOG;
	return 1;
}

uint64_t efs_extent_align(const struct catalog *catalog, const struct extent *extent)
{
	return extent->kind == EXTENT_STREAM ? stream_align(&catalog->streams[extent->number])
					     : EFS_SECTION_ALIGN;
}

struct extent_name efs_extent_name(const struct extent *extent)
{
	struct extent_name name;

	switch (extent->kind) {
	case EXTENT_STREAM:
		snprintf(name.text, sizeof(name.text), "stream %u", extent->number);
		break;
	case EXTENT_BLOB:
		snprintf(name.text, sizeof(name.text), "blob %u", extent->number);
		break;
	case EXTENT_INDEX:
		snprintf(name.text, sizeof(name.text), "the index of stream %u", extent->number);
		break;
	case EXTENT_CATALOG:
		snprintf(name.text, sizeof(name.text), "the catalog");
		break;
	}
	return name;
}

/*
 * The walk merges three lists by the offset of their heads. Where a list is not ascending, its
 * late element shows up behind the end of an earlier one and is found here as an overlap.
 */
static int check_overlaps(const struct catalog *catalog, const struct efs_superblock *super,
			  struct image_diag *diag)
{
	struct extent_walk walk = {.catalog = catalog, .super = super};
	struct extent extent;
	uint64_t end = EFS_SUPERBLOCK_SIZE;

	while (efs_extent_next(&walk, &extent)) {
		if (extent.offset < end)
			return image_fail(diag, -EUCLEAN,
					  "catalog: %s at byte %llu overlaps what precedes it or "
					  "is out of order",
					  efs_extent_name(&extent).text,
					  (unsigned long long)extent.offset);
		end = extent.offset + extent.size;
	}
	return 0;
}

int efs_catalog_parse(struct catalog *catalog, uint8_t *raw, uint64_t size,
		      const struct efs_superblock *super, struct image_diag *diag)
{
	int err;

	*catalog = (struct catalog){.raw = raw};
	err = find_arrays(catalog, size, diag);
	if (!err)
		err = check_sources(catalog, super->hash_offset, diag);
	if (!err)
		err = check_overlaps(catalog, super, diag);
	if (!err)
		err = efs_catalog_check_tree(catalog, diag);
	if (!err)
		err = efs_catalog_check_tensors(catalog, diag);
	if (!err)
		err = efs_catalog_check_transcodes(catalog, diag);
	return err;
}

void efs_catalog_free(struct catalog *catalog)
{
	free(catalog->raw);
	free(catalog->piece_starts);
	*catalog = (struct catalog){0};
}
