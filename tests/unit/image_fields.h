/* SPDX-License-Identifier: MIT */
/*
 * image_fields.h - one description of every field of the format, for tests that set each of them,
 * and where its records lie in an image.
 *
 * The fields of a record must cover it without gaps (image_fields.c checks it): a field that is
 * added to image/format.h and not to this list is a failed test.
 */
#ifndef ENTROFS_TESTS_IMAGE_FIELDS_H
#define ENTROFS_TESTS_IMAGE_FIELDS_H

#include "image/catalog.h"
#include "image/format.h"
#include "image/section.h"

#include <string.h>

/* The kinds of record. Those from FIELD_TABLE on are the columns of a block index. */
enum field_part {
	FIELD_SUPERBLOCK,
	FIELD_HEADER,
	FIELD_NODE,
	FIELD_PIECE,
	FIELD_TENSOR,
	FIELD_STREAM,
	FIELD_BLOB,
	FIELD_SHARD,
	FIELD_DIM,
	FIELD_PARAM,
	FIELD_TRANSCODE,
	FIELD_STRINGS,
	FIELD_CHUNK,
	FIELD_TABLE,
	FIELD_BLOCK_CHECKSUM,
	FIELD_BLOCK_SIZE,
	FIELD_BLOCK_KIND,
	FIELD_BLOCK_ARGUMENT,
	FIELD_PARTS,
};

/* What another value means if all checksums are right. */
enum field_verdict {
	FIELD_REFUSED, /* opening or reading everything, deep checks included, finds fault */
	FIELD_JUDGED,  /* refused, or served exactly as the changed catalog says */
	FIELD_FREE,    /* served: it says nothing about the bytes of files */
	FIELD_SEALED,  /* refused; it is not made right when what it covers or what covers it is */
};

struct field {
	enum field_part part;
	const char *name;
	unsigned at, size; /* bytes */
	enum field_verdict verdict;
};

static const size_t field_part_sizes[FIELD_PARTS] = {
    [FIELD_SUPERBLOCK] = sizeof(struct efs_superblock),
    [FIELD_HEADER] = sizeof(struct efs_catalog_header),
    [FIELD_NODE] = sizeof(struct efs_node),
    [FIELD_PIECE] = sizeof(struct efs_piece),
    [FIELD_TENSOR] = sizeof(struct efs_tensor),
    [FIELD_STREAM] = sizeof(struct efs_stream),
    [FIELD_BLOB] = sizeof(struct efs_section),
    [FIELD_SHARD] = sizeof(struct efs_string),
    [FIELD_DIM] = sizeof(uint64_t),
    [FIELD_PARAM] = sizeof(struct efs_param),
    [FIELD_TRANSCODE] = sizeof(struct efs_transcode),
    [FIELD_STRINGS] = 1,
    [FIELD_CHUNK] = sizeof(struct efs_chunk),
    [FIELD_TABLE] = 1,
    [FIELD_BLOCK_CHECKSUM] = sizeof(uint32_t),
    [FIELD_BLOCK_SIZE] = sizeof(uint16_t),
    [FIELD_BLOCK_KIND] = 1,
    [FIELD_BLOCK_ARGUMENT] = 1,
};

#define FIELD(part, type, member, verdict)                                                         \
	{                                                                                          \
		part, #type "." #member, __builtin_offsetof(struct type, member),                  \
		    sizeof(((struct type *)0)->member), verdict                                    \
	}
#define COLUMN(part, name, verdict)                                                                \
	{                                                                                          \
		part, name, 0, 0, verdict                                                          \
	}

