/* SPDX-License-Identifier: MIT */
/*
 * claims.h - a kilobyte that claims terabytes. Where the claim can be kept, because what is claimed
 * are constants, it is; the others are refused before anybody allocates or reads.
 */
#ifndef ENTROFS_TESTS_CLAIMS_H
#define ENTROFS_TESTS_CLAIMS_H

#include "tests/hostile/forge.h"

enum {
	CLAIMS_BLOCKS = 8192, /* constant ones of 64 KiB: an index of 64 KiB that takes 1 KiB */
	CLAIMS_PIECES = 4000, /* of a file */
	CLAIMS_CHUNK_LEAST = 2048,
	CLAIMS_STREAMS = 64, /* with all the code tables that there can be */
};
#define CLAIMS_STREAM ((uint64_t)CLAIMS_BLOCKS << EFS_BLOCK_LOG2_MAX) /* bytes */

struct claims {
	struct hostile *hostile;
	struct truth truth;
	struct buffer out;
	struct forge forge;
};

static const uint8_t claims_byte = 0x5a;

static inline void claims_begin(struct claims *c)
{
	memset(&c->truth, 0, sizeof(c->truth));
	forge_begin(&c->forge);
	c->forge.is_compressed = 1;
}

__attribute__((format(printf, 4, 5))) static inline void claims_end(struct claims *c,
								    enum hostile_verdict verdict,
								    const char *reason,
								    const char *format, ...)
{
	char name[128];
	va_list args;

	va_start(args, format);
	vsnprintf(name, sizeof(name), format, args);
	va_end(args);
	forge_link(&c->forge);
	forge_lay(&c->forge, &c->out);
	hostile_put(c->hostile, &c->out, verdict, reason, "%s", name);
	forge_free(&c->forge);
}

/* A stream of constant blocks; what it says of itself can be changed afterwards. */
static inline struct efs_stream *claims_stream(struct claims *c, uint64_t blocks,
					       unsigned table_count)
{
	struct efs_stream stream = {.raw_size = blocks << EFS_BLOCK_LOG2_MAX,
				    .block_log2 = EFS_BLOCK_LOG2_MAX,
				    .table_count = (uint16_t)table_count};
	uint8_t *block = malloc(CODEC_BLOCK_MAX);
	uint32_t checksum, number = forge_count(&c->forge, FIELD_STREAM);
	struct buffer index = {0};

	memset(block, claims_byte, CODEC_BLOCK_MAX);
	checksum = checksum_of(block, CODEC_BLOCK_MAX);
	memset(block, 0x80, CODEC_SYMBOLS); /* a table: all symbols alike */
	for (unsigned i = 0; i < table_count; i++)
		forge_put(&index, block, CODEC_SYMBOLS);
	for (uint64_t i = 0; i < blocks; i++)
		forge_put(&index, &checksum, sizeof(checksum));
	forge_zeros(&index, blocks * sizeof(uint16_t));
	memset(efs_buffer_extend(&index, blocks), EFS_BLOCK_CONSTANT, blocks);
	memset(efs_buffer_extend(&index, blocks), claims_byte, blocks);
	free(block);
	stream.offset = forge_body(&c->forge, NULL, 0, (size_t)stream_align(&stream));
	stream.index = forge_good_section(&c->forge.image, index.data, index.size);
	efs_buffer_free(&index);
	forge_add(&c->forge, FIELD_STREAM, &stream);
	c->truth.streams[number] = (struct truth_source){&claims_byte, stream.raw_size, 1};
	return forge_record(&c->forge, FIELD_STREAM, number);
}

/* A file in the root of so many pieces, each of them all of stream 0. */
static inline void claims_file(struct claims *c, const char *name, uint64_t piece_size,
			       uint32_t pieces)
{
	struct efs_piece piece = {EFS_PIECE_STREAM, 0, 0, piece_size};
	uint32_t node = forge_child(&c->forge, name, &piece);

	for (uint32_t i = 1; i < pieces; i++)
		forge_add(&c->forge, FIELD_PIECE, &piece);
	forge_node(&c->forge, node)->count = pieces;
	forge_node(&c->forge, node)->size = piece_size * pieces;
	forge_node(&c->forge, 0)->count++;
}

