/* SPDX-License-Identifier: MIT */
/*
 * extents.h - extents over each other, over themselves and over what is no extent's place; and
 * places and sizes whose sums do not fit in 32 or 64 bits.
 */
#ifndef ENTROFS_TESTS_EXTENTS_H
#define ENTROFS_TESTS_EXTENTS_H

#include "tests/hostile/forge.h"

/* The image of one of everything, in parts; to change, lay and hand on. */
struct extents {
	struct hostile *hostile;
	struct sample sample;
	struct truth truth;
	struct buffer plain; /* the image with metadata stored as they are */
	struct forge forge, changed;
	struct buffer out;
};

static inline void extents_setup(struct extents *e, struct hostile *hostile)
{
	size_t size;
	uint8_t *image;

	*e = (struct extents){.hostile = hostile};
	build_tiny(&e->sample);
	truth_of_sample(&e->truth, &e->sample);
	hostile->truth = &e->truth;
	size = (size_t)lseek(e->sample.fd, 0, SEEK_END);
	image = malloc(size);
	if (!image || pread(e->sample.fd, image, size, 0) != (ssize_t)size)
		abort();
	lay_plain(image, size, &e->plain);
	free(image);
	forge_take(&e->forge, e->plain.data, e->plain.size);
	forge_take(&e->changed, e->plain.data, e->plain.size);
}

static inline void extents_teardown(struct extents *e)
{
	build_free(&e->sample);
	efs_buffer_free(&e->plain);
	efs_buffer_free(&e->out);
	forge_free(&e->forge);
	forge_free(&e->changed);
}

/* The parts as they were. None has become larger. */
static inline void extents_restore(struct extents *e)
{
	memcpy(e->changed.image.data, e->forge.image.data, e->forge.image.size);
	for (unsigned i = 0; i < FORGE_ARRAYS; i++)
		if (e->forge.arrays[i].size)
			memcpy(e->changed.arrays[i].data, e->forge.arrays[i].data,
			       e->forge.arrays[i].size);
}

/* --- extents ---------------------------------------------------------------------------------- */

/* An extent of a forge: the two numbers that say where it lies. */
struct place {
	uint64_t *offset, *size;
};

enum {
	EXTENTS_STREAMS = TINY_STREAMS,
	EXTENTS_INDEXES = EXTENTS_STREAMS + TINY_STREAMS,
	EXTENTS_BLOBS = EXTENTS_INDEXES + TINY_BLOBS,
	EXTENTS_CATALOG = EXTENTS_BLOBS, /* in the superblock of an image, not in a forge */
	EXTENTS_ALL
};

static inline struct place extents_place(struct extents *e, unsigned number)
{
	struct efs_superblock *super = (void *)e->out.data;
	struct efs_section *section = &super->catalog;

	if (number < EXTENTS_STREAMS) {
		struct efs_stream *stream = forge_record(&e->changed, FIELD_STREAM, number);

		return (struct place){&stream->offset, &stream->stored_size};
	}
	if (number < EXTENTS_INDEXES) {
		struct efs_stream *stream =
		    forge_record(&e->changed, FIELD_STREAM, number - EXTENTS_STREAMS);

		section = &stream->index;
	} else if (number < EXTENTS_BLOBS) {
		section = forge_record(&e->changed, FIELD_BLOB, number - EXTENTS_INDEXES);
	}
	return (struct place){&section->offset, &section->stored_size};
}

static inline const char *extents_name(unsigned number, char name[32])
{
	if (number < EXTENTS_STREAMS)
		snprintf(name, 32, "stream %u", number);
	else if (number < EXTENTS_INDEXES)
		snprintf(name, 32, "index %u", number - EXTENTS_STREAMS);
	else if (number < EXTENTS_BLOBS)
		snprintf(name, 32, "blob %u", number - EXTENTS_INDEXES);
	else
		snprintf(name, 32, number == EXTENTS_CATALOG ? "the catalog" : "place %u", number);
	return name;
}

