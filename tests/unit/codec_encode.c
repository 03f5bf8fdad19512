/* SPDX-License-Identifier: MIT */
/*
 * codec_encode.c - every kernel's encoder writes what the reference encoder writes, exactly as many
 * bytes as it says, and touches nothing else: sources and targets lie against forbidden pages, and
 * scratch memory is compared with what it was.
 */
#include "codec/tree.h"
#include "tests/unit/codec_util.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

struct sample {
	struct codec_bench bench;
	const uint8_t *src;
	size_t size;
	uint8_t *expected; /* what the reference encoder writes */
	size_t coded_size;
};

static const char *what(const struct sample *sample, const struct codec_kernel *kernel)
{
	static char text[80];

	snprintf(text, sizeof(text), "%s, %zu bytes", kernel->name, sample->size);
	return text;
}

/* Source and target between forbidden pages, at the end (or the start) of what may be touched. */
static void check_kernel(const struct sample *sample, const struct codec_kernel *kernel, int low)
{
	struct guarded src = guarded_create_at(sample->size, low);
	struct guarded dst = guarded_create_at(sample->coded_size, low);
	size_t coded_size = 0;

	memcpy(src.bytes, sample->src, sample->size);
	codec_scratch_fill(sample->bench.scratch);
	cr_assert_eq(kernel->encode(sample->bench.tree, src.bytes, src.size, dst.bytes, dst.size,
				    &coded_size, sample->bench.scratch),
		     CODEC_OK, "%s", what(sample, kernel));
	cr_assert_eq(coded_size, sample->coded_size, "%s", what(sample, kernel));
	cr_assert_eq(memcmp(dst.bytes, sample->expected, coded_size), 0, "%s",
		     what(sample, kernel));
	cr_assert(codec_scratch_kept(sample->bench.scratch, sample->size), "%s",
		  what(sample, kernel));
	guarded_destroy(&src);
	guarded_destroy(&dst);
}

/* Room to spare stays as it is, and so does all of the target if it is too small. */
static void check_room(const struct sample *sample, const struct codec_kernel *kernel)
{
	struct guarded dst = guarded_create(sample->coded_size + 100);
	size_t coded_size = 0;

	memset(dst.bytes, CODEC_PATTERN, dst.size);
	cr_assert_eq(kernel->encode(sample->bench.tree, sample->src, sample->size, dst.bytes,
				    dst.size, &coded_size, sample->bench.scratch),
		     CODEC_OK);
	cr_assert(codec_all_equal(dst.bytes + coded_size, 100, CODEC_PATTERN), "%s",
		  what(sample, kernel));
	memset(dst.bytes, CODEC_PATTERN, dst.size);
	coded_size = 0;
	if (sample->coded_size > 0)
		cr_assert_eq(kernel->encode(sample->bench.tree, sample->src, sample->size,
					    dst.bytes, sample->coded_size - 1, &coded_size,
					    sample->bench.scratch),
			     CODEC_TOO_LARGE, "%s", what(sample, kernel));
	cr_assert_eq(coded_size, sample->coded_size, "%s", what(sample, kernel));
	cr_assert(codec_all_equal(dst.bytes, dst.size, CODEC_PATTERN), "%s", what(sample, kernel));
	guarded_destroy(&dst);
}

/* The bench's table must have codes for all of src; its tree is built here. */
static void check(const struct codec_bench *bench, const uint8_t *src, size_t size)
{
	/* No code is longer than 22 bits. */
	struct sample sample = {*bench, src, size, codec_aligned(3 * size), 0};

	cr_assert_eq(codec_tree_build(bench->tree, &bench->table), CODEC_OK);
	cr_assert_eq(codec_kernels[0]->encode(bench->tree, src, size, sample.expected, 3 * size,
					      &sample.coded_size, bench->scratch),
		     CODEC_OK);
	for (unsigned k = 0; codec_kernels[k]; k++) {
		if (!codec_kernels[k]->supported())
			continue;
		check_kernel(&sample, codec_kernels[k], 0);
		check_kernel(&sample, codec_kernels[k], 1);
		check_room(&sample, codec_kernels[k]);
	}
	free(sample.expected);
}

static void check_sizes(struct codec_bench *bench, const uint8_t *src)
{
	static const size_t sizes[] = {255,  256,  257,   511,   1000,  4095,
				       4096, 9999, 16383, 16384, 65535, CODEC_BLOCK_MAX};

	for (size_t size = 1; size <= 150; size++)
		check(bench, src + 7 * size, size);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		check(bench, src, sizes[i]);
}

static void check_shape(enum codec_shape shape)
{
	static uint8_t src[CODEC_BLOCK_MAX];
	struct codec_bench bench = codec_bench_create();
	uint64_t counts[CODEC_SYMBOLS] = {0};

	codec_fill(shape, src, sizeof(src), 2);
	codec_histogram(src, sizeof(src), counts);
	codec_design(counts, 16384, bench.planner, &bench.table);
	check_sizes(&bench, src);
	codec_bench_destroy(&bench);
}

Test(codec_encode, one_symbol)
{
	check_shape(SHAPE_ONE);
}

Test(codec_encode, two_symbols)
{
	check_shape(SHAPE_TWO);
}

Test(codec_encode, all_symbols_equal)
{
	check_shape(SHAPE_FLAT);
}

Test(codec_encode, fibonacci_frequencies)
{
	check_shape(SHAPE_FIBONACCI);
}

Test(codec_encode, gaussian_bytes)
{
	check_shape(SHAPE_GAUSSIAN);
}

Test(codec_encode, gaussian_nibble_pairs)
{
	check_shape(SHAPE_NIBBLES);
}

