/* SPDX-License-Identifier: MIT */
/* codec_roundtrip.c - whatever is encoded decodes to the same bytes, with every kernel, for
 * designed tables over extreme distributions and sizes. */
#include "tests/unit/codec_util.h"

#include <criterion/criterion.h>
#include <string.h>

static void check_all_kernels(const struct codec_bench *bench, const uint8_t *src, size_t size)
{
	struct guarded coded = guarded_create(3 * size + CODEC_SLACK);
	struct guarded dst = guarded_create(size);
	size_t coded_size = 0;

	cr_assert_eq(codec_encode(bench->tree, src, size, coded.bytes, 3 * size, &coded_size,
				  bench->scratch),
		     CODEC_OK);
	/* To the end of the mapping, so that reading past the slack faults. */
	uint8_t *end = coded.bytes + coded.size - CODEC_SLACK;
	memmove(end - coded_size, coded.bytes, coded_size);
	for (unsigned k = 0; codec_kernels[k]; k++) {
		if (!codec_kernels[k]->supported())
			continue;
		struct codec_fold fold = {.size = UINT32_MAX, .covered = UINT32_MAX};
		memset(dst.bytes, 0xa5, size);
		cr_assert_eq(codec_kernels[k]->decode(bench->tree, end - coded_size, coded_size,
						      dst.bytes, size, bench->scratch, &fold),
			     CODEC_OK, "%s, %zu bytes", codec_kernels[k]->name, size);
		cr_assert_eq(memcmp(dst.bytes, src, size), 0, "%s, %zu bytes",
			     codec_kernels[k]->name, size);
		cr_assert(codec_fold_is_right(&fold, src, size), "%s, %zu bytes",
			  codec_kernels[k]->name, size);
	}
	guarded_destroy(&coded);
	guarded_destroy(&dst);
}

static void check_sizes(enum codec_shape shape)
{
	static const size_t sizes[] = {255,  256,  257,   511,   1000,  4095,
				       4096, 9999, 16383, 16384, 65535, CODEC_BLOCK_MAX};
	static uint8_t src[CODEC_BLOCK_MAX];
	struct codec_bench bench = codec_bench_create();
	uint64_t counts[CODEC_SYMBOLS] = {0};

	codec_fill(shape, src, sizeof(src), 1);
	codec_histogram(src, sizeof(src), counts);
	codec_design(counts, 16384, bench.planner, &bench.table);
	cr_assert_eq(codec_tree_build(bench.tree, &bench.table), CODEC_OK);
	for (size_t size = 1; size <= 200; size++)
		check_all_kernels(&bench, src + 7 * size, size);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		check_all_kernels(&bench, src, sizes[i]);
	codec_bench_destroy(&bench);
}

Test(codec_roundtrip, one_symbol)
{
	check_sizes(SHAPE_ONE);
}

Test(codec_roundtrip, two_symbols)
{
	check_sizes(SHAPE_TWO);
}

Test(codec_roundtrip, all_symbols_equal)
{
	check_sizes(SHAPE_FLAT);
}

Test(codec_roundtrip, fibonacci_frequencies)
{
	check_sizes(SHAPE_FIBONACCI);
}

Test(codec_roundtrip, gaussian_bytes)
{
	check_sizes(SHAPE_GAUSSIAN);
}

Test(codec_roundtrip, gaussian_nibble_pairs)
{
	check_sizes(SHAPE_NIBBLES);
}

/* The deepest paths and the longest codes that a table can have. */
Test(codec_roundtrip, deepest_trees)
{
	struct codec_bench bench = codec_bench_create();
	static uint8_t src[4099];
	uint32_t random = 9;

	for (unsigned longest = 0; longest < 2; longest++) {
		if (longest)
			codec_longest_table(&bench.table);
		else
			codec_deepest_table(&bench.table);
		cr_assert_eq(codec_tree_build(bench.tree, &bench.table), CODEC_OK);
		for (size_t i = 0; i < sizeof(src); i++)
			src[i] = (uint8_t)(codec_random(&random) % (longest ? 143 : 16));
		for (size_t size = 1; size < sizeof(src); size += 1 + size / 3)
			check_all_kernels(&bench, src, size);
	}
	codec_bench_destroy(&bench);
}

/* Flat bulk and a long tail of rare symbols: the longest codes come into use. */
Test(codec_roundtrip, longest_codes)
{
	struct codec_bench bench = codec_bench_create();
	uint64_t counts[CODEC_SYMBOLS];
	uint8_t src[CODEC_SYMBOLS];
	unsigned longest = 0;

	for (unsigned i = 0; i < CODEC_SYMBOLS; i++) {
		counts[i] = i < 4 ? 1000000000u : 1;
		src[i] = (uint8_t)(i * 77);
	}
	codec_design(counts, 16384, bench.planner, &bench.table);
	for (unsigned i = 0; i < CODEC_SYMBOLS; i++) {
		unsigned length = (bench.table.code[i] >> 4) + (bench.table.code[i] & 15u);
		longest = length > longest ? length : longest;
	}
	cr_assert_geq(longest, 10);
	cr_assert_leq(longest, CODEC_LENGTH_MAX);
	cr_assert_eq(codec_tree_build(bench.tree, &bench.table), CODEC_OK);
	check_all_kernels(&bench, src, sizeof(src));
	codec_bench_destroy(&bench);
}

