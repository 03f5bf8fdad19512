/* SPDX-License-Identifier: MIT */
/*
 * image_build.h - makes images in memory for the tests of image/, and re-seals doctored ones.
 *
 * A sample image has one of everything: coded, raw, constant, empty, tiny and page-aligned streams,
 * blobs of several chunks, nested directories, quantized and kept tensors. What it should contain
 * is kept beside it.
 */
#ifndef ENTROFS_TESTS_IMAGE_BUILD_H
#define ENTROFS_TESTS_IMAGE_BUILD_H

#include "codec/codec.h"
#include "image/hashtree.h"
#include "image/io.h"
#include "image/reader.h"
#include "image/writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SAMPLE_STREAMS = 10, SAMPLE_BLOBS = 4 };

struct sample {
	int fd; /* a memfd that holds the image */
	struct {
		uint8_t *data;
		size_t size;
		struct image_cost cost;
	} streams[SAMPLE_STREAMS];
	struct {
		uint8_t *data;
		size_t size;
		uint64_t stored_size;
	} blobs[SAMPLE_BLOBS];
	struct image_overhead overhead;
	struct image_diag diag;
};

#define BUILD_CHECK(call)                                                                          \
	do {                                                                                       \
		int build_result = (call);                                                         \
		if (build_result) {                                                                \
			fprintf(stderr, "%s:%d: %s: %d: %s\n", __FILE__, __LINE__, #call,          \
				build_result, sample->diag.text);                                  \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* A fixed pseudo-random sequence (xorshift64*), so that every run tests the same. */
static inline uint32_t build_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return (uint32_t)((*state * UINT64_C(2685821657736338717)) >> 32);
}

static inline void *build_aligned(size_t size)
{
	void *memory = aligned_alloc(64, (size + 63) / 64 * 64);

	if (!memory)
		abort();
	return memory;
}

/* Bell-shaped bytes, like quantized weights. */
static inline void build_weights(uint8_t *data, size_t size, uint64_t seed)
{
	for (size_t i = 0; i < size; i++) {
		uint32_t r = build_random(&seed);

		data[i] =
		    (uint8_t)(96 + (r & 15) + (r >> 8 & 15) + (r >> 16 & 15) + (r >> 24 & 15));
	}
}

static inline void build_noise(uint8_t *data, size_t size, uint64_t seed)
{
	for (size_t i = 0; i < size; i++)
		data[i] = (uint8_t)(build_random(&seed) >> 7);
}

/* Codes data with one table designed for it (tables = 0: none) and puts it as the next stream. */
static inline uint32_t build_stream(struct sample *sample, struct image_writer *writer,
				    const uint8_t *data, size_t size, unsigned block_log2,
				    unsigned tables, struct image_cost *cost)
{
	struct codec_scratch *scratch = build_aligned(codec_scratch_size);
	struct codec_planner *planner = build_aligned(codec_planner_size);
	struct codec_tree *tree = build_aligned(codec_tree_size);
	uint8_t *stored = build_aligned(CODEC_BLOCK_MAX + CODEC_SLACK);
	size_t block_size = (size_t)1 << block_log2;
	uint64_t counts[CODEC_SYMBOLS] = {0};
	struct codec_table table;
	uint32_t number;

	if (tables) {
		codec_histogram(data, size, counts);
		codec_design(counts, block_size, planner, &table);
		if (codec_tree_build(tree, &table) != CODEC_OK)
			abort();
	}
	BUILD_CHECK(
	    image_writer_begin_stream(writer, size, block_log2, &table, tables, &sample->diag));
	for (size_t at = 0; at < size; at += block_size) {
		size_t part = size - at < block_size ? size - at : block_size;
		struct image_encoded block =
		    image_encode_block(tables ? tree : NULL, 0, data + at, part, stored, scratch);

		BUILD_CHECK(image_writer_put_block(writer, &block, stored, &sample->diag));
	}
	BUILD_CHECK(image_writer_end_stream(writer, &number, cost, &sample->diag));
	free(scratch);
	free(planner);
	free(tree);
	free(stored);
	return number;
}

static inline void build_sample_stream(struct sample *sample, struct image_writer *writer,
				       unsigned number)
{
	static const struct {
		size_t size;
		char content; /* w: weights, n: noise, c: constant, m: a mixture */
		unsigned char block_log2, tables;
	} plan[SAMPLE_STREAMS] = {
	    {100000, 'w', 14, 1}, {0, 'c', 14, 0},       {1, 'w', 14, 1},     {16384, 'w', 14, 1},
	    {50001, 'n', 14, 1},  {200000, 'c', 14, 0},  {65536, 'n', 16, 0}, {65535, 'w', 16, 1},
	    {300000, 'm', 12, 1}, {5 << 20, 'w', 14, 1},
	};
	size_t size = plan[number].size;
	uint8_t *data = malloc(size + 1);

	if (!data)
		abort();
	memset(data, 0x5a, size + 1);
	if (plan[number].content == 'w')
		build_weights(data, size, number + 1);
	else if (plan[number].content == 'n')
		build_noise(data, size, number + 1);
	else if (plan[number].content == 'm')
		for (size_t at = 0; at + 10000 < size; at += 30000)
			build_weights(data + at, 10000, at + 1);
	sample->streams[number].data = data;
	sample->streams[number].size = size;
	if (build_stream(sample, writer, data, size, plan[number].block_log2, plan[number].tables,
			 &sample->streams[number].cost) != number)
		abort();
}

static inline void build_sample_blob(struct sample *sample, struct image_writer *writer,
				     unsigned number)
{
	static const size_t sizes[SAMPLE_BLOBS] = {1000, 0, 400000, 131072};
	size_t size = sizes[number];
	uint8_t *data = malloc(size + 1);
	uint32_t blob;

	if (!data)
		abort();
	if (number == 3)
		memset(data, ' ', size); /* compresses to less than the least stored size */
	else
		for (size_t i = 0; i < size; i++)
			data[i] = (uint8_t)("{\"key\": 17, }\n"[i % 13] + (i % 1001 == 0));
	if (number == 2)
		build_noise(data + 131072, 131072, 99); /* one chunk is stored as it is */
	sample->blobs[number].data = data;
	sample->blobs[number].size = size;
	BUILD_CHECK(image_writer_begin_blob(writer, &sample->diag));
	for (size_t at = 0; at < size; at += 77777)
		BUILD_CHECK(image_writer_put_blob(
		    writer, data + at, size - at < 77777 ? size - at : 77777, &sample->diag));
	BUILD_CHECK(image_writer_end_blob(writer, &blob, &sample->blobs[number].stored_size,
					  &sample->diag));
	if (blob != number)
		abort();
}

/* What the file of seven pieces ends with: the numbers of the first tensor as BF16, which have no
 * more than its eight bits, without the first byte and the last. */
enum { SAMPLE_NUMBERS = 199998 };
static inline void build_sample_numbers(const struct sample *sample, uint8_t to[SAMPLE_NUMBERS])
{
	for (size_t i = 0; i < SAMPLE_NUMBERS; i++) {
		float number = 0.125f * (float)(sample->streams[0].data[(i + 1) / 2] - 7);
		uint32_t bits;

		memcpy(&bits, &number, sizeof(bits));
		to[i] = (uint8_t)(bits >> (i % 2 ? 16 : 24));
	}
}

static inline void build_sample_catalog(struct sample *sample, struct image_writer *writer)
{
	static const uint64_t dims[] = {100, 1000};
	static const struct efs_param param = {.scale = 0.125f, .zero_point = 7};
	struct image_tensor_spec spec = {.name = "layer/0.weight",
					 .name_size = 14,
					 .shard = "model.safetensors",
					 .path = "quantized/tensors/layer%2F0.weight.u8",
					 .dims = dims,
					 .params = &param,
					 .stream = 0,
					 .record = {.source_dtype = EFS_BF16,
						    .rank = 2,
						    .bits = 8,
						    .scheme = EFS_ASYMMETRIC,
						    .param_count = 1,
						    .entropy = 5.5,
						    .sqnr = 40,
						    .max_error = 0.0625}};
	static const uint64_t kept_dims[] = {2, 25000};
	struct image_tensor_spec kept = {
	    .name = "norm",
	    .name_size = 4,
	    .shard = "model.safetensors",
	    .path = "quantized/tensors/norm.f32",
	    .dims = kept_dims,
	    .stream = 5,
	    .record = {
		.source_dtype = EFS_F32, .source_order = 1, .rank = 2, .sqnr = __builtin_inf()}};
	struct efs_piece pieces[SAMPLE_STREAMS] = {
	    {EFS_PIECE_BLOB, 0, 0, 1000},        {EFS_PIECE_STREAM, 0, 0, 100000},
	    {EFS_PIECE_STREAM, 9, 5, 5242875},   {EFS_PIECE_STREAM, 3, 16383, 1},
	    {EFS_PIECE_BLOB, 2, 7, 399993},      {EFS_PIECE_STREAM, 5, 1, 199999},
	    {EFS_PIECE_TRANSCODE, 0, 1, 199998},
	};
	const struct efs_transcode numbers = {
	    .rule = EFS_DEQUANTIZE, .dtype = EFS_BF16, .raw_size = 200000};
	struct efs_piece one;

	BUILD_CHECK(
	    efs_io_sha256(sample->streams[0].data, sample->streams[0].size, spec.record.digest));
	BUILD_CHECK(image_writer_add_tensor(writer, &spec, &sample->diag));
	BUILD_CHECK(image_writer_add_transcode(writer, &numbers, &pieces[6].source, &sample->diag));
	BUILD_CHECK(
	    image_writer_add_file(writer, "quantized/model.safetensors", pieces, 7, &sample->diag));
	one = (struct efs_piece){EFS_PIECE_BLOB, 0, 0, 1000};
	BUILD_CHECK(image_writer_add_file(writer, "config.json", &one, 1, &sample->diag));
	BUILD_CHECK(image_writer_add_file(writer, "empty", NULL, 0, &sample->diag));
	one = (struct efs_piece){EFS_PIECE_STREAM, 0, 0, 100000};
	BUILD_CHECK(image_writer_add_file(writer, spec.path, &one, 1, &sample->diag));
	one = (struct efs_piece){EFS_PIECE_STREAM, 5, 0, 200000};
	BUILD_CHECK(image_writer_add_file(writer, kept.path, &one, 1, &sample->diag));
	BUILD_CHECK(
	    efs_io_sha256(sample->streams[5].data, sample->streams[5].size, kept.record.digest));
	BUILD_CHECK(image_writer_add_tensor(writer, &kept, &sample->diag));
	BUILD_CHECK(image_writer_add_file(writer, "a/b/c/d/e", &one, 1, &sample->diag));
	one = (struct efs_piece){EFS_PIECE_BLOB, 3, 0, 131072};
	BUILD_CHECK(image_writer_add_file(writer, "a/b.txt", &one, 1, &sample->diag));
}

/* Writes the sample image to an empty file. */
static inline void build_sample_into(struct sample *sample, int fd)
{
	struct image_writer *writer;

	*sample = (struct sample){.fd = fd};
	BUILD_CHECK(image_writer_create(&writer, fd, "tests 1", &sample->diag));
	for (unsigned i = 0; i < SAMPLE_STREAMS; i++) {
		if (i < SAMPLE_BLOBS)
			build_sample_blob(sample, writer, i);
		build_sample_stream(sample, writer, i);
	}
	build_sample_catalog(sample, writer);
	BUILD_CHECK(image_writer_finish(writer, &sample->overhead, &sample->diag));
	image_writer_destroy(writer);
}

static inline int build_memfd(void)
{
	int fd = memfd_create("image", MFD_CLOEXEC);

	if (fd < 0)
		abort();
	return fd;
}

static inline void build_sample(struct sample *sample)
{
	build_sample_into(sample, build_memfd());
}

enum { SMALL_STREAMS = 7, SMALL_BLOBS = 2 };

/* A small image with the same kinds of content, for tests that look at it thousands of times. */
static inline void build_small(struct sample *sample)
{
	static const size_t sizes[SMALL_STREAMS] = {20000, 6000, 3000, 0, 10001, 2500, 5000};
	static const uint64_t dims[] = {100, 200};
	static const struct efs_param param = {.scale = -0.5f};
	struct image_tensor_spec spec = {.name = "w",
					 .name_size = 1,
					 .shard = "model.safetensors",
					 .path = "quantized/tensors/w.u8",
					 .dims = dims,
					 .params = &param,
					 .record = {.source_dtype = EFS_F32,
						    .rank = 2,
						    .bits = 8,
						    .scheme = EFS_UNSIGNED,
						    .param_count = 1,
						    .sqnr = 30}};
	struct efs_piece pieces[] = {{EFS_PIECE_BLOB, 1, 100, 131000},
				     {EFS_PIECE_STREAM, 1, 0, 6000},
				     {EFS_PIECE_STREAM, 4, 4000, 6001},
				     {EFS_PIECE_STREAM, 2, 1, 2}};
	struct efs_piece one = {EFS_PIECE_STREAM, 0, 0, 20000};
	const struct efs_transcode numbers = {
	    .rule = EFS_DEQUANTIZE, .dtype = EFS_F32, .raw_size = 80000};
	const struct efs_transcode records = {.rule = EFS_JOIN,
					      .plane_count = 2,
					      .first_stream = 5,
					      .raw_size = 7500,
					      .plane_size = {1, 2}};
	struct efs_piece odd[] = {{EFS_PIECE_TRANSCODE, 0, 3, 79990},
				  {EFS_PIECE_TRANSCODE, 0, 2, 7497}};
	struct image_writer *writer;
	uint32_t blob;

	*sample = (struct sample){.fd = build_memfd()};
	BUILD_CHECK(image_writer_create(&writer, sample->fd, "tests 1", &sample->diag));
	for (unsigned i = 0; i < SMALL_STREAMS; i++) {
		size_t size = sample->streams[i].size = sizes[i];
		uint8_t *data = sample->streams[i].data = malloc(size + 1);

		memset(data, 7, size + 1);
		if (i == 2)
			build_noise(data, size, 3);
		else if (i != 1)
			build_weights(data, size / 2 + 1, i + 1); /* the other half is constant */
		build_stream(sample, writer, data, size, 12, i == 0 || i == 4,
			     &sample->streams[i].cost);
	}
	for (unsigned i = 0; i < SMALL_BLOBS; i++) {
		size_t size = sample->blobs[i].size = i ? 131500 : 700;
		uint8_t *data = sample->blobs[i].data = malloc(size);

		for (size_t at = 0; at < size; at++)
			data[at] = (uint8_t)("[12, 34, 567]"[at % 13] + (at % 3001 == 0));
		BUILD_CHECK(image_writer_begin_blob(writer, &sample->diag));
		BUILD_CHECK(image_writer_put_blob(writer, data, size, &sample->diag));
		BUILD_CHECK(image_writer_end_blob(writer, &blob, &sample->blobs[i].stored_size,
						  &sample->diag));
	}
	BUILD_CHECK(image_writer_add_file(writer, spec.path, &one, 1, &sample->diag));
	BUILD_CHECK(image_writer_add_file(writer, "quantized/x", pieces, 4, &sample->diag));
	BUILD_CHECK(image_writer_add_file(writer, "zero", NULL, 0, &sample->diag));
	one = (struct efs_piece){EFS_PIECE_BLOB, 0, 0, 700};
	BUILD_CHECK(image_writer_add_file(writer, "config.json", &one, 1, &sample->diag));
	BUILD_CHECK(
	    efs_io_sha256(sample->streams[0].data, sample->streams[0].size, spec.record.digest));
	BUILD_CHECK(image_writer_add_tensor(writer, &spec, &sample->diag));
	BUILD_CHECK(image_writer_add_transcode(writer, &numbers, &odd[0].source, &sample->diag));
	BUILD_CHECK(image_writer_add_transcode(writer, &records, &odd[1].source, &sample->diag));
	BUILD_CHECK(
	    image_writer_add_file(writer, "quantized/tensors/z.f32", odd, 2, &sample->diag));
	BUILD_CHECK(image_writer_finish(writer, &sample->overhead, &sample->diag));
	image_writer_destroy(writer);
}

static inline void build_free(struct sample *sample)
{
	for (unsigned i = 0; i < SAMPLE_STREAMS; i++)
		free(sample->streams[i].data);
	for (unsigned i = 0; i < SAMPLE_BLOBS; i++)
		free(sample->blobs[i].data);
	close(sample->fd);
}

#endif