/* Of each part in the order of the bytes. A size of 0 is that of the record. */
static const struct field image_fields[] = {
    FIELD(FIELD_SUPERBLOCK, efs_superblock, magic, FIELD_REFUSED),
    FIELD(FIELD_SUPERBLOCK, efs_superblock, version, FIELD_REFUSED),
    FIELD(FIELD_SUPERBLOCK, efs_superblock, superblock_size, FIELD_REFUSED),
    FIELD(FIELD_SUPERBLOCK, efs_superblock, compatible, FIELD_FREE),
    FIELD(FIELD_SUPERBLOCK, efs_superblock, incompatible, FIELD_REFUSED),
    FIELD(FIELD_SUPERBLOCK, efs_superblock, image_size, FIELD_REFUSED),
    FIELD(FIELD_SUPERBLOCK, efs_superblock, catalog.offset, FIELD_REFUSED),
    FIELD(FIELD_SUPERBLOCK, efs_superblock, catalog.stored_size, FIELD_REFUSED),
    FIELD(FIELD_SUPERBLOCK, efs_superblock, catalog.raw_size, FIELD_REFUSED),
    FIELD(FIELD_SUPERBLOCK, efs_superblock, hash_offset, FIELD_REFUSED),
    FIELD(FIELD_SUPERBLOCK, efs_superblock, hash_size, FIELD_REFUSED),
    FIELD(FIELD_SUPERBLOCK, efs_superblock, hash_algorithm, FIELD_REFUSED),
    FIELD(FIELD_SUPERBLOCK, efs_superblock, hash_leaf_log2, FIELD_REFUSED),
    FIELD(FIELD_SUPERBLOCK, efs_superblock, reserved0, FIELD_REFUSED),
    FIELD(FIELD_SUPERBLOCK, efs_superblock, hash_root, FIELD_SEALED),
    FIELD(FIELD_SUPERBLOCK, efs_superblock, generator, FIELD_FREE),
    FIELD(FIELD_SUPERBLOCK, efs_superblock, digest, FIELD_SEALED),
    FIELD(FIELD_SUPERBLOCK, efs_superblock, reserved1, FIELD_REFUSED),
    FIELD(FIELD_SUPERBLOCK, efs_superblock, checksum, FIELD_SEALED),

    FIELD(FIELD_HEADER, efs_catalog_header, node_count, FIELD_REFUSED),
    FIELD(FIELD_HEADER, efs_catalog_header, piece_count, FIELD_REFUSED),
    FIELD(FIELD_HEADER, efs_catalog_header, tensor_count, FIELD_REFUSED),
    FIELD(FIELD_HEADER, efs_catalog_header, stream_count, FIELD_REFUSED),
    FIELD(FIELD_HEADER, efs_catalog_header, blob_count, FIELD_REFUSED),
    FIELD(FIELD_HEADER, efs_catalog_header, shard_count, FIELD_REFUSED),
    FIELD(FIELD_HEADER, efs_catalog_header, dim_count, FIELD_REFUSED),
    FIELD(FIELD_HEADER, efs_catalog_header, param_count, FIELD_REFUSED),
    FIELD(FIELD_HEADER, efs_catalog_header, string_size, FIELD_REFUSED),
    FIELD(FIELD_HEADER, efs_catalog_header, transcode_count, FIELD_REFUSED),

    FIELD(FIELD_NODE, efs_node, name.offset, FIELD_JUDGED),
    FIELD(FIELD_NODE, efs_node, name.size, FIELD_JUDGED),
    FIELD(FIELD_NODE, efs_node, parent, FIELD_REFUSED),
    FIELD(FIELD_NODE, efs_node, first, FIELD_REFUSED),
    FIELD(FIELD_NODE, efs_node, count, FIELD_REFUSED),
    FIELD(FIELD_NODE, efs_node, type, FIELD_JUDGED), /* an empty file may be a folder */
    FIELD(FIELD_NODE, efs_node, reserved, FIELD_REFUSED),
    FIELD(FIELD_NODE, efs_node, size, FIELD_REFUSED),

    FIELD(FIELD_PIECE, efs_piece, kind, FIELD_JUDGED),
    FIELD(FIELD_PIECE, efs_piece, source, FIELD_JUDGED),
    FIELD(FIELD_PIECE, efs_piece, offset, FIELD_JUDGED),
    FIELD(FIELD_PIECE, efs_piece, length, FIELD_REFUSED),

    FIELD(FIELD_TENSOR, efs_tensor, name.offset, FIELD_JUDGED),
    FIELD(FIELD_TENSOR, efs_tensor, name.size, FIELD_JUDGED),
    FIELD(FIELD_TENSOR, efs_tensor, shard, FIELD_JUDGED),
    FIELD(FIELD_TENSOR, efs_tensor, source_order, FIELD_FREE),
    FIELD(FIELD_TENSOR, efs_tensor, source_dtype, FIELD_JUDGED),
    FIELD(FIELD_TENSOR, efs_tensor, rank, FIELD_JUDGED),
    FIELD(FIELD_TENSOR, efs_tensor, bits, FIELD_JUDGED),
    FIELD(FIELD_TENSOR, efs_tensor, scheme, FIELD_JUDGED),
    FIELD(FIELD_TENSOR, efs_tensor, transcode, FIELD_REFUSED),
    FIELD(FIELD_TENSOR, efs_tensor, reserved, FIELD_REFUSED),
    FIELD(FIELD_TENSOR, efs_tensor, first_dim, FIELD_JUDGED),
    FIELD(FIELD_TENSOR, efs_tensor, first_param, FIELD_JUDGED),
    FIELD(FIELD_TENSOR, efs_tensor, param_count, FIELD_JUDGED),
    FIELD(FIELD_TENSOR, efs_tensor, first_stream, FIELD_JUDGED),
    FIELD(FIELD_TENSOR, efs_tensor, stream_count, FIELD_REFUSED),
    FIELD(FIELD_TENSOR, efs_tensor, node, FIELD_JUDGED),
    FIELD(FIELD_TENSOR, efs_tensor, entropy, FIELD_JUDGED),
    FIELD(FIELD_TENSOR, efs_tensor, sqnr, FIELD_JUDGED),
    FIELD(FIELD_TENSOR, efs_tensor, max_error, FIELD_JUDGED),
    FIELD(FIELD_TENSOR, efs_tensor, digest, FIELD_REFUSED),

    FIELD(FIELD_STREAM, efs_stream, offset, FIELD_REFUSED),
    FIELD(FIELD_STREAM, efs_stream, stored_size, FIELD_REFUSED),
    FIELD(FIELD_STREAM, efs_stream, raw_size, FIELD_REFUSED),
    FIELD(FIELD_STREAM, efs_stream, index.offset, FIELD_REFUSED),
    FIELD(FIELD_STREAM, efs_stream, index.stored_size, FIELD_REFUSED),
    FIELD(FIELD_STREAM, efs_stream, index.raw_size, FIELD_REFUSED),
    FIELD(FIELD_STREAM, efs_stream, block_log2, FIELD_JUDGED), /* of an only block, or none */
    FIELD(FIELD_STREAM, efs_stream, reserved0, FIELD_REFUSED),
    FIELD(FIELD_STREAM, efs_stream, table_count, FIELD_REFUSED),
    FIELD(FIELD_STREAM, efs_stream, reserved1, FIELD_REFUSED),

    FIELD(FIELD_BLOB, efs_section, offset, FIELD_REFUSED),
    FIELD(FIELD_BLOB, efs_section, stored_size, FIELD_REFUSED),
    FIELD(FIELD_BLOB, efs_section, raw_size, FIELD_REFUSED),
    FIELD(FIELD_SHARD, efs_string, offset, FIELD_JUDGED),
    FIELD(FIELD_SHARD, efs_string, size, FIELD_JUDGED),
    COLUMN(FIELD_DIM, "dimension", FIELD_JUDGED), /* of an empty tensor */
    FIELD(FIELD_PARAM, efs_param, scale, FIELD_JUDGED),
    FIELD(FIELD_PARAM, efs_param, zero_point, FIELD_JUDGED),
    FIELD(FIELD_TRANSCODE, efs_transcode, rule, FIELD_REFUSED),
    FIELD(FIELD_TRANSCODE, efs_transcode, dtype, FIELD_JUDGED),
    FIELD(FIELD_TRANSCODE, efs_transcode, plane_count, FIELD_REFUSED),
    FIELD(FIELD_TRANSCODE, efs_transcode, tensor, FIELD_JUDGED),
    FIELD(FIELD_TRANSCODE, efs_transcode, raw_size, FIELD_REFUSED),
    FIELD(FIELD_TRANSCODE, efs_transcode, plane_size, FIELD_REFUSED),
    COLUMN(FIELD_STRINGS, "byte of names", FIELD_JUDGED),
    FIELD(FIELD_CHUNK, efs_chunk, stored_size, FIELD_REFUSED),
    FIELD(FIELD_CHUNK, efs_chunk, checksum, FIELD_SEALED),
    COLUMN(FIELD_TABLE, "byte of a code table", FIELD_REFUSED),
    COLUMN(FIELD_BLOCK_CHECKSUM, "checksum of a block", FIELD_REFUSED),
    COLUMN(FIELD_BLOCK_SIZE, "stored size of a block", FIELD_REFUSED),
    COLUMN(FIELD_BLOCK_KIND, "kind of a block", FIELD_REFUSED),
    COLUMN(FIELD_BLOCK_ARGUMENT, "argument of a block", FIELD_REFUSED),
};
enum { IMAGE_FIELDS = sizeof(image_fields) / sizeof(image_fields[0]) };

