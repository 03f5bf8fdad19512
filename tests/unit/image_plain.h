/* SPDX-License-Identifier: MIT */
/*
 * image_plain.h - an image of one of everything in few bytes, and images whose metadata is stored
 * uncompressed, so that each of its fields can be set in place.
 */
#ifndef ENTROFS_TESTS_IMAGE_PLAIN_H
#define ENTROFS_TESTS_IMAGE_PLAIN_H

#include "tests/unit/image_build.h"
#include "tests/unit/image_fields.h"
#include "tests/unit/image_reseal.h"

enum { TINY_STREAMS = 5, TINY_BLOBS = 3, TINY_FILES = 7, TINY_BLOCK_LOG2 = 12 };

/* Two code tables, of which one fits the even blocks and one the odd blocks. */
static inline void build_tiny_coded(struct sample *sample, struct image_writer *writer,
				    const uint8_t *data, size_t size, struct image_cost *cost)
{
	struct codec_scratch *scratch = build_aligned(codec_scratch_size);
	struct codec_tree *tree = build_aligned(codec_tree_size);
	uint8_t *stored = build_aligned(CODEC_BLOCK_MAX + CODEC_SLACK);
	size_t block_size = (size_t)1 << TINY_BLOCK_LOG2;
	struct codec_table tables[2];
	uint32_t number;

	memset(tables, CODEC_ABSENT, sizeof(tables));
	memset(tables[0].code, 0x43, 128); /* 8 chunks of 16 symbols at depth 3 */
	memset(tables[1].code, 0x12, 4);   /* 4 symbols in 2 chunks at depth 2, 1 at depth 1 */
	tables[1].code[4] = 0x01;
	BUILD_CHECK(
	    image_writer_begin_stream(writer, size, TINY_BLOCK_LOG2, tables, 2, &sample->diag));
	for (size_t at = 0; at < size; at += block_size) {
		size_t part = size - at < block_size ? size - at : block_size;
		uint8_t table = at / block_size % 2;
		struct image_encoded block;

		if (codec_tree_build(tree, &tables[table]) != CODEC_OK)
			abort();
		block = image_encode_block(tree, table, data + at, part, stored, scratch);
		if (block.kind != EFS_BLOCK_CODED)
			abort();
		BUILD_CHECK(image_writer_put_block(writer, &block, stored, &sample->diag));
	}
	BUILD_CHECK(image_writer_end_stream(writer, &number, cost, &sample->diag));
	free(scratch);
	free(tree);
	free(stored);
}

/* 0: two coded blocks; 1: constant, then a short coded block; 2: raw; 3: empty; 4: constant. */
static inline void build_tiny_stream(struct sample *sample, struct image_writer *writer,
				     unsigned number)
{
	static const size_t sizes[TINY_STREAMS] = {4096 + 320, 4096 + 404, 160, 0, 400};
	size_t size = sample->streams[number].size = sizes[number];
	uint8_t *data = sample->streams[number].data = malloc(size + 1);
	uint64_t seed = number + 1;

	if (!data)
		abort();
	memset(data, 3, size + 1);
	for (size_t i = 0; i < size; i++)
		if (number == 0)
			data[i] = (uint8_t)(i < 4096 ? build_random(&seed) % 128
						     : build_random(&seed) % 5);
		else if (number == 1 && i >= 4096)
			data[i] = (uint8_t)(build_random(&seed) % 3 * 16 + 5);
		else if (number == 2)
			data[i] = (uint8_t)build_random(&seed);
	if (number == 0)
		build_tiny_coded(sample, writer, data, size, &sample->streams[0].cost);
	else
		build_stream(sample, writer, data, size, TINY_BLOCK_LOG2, number == 1,
			     &sample->streams[number].cost);
}

