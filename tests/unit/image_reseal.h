/* SPDX-License-Identifier: MIT */
/*
 * image_reseal.h - makes the checksums of a doctored image right again.
 *
 * Without this, hostile bytes would be stopped at the first checksum and what is behind it never be
 * tested. The bytes may be anything: whatever cannot be resealed is left as it is.
 */
#ifndef ENTROFS_TESTS_IMAGE_RESEAL_H
#define ENTROFS_TESTS_IMAGE_RESEAL_H

#include "image/catalog.h"
#include "image/checksum.h"
#include "image/hashtree.h"
#include "image/io.h"
#include "image/section.h"

#include <stdlib.h>
#include <string.h>
#include <zstd.h>

enum { RESEAL_MAX = 64 << 20 }; /* sections beyond this raw size are left alone */

/* Decodes a section into raw (malloc'ed, raw_size bytes), setting its chunks' checksums; NULL if it
 * cannot be decoded. */
static inline uint8_t *reseal_section(uint8_t *image, size_t size,
				      const struct efs_section *section)
{
	static ZSTD_DCtx *context; /* made once: it takes longer than what it does here */
	uint64_t chunks = efs_section_chunk_count(section->raw_size);
	uint64_t at = section->offset;
	struct efs_chunk chunk;
	uint8_t *raw, *table;

	if (section->raw_size > RESEAL_MAX || efs_section_fault(section, 0, size))
		return NULL;
	raw = calloc(1, (size_t)section->raw_size + 1);
	if (!context)
		context = ZSTD_createDCtx();
	if (!raw || !context)
		abort();
	table = image + section->offset + section->stored_size - chunks * sizeof(chunk);
	for (uint64_t i = 0; i < chunks; i++, table += sizeof(chunk), at += chunk.stored_size) {
		uint64_t from = i * EFS_CHUNK_SIZE, rest = section->raw_size - from;
		size_t raw_size = rest < EFS_CHUNK_SIZE ? (size_t)rest : EFS_CHUNK_SIZE;

		memcpy(&chunk, table, sizeof(chunk));
		if (chunk.stored_size > size - at)
			break;
		if (chunk.stored_size == raw_size)
			memcpy(raw + from, image + at, raw_size);
		else if (ZSTD_decompressDCtx(context, raw + from, raw_size, image + at,
					     chunk.stored_size) != raw_size)
			break;
		chunk.checksum = checksum_of(raw + from, raw_size);
		memcpy(table, &chunk, sizeof(chunk));
	}
	return raw;
}

/* The superblock's digest and checksum, after its fields were set. */
static inline void reseal_superblock(uint8_t *image)
{
	struct efs_superblock *super = (void *)image;

	if (efs_io_superblock_digest(super, super->digest))
		abort();
	super->checksum = efs_io_superblock_checksum(super);
}

/* The hash tree over the bytes that the superblock names, where it lies within the image. */
static inline void reseal_hashes(uint8_t *image, size_t size)
{
	struct efs_superblock *super = (void *)image;
	struct hash_tree tree = {0};

	if (super->hash_offset <= EFS_SUPERBLOCK_SIZE || super->hash_offset > size ||
	    efs_hash_tree_size(super->hash_offset - EFS_SUPERBLOCK_SIZE) >
		size - super->hash_offset)
		return;
	for (uint64_t at = EFS_SUPERBLOCK_SIZE; at < super->hash_offset; at += HASH_LEAF) {
		uint64_t rest = super->hash_offset - at;

		if (efs_hash_tree_add(&tree, image + at,
				      rest < HASH_LEAF ? (size_t)rest : HASH_LEAF))
			abort();
	}
	if (efs_hash_tree_finish(&tree, super->hash_root))
		abort();
	if (tree.hashes.size)
		memcpy(image + super->hash_offset, tree.hashes.data, tree.hashes.size);
	efs_buffer_free(&tree.hashes);
}

/* Sets the checksums of the chunks of all indexes, or of all blobs, of a catalog. */
static inline void reseal_sections(uint8_t *image, size_t size, const uint8_t *catalog,
				   uint64_t catalog_size, int blobs)
{
	const struct efs_catalog_header *header = (const void *)catalog;
	size_t record = blobs ? sizeof(struct efs_section) : sizeof(struct efs_stream);
	uint32_t count = blobs ? header->blob_count : header->stream_count;
	uint64_t at = sizeof(*header) + (uint64_t)header->node_count * sizeof(struct efs_node) +
		      (uint64_t)header->piece_count * sizeof(struct efs_piece) +
		      (uint64_t)header->tensor_count * sizeof(struct efs_tensor);

	if (blobs)
		at += (uint64_t)header->stream_count * sizeof(struct efs_stream);
	for (; count && at <= catalog_size && catalog_size - at >= record; count--, at += record) {
		struct efs_section section;

		memcpy(&section, catalog + at + (blobs ? 0 : offsetof(struct efs_stream, index)),
		       sizeof(section));
		free(reseal_section(image, size, &section));
	}
}

/*
 * Everything, from the inside out. image is 8-aligned; size may be anything. The chunks of blobs
 * are data, whose checksums tell whether they are the right ones: they are left alone, unless asked
 * for.
 */
static inline void reseal_all(uint8_t *image, size_t size, int with_blobs)
{
	struct efs_section section; /* a copy: checksums may be written over the superblock */
	uint8_t *catalog = NULL;

	if (size < EFS_SUPERBLOCK_SIZE)
		return;
	section = ((struct efs_superblock *)(void *)image)->catalog;
	if (section.raw_size >= sizeof(struct efs_catalog_header))
		catalog = reseal_section(image, size, &section);
	for (int blobs = 0; catalog && blobs <= with_blobs; blobs++)
		reseal_sections(image, size, catalog, section.raw_size, blobs);
	free(catalog);
	reseal_hashes(image, size);
	reseal_superblock(image);
}

static inline void reseal(uint8_t *image, size_t size)
{
	reseal_all(image, size, 0);
}

#endif