/* Places an extent somewhere, seals the image, and hands it on. */
static inline void extents_try(struct extents *e, unsigned number, uint64_t offset, uint64_t size,
			       const char *where)
{
	char name[32];

	forge_lay(&e->changed, &e->out);
	struct place place = extents_place(e, number);
	if (*place.offset == offset && *place.size == size)
		return;
	*place.offset = offset;
	*place.size = size;
	if (number == EXTENTS_CATALOG)
		reseal(e->out.data, e->out.size);
	else
		forge_lay(&e->changed, &e->out);
	hostile_put(e->hostile, &e->out, HOSTILE_JUDGED, NULL, "%s at %s, byte %llu, %llu bytes",
		    extents_name(number, name), where, (unsigned long long)offset,
		    (unsigned long long)size);
	extents_restore(e);
}

/* One extent over, before, behind and within another place, and as long as up to its end. */
static inline void extents_over(struct extents *e, unsigned number, uint64_t offset, uint64_t size,
				const char *where)
{
	static const int64_t deltas[] = {0, 8, -8, 64, -64, 4096, -4096};
	struct place place = extents_place(e, number);
	uint64_t own = *place.size, from = *place.offset;

	for (size_t i = 0; i < sizeof(deltas) / sizeof(deltas[0]); i++)
		extents_try(e, number, offset + (uint64_t)deltas[i], own, where);
	extents_try(e, number, offset, size, where);
	extents_try(e, number, (offset + size) & ~UINT64_C(63), own, where);
	extents_try(e, number, (offset + size - own) & ~UINT64_C(7), own, where);
	if (offset >= from) {
		extents_try(e, number, from, offset - from + 1, where);
		extents_try(e, number, from, offset - from + size, where);
	}
}

static inline void hostile_extents(struct hostile *hostile)
{
	const struct efs_superblock *super;
	struct extents e;
	char where[32];

	hostile->class = "extents";
	extents_setup(&e, hostile);
	forge_lay(&e.changed, &e.out);
	for (unsigned x = 0; x < EXTENTS_ALL; x++) {
		for (unsigned y = 0; y < EXTENTS_ALL; y++) {
			struct place place = extents_place(&e, y);

			extents_over(&e, x, *place.offset, *place.size, extents_name(y, where));
			forge_lay(&e.changed, &e.out);
		}
		super = (const void *)e.plain.data;
		extents_over(&e, x, 0, EFS_SUPERBLOCK_SIZE, "the superblock");
		extents_over(&e, x, super->hash_offset, 64, "the hash tree");
		extents_over(&e, x, super->image_size + 4096, 64, "nothing");
		forge_lay(&e.changed, &e.out);
	}
	extents_teardown(&e);
}

/* --- sums ------------------------------------------------------------------------------------- */

/* Two fields of a record that are added or multiplied by somebody. */
struct sum {
	enum field_part part;
	unsigned at[2], bits;
};
#define SUM(part, type, a, b)                                                                      \
	{                                                                                          \
		part, {offsetof(struct type, a), offsetof(struct type, b)},                        \
		    8 * sizeof(((struct type *)0)->a)                                              \
	}
static const struct sum sums[] = {
    SUM(FIELD_STREAM, efs_stream, offset, stored_size),
    SUM(FIELD_STREAM, efs_stream, raw_size, stored_size),
    SUM(FIELD_STREAM, efs_stream, index.offset, index.stored_size),
    SUM(FIELD_STREAM, efs_stream, index.raw_size, index.stored_size),
    SUM(FIELD_STREAM, efs_stream, raw_size, index.raw_size),
    SUM(FIELD_BLOB, efs_section, offset, stored_size),
    SUM(FIELD_BLOB, efs_section, raw_size, stored_size),
    SUM(FIELD_PIECE, efs_piece, offset, length),
    SUM(FIELD_NODE, efs_node, first, count),
    SUM(FIELD_NODE, efs_node, name.offset, name.size),
    SUM(FIELD_TENSOR, efs_tensor, name.offset, name.size),
    SUM(FIELD_TENSOR, efs_tensor, first_dim, first_stream),
    SUM(FIELD_TENSOR, efs_tensor, first_param, param_count),
    SUM(FIELD_TENSOR, efs_tensor, first_stream, stream_count),
    SUM(FIELD_SHARD, efs_string, offset, size),
    SUM(FIELD_SUPERBLOCK, efs_superblock, catalog.offset, catalog.stored_size),
    SUM(FIELD_SUPERBLOCK, efs_superblock, catalog.raw_size, catalog.stored_size),
    SUM(FIELD_SUPERBLOCK, efs_superblock, hash_offset, hash_size),
    SUM(FIELD_SUPERBLOCK, efs_superblock, image_size, hash_size),
    SUM(FIELD_SUPERBLOCK, efs_superblock, image_size, hash_offset),
    SUM(FIELD_HEADER, efs_catalog_header, node_count, piece_count),
    SUM(FIELD_HEADER, efs_catalog_header, tensor_count, stream_count),
    SUM(FIELD_HEADER, efs_catalog_header, blob_count, shard_count),
    SUM(FIELD_HEADER, efs_catalog_header, dim_count, param_count),
    SUM(FIELD_HEADER, efs_catalog_header, node_count, string_size),
};
#undef SUM