Test(codec_roundtrip, any_complete_table)
{
	struct codec_bench bench = codec_bench_create();
	static uint8_t src[5000];

	for (uint32_t seed = 1; seed <= 300; seed++) {
		uint32_t random = seed;
		codec_random_table(&bench.table, seed);
		cr_assert_eq(codec_tree_build(bench.tree, &bench.table), CODEC_OK, "seed %u", seed);
		for (size_t i = 0; i < sizeof(src); i++) {
			do
				src[i] = (uint8_t)codec_random(&random);
			while (bench.table.code[src[i]] == CODEC_ABSENT);
		}
		check_all_kernels(&bench, src, 1 + codec_random(&random) % sizeof(src));
	}
	codec_bench_destroy(&bench);
}

/* Nothing is written past the bytes that the encoder says it needs, and one byte less is refused.
 */
Test(codec_roundtrip, encoder_keeps_to_its_capacity)
{
	struct codec_bench bench = codec_bench_create();
	static uint8_t src[3000];
	uint64_t counts[CODEC_SYMBOLS] = {0};
	size_t coded_size, again;

	codec_fill(SHAPE_GAUSSIAN, src, sizeof(src), 3);
	codec_histogram(src, sizeof(src), counts);
	codec_design(counts, 4096, bench.planner, &bench.table);
	cr_assert_eq(codec_tree_build(bench.tree, &bench.table), CODEC_OK);
	for (size_t size = 1; size <= sizeof(src); size += size < 100 ? 1 : 97) {
		struct guarded coded = guarded_create(2 * size);
		cr_assert_eq(codec_encode(bench.tree, src, size, coded.bytes, coded.size,
					  &coded_size, bench.scratch),
			     CODEC_OK);
		uint8_t *exact = coded.bytes + coded.size - coded_size;
		cr_assert_eq(
		    codec_encode(bench.tree, src, size, exact, coded_size, &again, bench.scratch),
		    CODEC_OK);
		cr_assert_eq(again, coded_size);
		cr_assert_eq(codec_encode(bench.tree, src, size, exact, coded_size - 1, &again,
					  bench.scratch),
			     CODEC_TOO_LARGE);
		guarded_destroy(&coded);
	}
	codec_bench_destroy(&bench);
}

Test(codec_roundtrip, a_symbol_without_a_code_is_refused)
{
	struct codec_bench bench = codec_bench_create();
	uint8_t src[3] = {5, 6, 7}, coded[64];
	uint64_t counts[CODEC_SYMBOLS] = {[5] = 10, [6] = 1};
	size_t coded_size;

	codec_design(counts, 4096, bench.planner, &bench.table);
	cr_assert_eq(codec_tree_build(bench.tree, &bench.table), CODEC_OK);
	cr_assert_eq(
	    codec_encode(bench.tree, src, 2, coded, sizeof(coded), &coded_size, bench.scratch),
	    CODEC_OK);
	cr_assert_eq(
	    codec_encode(bench.tree, src, 3, coded, sizeof(coded), &coded_size, bench.scratch),
	    CODEC_BAD_TABLE);
	codec_bench_destroy(&bench);
}

/* Else the checks of folds above could all be of folds that were not made. */
Test(codec_roundtrip, avx512_folds_all_groups_of_512)
{
	static uint8_t src[16384], coded[3 * sizeof(src) + CODEC_SLACK], dst[sizeof(src)];
	static const size_t sizes[] = {1, 511, 512, 513, 16383, 16384};
	struct codec_bench bench = codec_bench_create();
	uint64_t counts[CODEC_SYMBOLS] = {0};
	struct codec_fold fold;

	if (codec_use_kernel("avx512"))
		cr_skip_test("this CPU has no AVX-512 VBMI2 and VPCLMULQDQ");
	codec_fill(SHAPE_GAUSSIAN, src, sizeof(src), 1);
	codec_histogram(src, sizeof(src), counts);
	codec_design(counts, sizeof(src), bench.planner, &bench.table);
	cr_assert_eq(codec_tree_build(bench.tree, &bench.table), CODEC_OK);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t coded_size;
		cr_assert_eq(codec_encode(bench.tree, src, sizes[i], coded, sizeof(src) * 3,
					  &coded_size, bench.scratch),
			     CODEC_OK);
		cr_assert_eq(codec_decode(bench.tree, coded, coded_size, dst, sizes[i],
					  bench.scratch, &fold),
			     CODEC_OK);
		cr_assert_eq(fold.covered, sizes[i] / 512 * 512, "%zu bytes: %u", sizes[i],
			     fold.covered);
	}
	codec_bench_destroy(&bench);
}