/* Half a gigabyte of one byte, once and four thousand times, and sizes that are not kept. */
static inline void claims_constants(struct claims *c)
{
	static const uint64_t sizes[] = {CLAIMS_STREAM + 1,   CLAIMS_STREAM * 2,
					 UINT64_C(1) << 40,   (UINT64_C(1) << 43) + 5,
					 UINT64_C(1) << 62,   INT64_MAX,
					 UINT64_C(1) << 63,   UINT64_MAX,
					 UINT64_MAX - 0xfffe, 0};

	claims_begin(c);
	claims_stream(c, CLAIMS_BLOCKS, 0);
	claims_file(c, "half a gigabyte", CLAIMS_STREAM, 1);
	claims_file(c, "two terabytes", CLAIMS_STREAM, CLAIMS_PIECES);
	claims_end(c, HOSTILE_SERVED, NULL, "two terabytes of constants");
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		claims_begin(c);
		claims_stream(c, CLAIMS_BLOCKS, 0)->raw_size = sizes[i];
		claims_file(c, "f", sizes[i] ? sizes[i] : 1, 1);
		claims_end(c, HOSTILE_REFUSED, NULL, "a stream of %llu bytes",
			   (unsigned long long)sizes[i]);
	}
	/* The index says it, too, but is not that long; or is, where it cannot be. */
	for (unsigned log2 = 17; log2 < 64; log2++) {
		struct efs_stream *stream;

		claims_begin(c);
		stream = claims_stream(c, CLAIMS_BLOCKS, 0);
		stream->index.raw_size = UINT64_C(1) << log2;
		stream->raw_size = (UINT64_C(1) << (log2 - 3)) << EFS_BLOCK_LOG2_MAX;
		claims_file(c, "f", stream->raw_size ? stream->raw_size : 1, 1);
		claims_end(c, HOSTILE_REFUSED, "stream 0", "an index of 2^%u bytes", log2);
	}
}

/* Blobs and catalogs that are larger than what is stored of them can be. */
static inline void claims_sections(struct claims *c)
{
	static const uint8_t zeros[EFS_CHUNK_SIZE];

	for (unsigned log2 = 17; log2 < 64; log2++)
		for (unsigned k = 0; k < 2; k++) {
			struct efs_section section;
			uint64_t size = (UINT64_C(1) << log2) + k;

			claims_begin(c);
			section = forge_good_section(&c->forge.image, zeros, sizeof(zeros));
			section.raw_size = size;
			forge_add(&c->forge, FIELD_BLOB, &section);
			c->truth.blobs[0] = (struct truth_source){zeros, sizeof(zeros), 0};
			claims_end(c, log2 == 17 && k == 0 ? HOSTILE_SERVED : HOSTILE_REFUSED,
				   "blob 0", "a blob of %llu bytes", (unsigned long long)size);
			claims_begin(c);
			forge_link(&c->forge);
			forge_lay(&c->forge, &c->out);
			((struct efs_superblock *)(void *)c->out.data)->catalog.raw_size = size;
			reseal_superblock(c->out.data);
			hostile_put(c->hostile, &c->out, HOSTILE_REFUSED, "catalog",
				    "a catalog of %llu bytes", (unsigned long long)size);
			forge_free(&c->forge);
		}
}

/* --- shapes ------------------------------------------------------------------------------------
 */

/* The inverse of an odd number modulo 2^64, by Newton's method. */
static inline uint64_t claims_inverse(uint64_t odd)
{
	uint64_t inverse = odd;

	for (unsigned i = 0; i < 6; i++)
		inverse *= 2 - odd * inverse;
	return inverse;
}