/* 0: one chunk as it is; 1: two chunks, compressed; 2: empty. */
static inline void build_tiny_blob(struct sample *sample, struct image_writer *writer,
				   unsigned number)
{
	static const size_t sizes[TINY_BLOBS] = {30, EFS_CHUNK_SIZE + 70, 0};
	size_t size = sample->blobs[number].size = sizes[number];
	uint8_t *data = sample->blobs[number].data = malloc(size + 1);
	uint32_t blob;

	if (!data)
		abort();
	for (size_t i = 0; i < size; i++)
		data[i] = (uint8_t) "[1, 2]{\"a\":7}"[number ? i % 6 : i % 13];
	BUILD_CHECK(image_writer_begin_blob(writer, &sample->diag));
	BUILD_CHECK(image_writer_put_blob(writer, data, size, &sample->diag));
	BUILD_CHECK(image_writer_end_blob(writer, &blob, &sample->blobs[number].stored_size,
					  &sample->diag));
}

/* The tensor that is stream `number`: 8 bits; 4 bits with a parameter for each row; kept; kept and
 * empty. */
static inline void build_tiny_tensor(struct sample *sample, struct image_writer *writer,
				     unsigned number)
{
	static const uint64_t dims[][2] = {{138, 32}, {3, 3000}, {10, 4}, {0, 7}};
	static const struct efs_param params[] = {{0.5f, 128}, {2, -3}, {0.25f, 0}};
	static const char *const names[] = {"w", "layer.1/q", "norm", "none"};
	static const char *const paths[] = {"quantized/tensors/w.u8", "quantized/tensors/q.u4",
					    "quantized/tensors/norm.f32",
					    "quantized/tensors/none.bf16"};
	int is_kept = number > 1;
	struct image_tensor_spec spec = {
	    .name = names[number],
	    .name_size = strlen(names[number]),
	    .shard = number == 3 ? "model-2.safetensors" : "model-1.safetensors",
	    .path = paths[number],
	    .dims = dims[number],
	    .params = params,
	    .stream = number,
	    .record = {.source_dtype = number == 3 ? EFS_BF16 : EFS_F32,
		       .source_order = number,
		       .rank = 2,
		       .bits = is_kept  ? 0
			       : number ? 4
					: 8,
		       .scheme = is_kept ? EFS_KEPT : EFS_ASYMMETRIC,
		       .param_count = is_kept  ? 0
				      : number ? 3
					       : 1,
		       .entropy = 3.5,
		       .sqnr = is_kept ? __builtin_inf() : 31}};
	struct efs_piece piece = {EFS_PIECE_STREAM, number, 0, sample->streams[number].size};

	BUILD_CHECK(efs_io_sha256(sample->streams[number].data, sample->streams[number].size,
				  spec.record.digest));
	BUILD_CHECK(image_writer_add_tensor(writer, &spec, &sample->diag));
	BUILD_CHECK(
	    image_writer_add_file(writer, spec.path, &piece, piece.length != 0, &sample->diag));
}

/* A file of the numbers of the first two tensors, from the middle of one to the middle of another,
 * and of blocks of the first. */
static inline void build_tiny_numbers(struct sample *sample, struct image_writer *writer)
{
	static const struct efs_transcode records[] = {
	    {.rule = EFS_DEQUANTIZE, .dtype = EFS_F16, .tensor = 0, .raw_size = 8832},
	    {.rule = EFS_DEQUANTIZE, .dtype = EFS_BF16, .tensor = 1, .raw_size = 18000},
	    {.rule = EFS_GGML_BLOCKS, .ggml_type = 8, .tensor = 0, .raw_size = 4692}};
	struct efs_piece pieces[] = {{EFS_PIECE_TRANSCODE, 0, 3, 8829},
				     {EFS_PIECE_TRANSCODE, 0, 0, 17999},
				     {EFS_PIECE_TRANSCODE, 0, 5, 4687}};

	for (unsigned i = 0; i < 3; i++)
		BUILD_CHECK(image_writer_add_transcode(writer, &records[i], &pieces[i].source,
						       &sample->diag));
	BUILD_CHECK(image_writer_add_file(writer, "z.numbers", pieces, 3, &sample->diag));
}