static inline size_t field_size(const struct field *field)
{
	return field->size ? field->size : field_part_sizes[field->part];
}

/* Records that lie side by side. */
struct field_place {
	size_t at; /* of the first, in the image */
	uint64_t count;
};

/* Whether a section lies in the image and all its chunks are stored as they are. */
static inline int section_is_plain(const struct efs_section *section, size_t size)
{
	return section->raw_size <= size && section->offset <= size &&
	       section->stored_size ==
		   section->raw_size +
		       efs_section_chunk_count(section->raw_size) * sizeof(struct efs_chunk) &&
	       section->stored_size <= size - section->offset;
}

static inline uint32_t field_header_count(const struct efs_catalog_header *header,
					  enum field_part part)
{
	switch (part) {
	case FIELD_HEADER:
		return 1;
	case FIELD_NODE:
		return header->node_count;
	case FIELD_PIECE:
		return header->piece_count;
	case FIELD_TENSOR:
		return header->tensor_count;
	case FIELD_STREAM:
		return header->stream_count;
	case FIELD_BLOB:
		return header->blob_count;
	case FIELD_SHARD:
		return header->shard_count;
	case FIELD_DIM:
		return header->dim_count;
	case FIELD_PARAM:
		return header->param_count;
	case FIELD_TRANSCODE:
		return header->transcode_count;
	case FIELD_STRINGS:
		return header->string_size;
	default:
		return 0;
	}
}