/* A tensor of this shape, whose stream has raw_size bytes of one value. */
static inline void claims_tensor(struct claims *c, const uint64_t *dims, unsigned rank,
				 unsigned bits, unsigned dtype, uint64_t raw_size, int is_right)
{
	static const struct efs_param param = {.scale = 1};
	uint8_t *raw = malloc(raw_size + 1);
	struct efs_tensor tensor = {.source_dtype = (uint8_t)dtype,
				    .rank = (uint8_t)rank,
				    .bits = (uint8_t)bits,
				    .scheme = bits ? EFS_UNSIGNED : EFS_KEPT,
				    .param_count = bits != 0,
				    .stream_count = 1,
				    .node = 1};
	struct efs_stream *stream;
	struct efs_string shard;

	claims_begin(c);
	stream = claims_stream(c, raw_size != 0, 0);
	stream->raw_size = raw_size;
	memset(raw, claims_byte, raw_size + 1);
	if (raw_size) { /* of one short block, in an index that is stored as it is */
		uint32_t checksum = checksum_of(raw, raw_size);

		memcpy(c->forge.image.data + stream->index.offset, &checksum, sizeof(checksum));
	}
	c->truth.streams[0] = (struct truth_source){raw, raw_size, 0};
	tensor.name = forge_string(&c->forge, "t", 1);
	shard = forge_string(&c->forge, "s", 1);
	forge_add(&c->forge, FIELD_SHARD, &shard);
	if (bits)
		forge_add(&c->forge, FIELD_PARAM, &param);
	for (unsigned i = 0; i < rank; i++)
		forge_add(&c->forge, FIELD_DIM, &dims[i]);
	claims_file(c, "t", raw_size, raw_size != 0);
	if (efs_io_sha256(raw, raw_size, tensor.digest))
		abort();
	forge_add(&c->forge, FIELD_TENSOR, &tensor);
	claims_end(c, is_right ? HOSTILE_SERVED : HOSTILE_REFUSED, "shape contradicts",
		   "a shape of %u: %llu, %llu, ... of %u bits", rank, (unsigned long long)dims[0],
		   rank > 1 ? (unsigned long long)dims[1] : 0, bits);
	free(raw);
}

/* Empty tensors of any size: a dimension of 0 counts, wherever it stands. */
static inline void claims_empty(struct claims *c)
{
	const uint64_t large = UINT64_C(1) << 40;
	const uint64_t shapes[][3] = {
	    {0, large, large},           {large, 0, large},           {large, large, 0},
	    {UINT64_MAX, UINT64_MAX, 0}, {0, UINT64_MAX, UINT64_MAX}, {UINT64_MAX, 0, 2},
	};

	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		claims_tensor(c, shapes[i], 3, 8, EFS_F32, 0, 1);
		claims_tensor(c, shapes[i], 3, 4, EFS_BF16, 0, 1);
		claims_tensor(c, shapes[i], 3, 0, EFS_F64, 0, 1);
	}
}

/* Shapes whose product is right only without its upper half. */
static inline void claims_shapes(struct claims *c)
{
	enum { SIZE = 200 };
	uint64_t fours[EFS_RANK_MAX], dims[3];

	for (uint64_t odd = 3; odd; odd = odd > UINT64_MAX / 1001 ? 0 : odd * 1001) {
		dims[0] = odd;
		dims[1] = SIZE * claims_inverse(odd);
		claims_tensor(c, dims, 2, 8, EFS_F32, SIZE, 0);
		claims_tensor(c, dims, 2, 0, EFS_U8, SIZE, 0);
		dims[1] = 2 * SIZE * claims_inverse(odd);
		claims_tensor(c, dims, 2, 4, EFS_F32, SIZE, 0);
	}
	for (unsigned i = 0; i < EFS_RANK_MAX; i++)
		fours[i] = 4;
	claims_tensor(c, fours, EFS_RANK_MAX, 8, EFS_F32, 0, 0); /* 2^64 */
	for (unsigned log2 = 0; log2 < 64; log2++) {
		dims[0] = UINT64_C(1) << log2;
		dims[1] = UINT64_C(1) << (63 - log2);
		dims[2] = 2;
		claims_tensor(c, dims, 3, 8, EFS_F32, 0, 0);
		claims_tensor(c, dims, 2, 0, EFS_U16, 0, 0);
	}
	dims[0] = (UINT64_C(1) << 61) + SIZE / 8;
	claims_tensor(c, dims, 1, 0, EFS_F64, SIZE, 0);
	dims[0] = UINT64_MAX;
	claims_tensor(c, dims, 1, 4, EFS_F32, 0, 0);
	dims[0] = SIZE;
	claims_tensor(c, dims, 1, 8, EFS_F32, SIZE, 1);
}