/* About 7 KB with one of everything: tables, kinds of block, chunks, pieces, folders, tensors. */
static inline void build_tiny(struct sample *sample)
{
	struct efs_piece view[] = {
	    {EFS_PIECE_BLOB, 1, 100, 131000}, {EFS_PIECE_STREAM, 0, 0, 4416},
	    {EFS_PIECE_STREAM, 1, 0, 4500},   {EFS_PIECE_STREAM, 2, 0, 160},
	    {EFS_PIECE_STREAM, 4, 9, 300},    {EFS_PIECE_STREAM, 0, 4000, 200}};
	struct efs_piece config = {EFS_PIECE_BLOB, 0, 0, 30};
	struct image_writer *writer;

	*sample = (struct sample){.fd = build_memfd()};
	BUILD_CHECK(image_writer_create(&writer, sample->fd, "tests 1", &sample->diag));
	for (unsigned i = 0; i < TINY_STREAMS; i++)
		build_tiny_stream(sample, writer, i);
	for (unsigned i = 0; i < TINY_BLOBS; i++)
		build_tiny_blob(sample, writer, i);
	for (unsigned i = 0; i < 4; i++)
		build_tiny_tensor(sample, writer, i);
	BUILD_CHECK(
	    image_writer_add_file(writer, "quantized/model.safetensors", view, 6, &sample->diag));
	BUILD_CHECK(image_writer_add_file(writer, "config.json", &config, 1, &sample->diag));
	BUILD_CHECK(image_writer_add_file(writer, "empty", NULL, 0, &sample->diag));
	build_tiny_numbers(sample, writer);
	BUILD_CHECK(image_writer_finish(writer, &sample->overhead, &sample->diag));
	image_writer_destroy(writer);
}

/* Appends a section, uncompressed; its place. The checksums are for reseal() to set. */
static inline struct efs_section put_plain(struct buffer *out, const uint8_t *raw, uint64_t size)
{
	struct efs_section section = {.offset = (out->size + 7) & ~UINT64_C(7), .raw_size = size};

	memset(efs_buffer_extend(out, (size_t)section.offset - out->size), 0,
	       (size_t)section.offset - out->size);
	efs_buffer_add(out, raw, (size_t)size);
	for (uint64_t at = 0; at < size; at += EFS_CHUNK_SIZE) {
		struct efs_chunk chunk = {.stored_size = (uint32_t)(size - at)};

		if (size - at > EFS_CHUNK_SIZE)
			chunk.stored_size = EFS_CHUNK_SIZE;
		efs_buffer_add(out, &chunk, sizeof(chunk));
	}
	section.stored_size = out->size - section.offset;
	return section;
}

/* Puts hash tree and superblock around bytes that end with the catalog. */
static inline void close_plain(struct buffer *out, struct efs_superblock *super)
{
	size_t gap = -out->size & 7;

	memset(efs_buffer_extend(out, gap), 0, gap);
	super->hash_offset = out->size;
	super->hash_size = efs_hash_tree_size(super->hash_offset - EFS_SUPERBLOCK_SIZE);
	super->image_size = super->hash_offset + super->hash_size;
	memset(efs_buffer_extend(out, (size_t)super->hash_size), 0, (size_t)super->hash_size);
	memcpy(out->data, super, sizeof(*super));
	reseal(out->data, out->size);
}

/* The same image with the catalog and all indexes stored uncompressed. */
static inline void lay_plain(const uint8_t *image, size_t size, struct buffer *out)
{
	struct efs_superblock super;
	uint8_t *copy = malloc(size), *catalog;
	const struct efs_catalog_header *header;
	struct efs_stream *stream;

	if (!copy)
		abort();
	memcpy(copy, image, size);
	memcpy(&super, copy, sizeof(super));
	catalog = reseal_section(copy, size, &super.catalog);
	header = (void *)catalog;
	stream = (void *)(catalog + sizeof(*header) + header->node_count * sizeof(struct efs_node) +
			  header->piece_count * sizeof(struct efs_piece) +
			  header->tensor_count * sizeof(struct efs_tensor));
	/* The indexes lie between the data and the catalog. */
	efs_buffer_add(out, copy, (size_t)stream->index.offset);
	for (uint32_t i = 0; i < header->stream_count; i++, stream++) {
		uint8_t *index = reseal_section(copy, size, &stream->index);

		stream->index = put_plain(out, index, stream->index.raw_size);
		free(index);
	}
	super.catalog = put_plain(out, catalog, super.catalog.raw_size);
	close_plain(out, &super);
	free(catalog);
	free(copy);
}

#endif