static inline uint64_t sums_get(const uint8_t *at, unsigned bits)
{
	uint64_t value = 0;

	memcpy(&value, at, bits / 8);
	return value;
}

/* Two values that have the sum of what is there, or a small one, only without the carry. */
static inline int sums_pair(unsigned round, unsigned bits, uint64_t *a, uint64_t *b)
{
	static const uint64_t steps[] = {1, 8, 64, 4096};
	uint64_t top = UINT64_C(1) << (bits - 1), old_a = *a, old_b = *b;

	if (round < 12) { /* to 0 and beside it */
		*a = -steps[round / 3];
		*b = steps[round / 3] + (uint64_t)(round % 3) - 1;
		return 1;
	}
	switch (round) {
	case 12: /* the same sum */
		*a = top;
		*b = top + old_a + old_b;
		return 1;
	case 13:
		*b = -old_a;
		return 1;
	case 14:
		*b = -old_a + old_b;
		return 1;
	case 15:
		*a = -old_b;
		return 1;
	case 16: /* signed */
		*a = top - 1;
		*b = 1;
		return 1;
	case 17:
		*a = *b = top;
		return 1;
	case 18: /* the same product */
		*a = old_a + (top >> 4);
		*b = old_b + (top >> 4);
		return 1;
	default:
		return 0;
	}
}

static inline void sums_try(struct extents *e, const struct sum *sum, uint8_t *record,
			    uint64_t number)
{
	uint64_t old_a = sums_get(record + sum->at[0], sum->bits);
	uint64_t old_b = sums_get(record + sum->at[1], sum->bits);
	uint64_t a = old_a, b = old_b;

	for (unsigned round = 0; sums_pair(round, sum->bits, &a, &b);
	     a = old_a, b = old_b, round++) {
		memcpy(record + sum->at[0], &a, sum->bits / 8);
		memcpy(record + sum->at[1], &b, sum->bits / 8);
		e->out.size = 0;
		forge_put(&e->out, e->plain.data, e->plain.size);
		if (sum->part == FIELD_SUPERBLOCK)
			reseal_superblock(e->out.data);
		else
			reseal(e->out.data, e->out.size);
		hostile_put(e->hostile, &e->out, HOSTILE_JUDGED, NULL,
			    "sum %u, record %llu, pair %u", (unsigned)(sum - sums),
			    (unsigned long long)number, round);
		memcpy(record + sum->at[0], &old_a, sum->bits / 8);
		memcpy(record + sum->at[1], &old_b, sum->bits / 8);
	}
}

static inline void hostile_sums(struct hostile *hostile)
{
	struct extents e;

	hostile->class = "sums";
	extents_setup(&e, hostile);
	for (size_t i = 0; i < sizeof(sums) / sizeof(sums[0]); i++) {
		struct field_place place;

		if (field_find(e.plain.data, e.plain.size, sums[i].part, 0, &place))
			abort();
		for (uint64_t k = 0; k < place.count; k++)
			sums_try(&e, &sums[i],
				 e.plain.data + place.at + k * field_part_sizes[sums[i].part], k);
	}
	extents_teardown(&e);
}

#endif