/* Bytes that a table has codes for, each as often as any other. */
static void fill_by_table(const struct codec_table *table, uint8_t *src, size_t size, uint32_t seed)
{
	uint32_t state = seed * 2654435761u + 1;

	for (size_t i = 0; i < size; i++) {
		do
			src[i] = (uint8_t)(codec_random(&state) >> 8);
		while (table->code[src[i]] == CODEC_ABSENT);
	}
}

/* One leaf at each depth: the longest paths, and lists of which every split keeps one side only. */
Test(codec_encode, deepest_tree)
{
	static uint8_t src[CODEC_BLOCK_MAX];
	struct codec_bench bench = codec_bench_create();

	codec_deepest_table(&bench.table);
	fill_by_table(&bench.table, src, sizeof(src), 1);
	check_sizes(&bench, src);
	codec_bench_destroy(&bench);
}

/* 128 symbols in one chunk below the deepest path: codes of 22 bits, the longest that there are. */
Test(codec_encode, longest_codes)
{
	static uint8_t src[CODEC_BLOCK_MAX];
	struct codec_bench bench = codec_bench_create();

	codec_longest_table(&bench.table);
	fill_by_table(&bench.table, src, sizeof(src), 1);
	check_sizes(&bench, src);
	codec_bench_destroy(&bench);
}

Test(codec_encode, any_complete_table)
{
	static uint8_t src[5000];
	struct codec_bench bench = codec_bench_create();

	for (uint32_t seed = 1; seed <= 300; seed++) {
		uint32_t random = seed;
		codec_random_table(&bench.table, seed);
		fill_by_table(&bench.table, src, sizeof(src), seed);
		check(&bench, src, 1 + codec_random(&random) % sizeof(src));
	}
	codec_bench_destroy(&bench);
}

/* Wherever a symbol without a code is, it is found before anything is written. */
Test(codec_encode, a_symbol_without_a_code_is_refused)
{
	struct codec_bench bench = codec_bench_create();
	uint64_t counts[CODEC_SYMBOLS] = {[5] = 10, [6] = 1, [7] = 1, [255] = 1};
	uint8_t src[200], dst[300];
	size_t coded_size;

	codec_design(counts, 4096, bench.planner, &bench.table);
	cr_assert_eq(codec_tree_build(bench.tree, &bench.table), CODEC_OK);
	for (size_t size = 1; size <= sizeof(src); size += size < 70 ? 1 : 13) {
		for (size_t at = 0; at < size; at++) {
			memset(src, 5, size);
			src[at] = (uint8_t[]){0, 4, 8, 21, 254}[at % 5];
			for (unsigned k = 0; codec_kernels[k]; k++) {
				if (!codec_kernels[k]->supported())
					continue;
				memset(dst, CODEC_PATTERN, sizeof(dst));
				cr_assert_eq(codec_kernels[k]->encode(bench.tree, src, size, dst,
								      sizeof(dst), &coded_size,
								      bench.scratch),
					     CODEC_BAD_TABLE, "%s: byte %zu of %zu",
					     codec_kernels[k]->name, at, size);
				cr_assert(codec_all_equal(dst, sizeof(dst), CODEC_PATTERN));
			}
		}
	}
	codec_bench_destroy(&bench);
}

/* codec_encode() is the kernel in use. */
Test(codec_encode, the_kernel_in_use_encodes)
{
	struct codec_bench bench = codec_bench_create();
	static uint8_t src[1000], coded[2000], expected[2000];
	uint64_t counts[CODEC_SYMBOLS] = {0};
	size_t size, coded_size;

	codec_fill(SHAPE_GAUSSIAN, src, sizeof(src), 3);
	codec_histogram(src, sizeof(src), counts);
	codec_design(counts, 4096, bench.planner, &bench.table);
	cr_assert_eq(codec_tree_build(bench.tree, &bench.table), CODEC_OK);
	cr_assert_eq(codec_kernels[0]->encode(bench.tree, src, sizeof(src), expected,
					      sizeof(expected), &size, bench.scratch),
		     CODEC_OK);
	for (unsigned k = 0; codec_kernels[k]; k++) {
		if (codec_use_kernel(codec_kernels[k]->name))
			continue;
		cr_assert_eq(codec_encode(bench.tree, src, sizeof(src), coded, sizeof(coded),
					  &coded_size, bench.scratch),
			     CODEC_OK);
		cr_assert_eq(coded_size, size);
		cr_assert_eq(memcmp(coded, expected, size), 0);
	}
	codec_bench_destroy(&bench);
}

/* A block is not empty, and not larger than scratch memory is made for. */
Test(codec_encode, sizes_that_no_block_has_are_refused)
{
	static uint8_t src[CODEC_BLOCK_MAX + 1], dst[CODEC_BLOCK_MAX + 1];
	struct codec_bench bench = codec_bench_create();
	struct codec_fold fold;
	size_t coded_size = 77;

	memset(bench.table.code, 0x80, sizeof(bench.table.code));
	cr_assert_eq(codec_tree_build(bench.tree, &bench.table), CODEC_OK);
	cr_assert_eq(codec_encode(bench.tree, src, 0, dst, sizeof(dst), &coded_size, bench.scratch),
		     CODEC_BAD_SIZE);
	cr_assert_eq(codec_encode(bench.tree, src, sizeof(src), dst, sizeof(dst), &coded_size,
				  bench.scratch),
		     CODEC_BAD_SIZE);
	cr_assert_eq(coded_size, 77);
	cr_assert_eq(codec_decode(bench.tree, src, 0, dst, 0, bench.scratch, &fold),
		     CODEC_BAD_SIZE);
	cr_assert_eq(codec_decode(bench.tree, src, sizeof(src) - CODEC_SLACK, dst, sizeof(dst),
				  bench.scratch, &fold),
		     CODEC_BAD_SIZE);
	codec_bench_destroy(&bench);
}