/* --- others ------------------------------------------------------------------------------------
 */

/* A hole of a terabyte between catalog and hash tree, which is a hole as well. */
static inline void claims_hole(struct claims *c)
{
	struct efs_superblock *super;
	struct hostile_image image;

	claims_begin(c);
	claims_stream(c, CLAIMS_BLOCKS, 0);
	claims_file(c, "f", CLAIMS_STREAM, 1);
	forge_link(&c->forge);
	forge_lay(&c->forge, &c->out);
	super = (void *)c->out.data;
	super->hash_offset = UINT64_C(1) << 40;
	super->hash_size = efs_hash_tree_size(super->hash_offset - EFS_SUPERBLOCK_SIZE);
	super->image_size = super->hash_offset + super->hash_size;
	reseal_superblock(c->out.data);
	image = (struct hostile_image){.class = c->hostile->class,
				       .name = "a hole of a terabyte",
				       .bytes = c->out.data,
				       .size = c->out.size,
				       .file_size = super->image_size,
				       .truth = &c->truth,
				       .verdict = HOSTILE_REFUSED};
	c->hostile->take(c->hostile, &image);
	image.name = "a terabyte that is not there";
	image.file_size = c->out.size;
	image.reason = "truncated";
	c->hostile->take(c->hostile, &image);
	forge_free(&c->forge);
}

/* Many streams, each of which would like 1.5 MB for its code tables. */
static inline void claims_tables(struct claims *c)
{
	char name[16];

	claims_begin(c);
	for (unsigned i = 0; i < CLAIMS_STREAMS; i++)
		claims_stream(c, 1, EFS_TABLES_MAX);
	for (unsigned i = 0; i < CLAIMS_STREAMS; i++) {
		snprintf(name, sizeof(name), "%03u", i);
		claims_file(c, name, EFS_CHUNK_SIZE / 2, 1);
		((struct efs_piece *)forge_record(&c->forge, FIELD_PIECE, i))->source = i;
	}
	claims_end(c, HOSTILE_SERVED, NULL, "%u streams of %u tables", CLAIMS_STREAMS,
		   EFS_TABLES_MAX);
}

/* Counts of the catalog's header, which nothing follows. */
static inline void claims_counts(struct claims *c)
{
	for (unsigned i = 0; i < FORGE_ARRAYS; i++)
		for (unsigned log2 = 1; log2 <= 32; log2++) {
			uint32_t *counts;
			struct efs_superblock *super;

			claims_begin(c);
			c->forge.is_compressed = 0;
			forge_link(&c->forge);
			forge_lay(&c->forge, &c->out);
			super = (void *)c->out.data;
			counts = (void *)(c->out.data + super->catalog.offset);
			counts[i] = (uint32_t)((UINT64_C(1) << log2) - 1 + (i != 0 || log2 > 1));
			if (log2 == 32)
				counts[i] = UINT32_MAX;
			reseal(c->out.data, c->out.size);
			hostile_put(c->hostile, &c->out,
				    counts[0] == 1 && i == 0 ? HOSTILE_SERVED : HOSTILE_REFUSED,
				    NULL, "count %u of the catalog is %u", i, counts[i]);
			forge_free(&c->forge);
		}
}

static inline void hostile_claims(struct hostile *hostile)
{
	struct claims c = {.hostile = hostile};

	hostile->class = "claims";
	hostile->truth = &c.truth;
	claims_constants(&c);
	claims_sections(&c);
	claims_empty(&c);
	claims_shapes(&c);
	claims_hole(&c);
	claims_tables(&c);
	claims_counts(&c);
	efs_buffer_free(&c.out);
}

#endif