/* The records of a part of the catalog; -1 if the catalog is compressed or not there. */
static inline int field_find_in_catalog(const uint8_t *image, size_t size, enum field_part part,
					struct field_place *place)
{
	const struct efs_superblock *super = (const void *)image;
	struct efs_catalog_header header;
	uint64_t at = 0;

	if (!section_is_plain(&super->catalog, size) || super->catalog.raw_size < sizeof(header))
		return -1;
	memcpy(&header, image + super->catalog.offset, sizeof(header));
	for (enum field_part before = FIELD_HEADER; before < part; before++)
		at += (uint64_t)field_header_count(&header, before) * field_part_sizes[before];
	place->count = field_header_count(&header, part);
	if (at > super->catalog.raw_size ||
	    place->count > (super->catalog.raw_size - at) / field_part_sizes[part])
		return -1;
	place->at = (size_t)(super->catalog.offset + at);
	return 0;
}

/* Copies a record of the catalog; -1 if it is not there. */
static inline int field_record(const uint8_t *image, size_t size, enum field_part part,
			       uint32_t number, void *record)
{
	struct field_place place;

	if (field_find_in_catalog(image, size, part, &place) || number >= place.count)
		return -1;
	memcpy(record, image + place.at + number * field_part_sizes[part], field_part_sizes[part]);
	return 0;
}

/* The sections of an image: its catalog, its indexes, its blobs; -1 behind the last. */
static inline int field_section(const uint8_t *image, size_t size, uint32_t number,
				struct efs_section *section)
{
	struct efs_catalog_header header;
	struct efs_stream stream;

	*section = ((const struct efs_superblock *)(const void *)image)->catalog;
	if (!number)
		return 0;
	if (field_record(image, size, FIELD_HEADER, 0, &header))
		return -1;
	if (number - 1 >= header.stream_count)
		return field_record(image, size, FIELD_BLOB, number - 1 - header.stream_count,
				    section);
	if (field_record(image, size, FIELD_STREAM, number - 1, &stream))
		return -1;
	*section = stream.index;
	return 0;
}

static inline int field_find_chunks(const uint8_t *image, size_t size, uint32_t number,
				    struct field_place *place)
{
	struct efs_section section;

	if (field_section(image, size, number, &section) ||
	    efs_section_fault(&section, EFS_SUPERBLOCK_SIZE, size))
		return -1;
	place->count = efs_section_chunk_count(section.raw_size);
	place->at = (size_t)(section.offset + section.stored_size -
			     place->count * sizeof(struct efs_chunk));
	return 0;
}

static inline int field_find_in_index(const uint8_t *image, size_t size, enum field_part part,
				      uint32_t number, struct field_place *place)
{
	struct efs_stream stream;
	uint64_t at;

	if (field_record(image, size, FIELD_STREAM, number, &stream) ||
	    !section_is_plain(&stream.index, size) || stream.block_log2 > EFS_BLOCK_LOG2_MAX)
		return -1;
	at = (uint64_t)stream.table_count * sizeof(struct codec_table);
	if (stream_blocks(&stream) > size ||
	    at + stream_blocks(&stream) * EFS_INDEX_ENTRY_SIZE != stream.index.raw_size)
		return -1;
	place->count = part == FIELD_TABLE ? at : stream_blocks(&stream);
	if (part == FIELD_TABLE)
		at = 0;
	for (enum field_part before = FIELD_BLOCK_CHECKSUM; before < part; before++)
		at += place->count * field_part_sizes[before];
	place->at = (size_t)(stream.index.offset + at);
	return 0;
}

/*
 * Where the records of a part are. `number` is the stream's for the columns of an index and the
 * section's for chunks, else 0. -1 if there is no such number, or they lie in a section that is
 * compressed. The image (8-aligned, at least a superblock) may hold anything.
 */
static inline int field_find(const uint8_t *image, size_t size, enum field_part part,
			     uint32_t number, struct field_place *place)
{
	if (part >= FIELD_TABLE)
		return field_find_in_index(image, size, part, number, place);
	if (part == FIELD_CHUNK)
		return field_find_chunks(image, size, number, place);
	if (number)
		return -1;
	if (part > FIELD_SUPERBLOCK)
		return field_find_in_catalog(image, size, part, place);
	*place = (struct field_place){.count = 1};
	return 0;
}

#endif
