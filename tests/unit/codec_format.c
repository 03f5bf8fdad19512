/* SPDX-License-Identifier: MIT */
/* codec_format.c - the bitstream is what docs/format.md says: a block built by hand, bit by bit,
 * and everything that a decoder must refuse. */
#include "tests/unit/codec_util.h"

#include <criterion/criterion.h>
#include <string.h>

/* The example of docs/format.md: chunks {A}, {B, C}, {D}. */
static const struct {
	uint8_t symbol, code;
} example[] = {
    {'A', 0x01}, /* depth 1, bits 0 */
    {'B', 0x12}, /* depth 2, bits 1 */
    {'C', 0x12}, /* depth 2, bits 1 */
    {'D', 0x02}, /* depth 2, bits 0 */
};

/*
 * ABADCAAB:
 *   root, A left:            A B A D C A A B   0 1 0 1 1 0 0 1   byte 0, from its lowest bit
 *   chunk {A}:               nothing
 *   inner, {B, C} left:      B D C B           0 1 0 0           byte 1, from its lowest bit
 *   chunk {B, C}:            B C B             0 1 0
 *   chunk {D}:               nothing
 *   left over                                  0
 */
static const uint8_t example_coded[] = {0x9a, 0x22};
static const char example_decoded[] = "ABADCAAB";

static struct codec_bench create_example(void)
{
	struct codec_bench bench = codec_bench_create();

	memset(bench.table.code, CODEC_ABSENT, sizeof(bench.table.code));
	for (unsigned i = 0; i < sizeof(example) / sizeof(example[0]); i++)
		bench.table.code[example[i].symbol] = example[i].code;
	cr_assert_eq(codec_tree_build(bench.tree, &bench.table), CODEC_OK);
	return bench;
}

/* Every kernel's result for these bytes, which must be one and the same. Input and output lie
 * between forbidden pages, at the end (or the start) of what may be touched. */
static enum codec_result decode_at(const struct codec_bench *bench, const uint8_t *coded,
				   size_t coded_size, uint8_t *dst, size_t size, int start)
{
	struct guarded copy = guarded_create_at(coded_size + CODEC_SLACK, start);
	struct guarded out = guarded_create_at(size, start);
	enum codec_result first = CODEC_OK;

	memset(copy.bytes, 0xff, copy.size);
	memcpy(copy.bytes, coded, coded_size);
	for (unsigned k = 0; codec_kernels[k]; k++) {
		if (!codec_kernels[k]->supported())
			continue;
		codec_scratch_fill(bench->scratch);
		struct codec_fold fold = {.size = UINT32_MAX, .covered = UINT32_MAX};
		enum codec_result result = codec_kernels[k]->decode(
		    bench->tree, copy.bytes, coded_size, out.bytes, size, bench->scratch, &fold);
		cr_assert(result != CODEC_OK || codec_fold_is_right(&fold, out.bytes, size), "%s",
			  codec_kernels[k]->name);
		cr_assert(codec_scratch_kept(bench->scratch, size), "%s", codec_kernels[k]->name);
		if (k == 0) {
			first = result;
			memcpy(dst, out.bytes, size);
			continue;
		}
		cr_assert_eq(result, first, "%s: %d", codec_kernels[k]->name, result);
		if (result == CODEC_OK)
			cr_assert_eq(memcmp(out.bytes, dst, size), 0, "%s", codec_kernels[k]->name);
	}
	guarded_destroy(&copy);
	guarded_destroy(&out);
	return first;
}

static enum codec_result decode_everywhere(const struct codec_bench *bench, const uint8_t *coded,
					   size_t coded_size, uint8_t *dst, size_t size)
{
	enum codec_result result = decode_at(bench, coded, coded_size, dst, size, 0);

	cr_assert_eq(decode_at(bench, coded, coded_size, dst, size, 1), result);
	return result;
}

Test(codec_format, example_decodes)
{
	struct codec_bench bench = create_example();
	uint8_t out[8];

	cr_assert_eq(decode_everywhere(&bench, example_coded, 2, out, 8), CODEC_OK);
	cr_assert_eq(memcmp(out, example_decoded, 8), 0);
	codec_bench_destroy(&bench);
}

Test(codec_format, example_encodes)
{
	struct codec_bench bench = create_example();
	uint8_t coded[2];
	size_t coded_size;

	cr_assert_eq(codec_encode(bench.tree, (const uint8_t *)example_decoded, 8, coded, 2,
				  &coded_size, bench.scratch),
		     CODEC_OK);
	cr_assert_eq(coded_size, 2);
	cr_assert_eq(memcmp(coded, example_coded, 2), 0);
	codec_bench_destroy(&bench);
}

Test(codec_format, too_short_too_long_and_padding_are_refused)
{
	struct codec_bench bench = create_example();
	const uint8_t with_one_more[] = {0x9a, 0x22, 0x00};
	const uint8_t with_padding[] = {0x9a, 0xa2};
	uint8_t out[16];

	cr_assert_eq(decode_everywhere(&bench, example_coded, 1, out, 8), CODEC_CORRUPT);
	cr_assert_eq(decode_everywhere(&bench, example_coded, 0, out, 8), CODEC_CORRUPT);
	cr_assert_eq(decode_everywhere(&bench, with_one_more, 3, out, 8), CODEC_CORRUPT);
	cr_assert_eq(decode_everywhere(&bench, with_padding, 2, out, 8), CODEC_CORRUPT);
	cr_assert_eq(decode_everywhere(&bench, example_coded, 2, out, 16), CODEC_CORRUPT);
	codec_bench_destroy(&bench);
}

/* A table of one symbol: blocks take no bytes at all, and may not have any. */
Test(codec_format, one_symbol_takes_no_bytes)
{
	struct codec_bench bench = codec_bench_create();
	uint8_t out[100], nothing[1] = {0};

	memset(bench.table.code, CODEC_ABSENT, sizeof(bench.table.code));
	bench.table.code[7] = 0x00;
	cr_assert_eq(codec_tree_build(bench.tree, &bench.table), CODEC_OK);
	cr_assert_eq(decode_everywhere(&bench, nothing, 0, out, 100), CODEC_OK);
	for (unsigned i = 0; i < 100; i++)
		cr_assert_eq(out[i], 7);
	cr_assert_eq(decode_everywhere(&bench, nothing, 1, out, 100), CODEC_CORRUPT);
	codec_bench_destroy(&bench);
}

/* All symbols alike: a block is its own code. */
Test(codec_format, all_symbols_alike_are_stored_as_they_are)
{
	struct codec_bench bench = codec_bench_create();
	uint8_t raw[300], out[300];

	memset(bench.table.code, 0x80, sizeof(bench.table.code));
	cr_assert_eq(codec_tree_build(bench.tree, &bench.table), CODEC_OK);
	codec_fill(SHAPE_FLAT, raw, sizeof(raw), 1);
	cr_assert_eq(decode_everywhere(&bench, raw, 300, out, 300), CODEC_OK);
	cr_assert_eq(memcmp(raw, out, 300), 0);
	codec_bench_destroy(&bench);
}

struct bad_table {
	const char *what;
	struct {
		unsigned count, code;
	} parts[4]; /* the next count symbols have this code */
};

Test(codec_format, bad_tables_are_refused)
{
	static const struct bad_table tables[] = {
	    {"no symbol", {{0, 0}}},
	    {"one of two leaves missing", {{1, 0x01}}},
	    {"a leaf too many", {{3, 0x01}}},
	    {"deepest leaf missing", {{1, 0x01}, {1, 0x02}}},
	    {"two symbols at the root", {{2, 0x00}}},
	    {"root and leaf", {{1, 0x00}, {1, 0x01}}},
	    {"half a chunk", {{1, 0x11}, {1, 0x01}}},
	    {"a chunk and a half", {{3, 0x11}}},
	    {"bits 9", {{256, 0x90}}},
	    {"bits 15, not 0xff", {{256, 0xf0}}},
	    {"too few for 8 bits", {{255, 0x80}}},
	    {"sum above 1 by the last bit", {{1, 0x01}, {1, 0x02}, {1, 0x03}, {5, 0x0f}}},
	};
	struct codec_bench bench = codec_bench_create();

	for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++) {
		unsigned symbol = 0;
		memset(bench.table.code, CODEC_ABSENT, sizeof(bench.table.code));
		for (unsigned p = 0; p < 4; p++)
			for (unsigned i = 0; i < tables[t].parts[p].count; i++)
				bench.table.code[symbol++] = (uint8_t)tables[t].parts[p].code;
		cr_assert_eq(codec_tree_build(bench.tree, &bench.table), CODEC_BAD_TABLE, "%s",
			     tables[t].what);
	}
	codec_bench_destroy(&bench);
}

/* The deepest possible tree: one leaf at each depth, two at the last. */
Test(codec_format, deepest_tree)
{
	struct codec_bench bench = codec_bench_create();
	static const uint8_t src[] = {15, 0, 3, 3, 14, 13, 1, 0, 0, 15, 7, 8, 9};
	uint8_t coded[64], out[sizeof(src)];
	size_t coded_size;

	codec_deepest_table(&bench.table);
	cr_assert_eq(codec_tree_build(bench.tree, &bench.table), CODEC_OK);
	cr_assert_eq(codec_encode(bench.tree, src, sizeof(src), coded, sizeof(coded), &coded_size,
				  bench.scratch),
		     CODEC_OK);
	cr_assert_eq(decode_everywhere(&bench, coded, coded_size, out, sizeof(src)), CODEC_OK);
	cr_assert_eq(memcmp(src, out, sizeof(src)), 0);
	codec_bench_destroy(&bench);
}

/* A table of equal code lengths in many chunks: any bytes are a block, so merging is tested on
 * bitmaps that no encoder would choose. */
static void random_equal_lengths(struct codec_table *table, uint32_t seed)
{
	uint32_t state = seed * 2654435761u + 1;
	unsigned symbol = 0;

	/* Splits of 256 symbols at random: a part of 2^(8 - depth) becomes a chunk at that depth.
	 */
	while (symbol < CODEC_SYMBOLS) {
		unsigned bits = codec_random(&state) % 7;
		while (symbol % (1u << bits) != 0)
			bits--;
		for (unsigned end = symbol + (1u << bits); symbol < end; symbol++)
			table->code[symbol] = (uint8_t)(bits << 4 | (8 - bits));
	}
}

Test(codec_format, kernels_agree_on_random_blocks)
{
	struct codec_bench bench = codec_bench_create();
	static uint8_t coded[2048], out[2048];

	for (uint32_t seed = 1; seed <= 500; seed++) {
		uint32_t random = seed * 2654435761u + 1;
		size_t size = 1 + codec_random(&random) % sizeof(coded);
		random_equal_lengths(&bench.table, seed);
		cr_assert_eq(codec_tree_build(bench.tree, &bench.table), CODEC_OK);
		for (size_t i = 0; i < size; i++)
			coded[i] = (uint8_t)codec_random(&random);
		cr_assert_eq(decode_everywhere(&bench, coded, size, out, size), CODEC_OK);
		cr_assert_eq(decode_everywhere(&bench, coded, size - 1, out, size), CODEC_CORRUPT);
	}
	codec_bench_destroy(&bench);
}

/* Blocks with flipped bits, cut or run on: whatever one kernel says, all say. */
Test(codec_format, kernels_agree_on_damaged_blocks)
{
	struct codec_bench bench = codec_bench_create();
	static uint8_t src[2048], coded[8192], out[2048];
	unsigned accepted = 0, refused = 0;

	for (uint32_t seed = 1; seed <= 1000; seed++) {
		uint32_t random = seed * 2654435761u + 1;
		size_t size = 1 + codec_random(&random) % sizeof(src), coded_size;
		codec_random_table(&bench.table, seed);
		cr_assert_eq(codec_tree_build(bench.tree, &bench.table), CODEC_OK);
		for (size_t i = 0; i < size; i++) {
			do
				src[i] = (uint8_t)codec_random(&random);
			while (bench.table.code[src[i]] == CODEC_ABSENT);
		}
		cr_assert_eq(codec_encode(bench.tree, src, size, coded, sizeof(coded), &coded_size,
					  bench.scratch),
			     CODEC_OK);
		for (unsigned n = codec_random(&random) % 4; n > 0 && coded_size > 0; n--)
			coded[codec_random(&random) % coded_size] ^=
			    (uint8_t)(1u << codec_random(&random) % 8);
		if (seed % 8 == 0 && coded_size > 0)
			coded_size -= 1 + codec_random(&random) % coded_size;
		if (seed % 8 == 1)
			coded_size += codec_random(&random) % 100;
		if (decode_everywhere(&bench, coded, coded_size, out, size) == CODEC_OK)
			accepted++;
		else
			refused++;
	}
	cr_assert_gt(accepted, 100);
	cr_assert_gt(refused, 100);
	codec_bench_destroy(&bench);
}

/* Bits flipped anywhere, blocks cut anywhere, of the largest size. */
static void damage(enum codec_shape shape)
{
	static uint8_t src[CODEC_BLOCK_MAX], coded[CODEC_BLOCK_MAX + 8], out[CODEC_BLOCK_MAX];
	struct codec_bench bench = codec_bench_create();
	uint64_t counts[CODEC_SYMBOLS] = {0};
	uint32_t random = 1 + (uint32_t)shape;
	size_t size;

	codec_fill(shape, src, sizeof(src), 5);
	codec_histogram(src, sizeof(src), counts);
	codec_design(counts, 16384, bench.planner, &bench.table);
	cr_assert_eq(codec_tree_build(bench.tree, &bench.table), CODEC_OK);
	cr_assert_eq(
	    codec_encode(bench.tree, src, sizeof(src), coded, sizeof(coded), &size, bench.scratch),
	    CODEC_OK);
	for (unsigned round = 0; round < 40; round++) {
		size_t at = codec_random(&random) % size, cut = codec_random(&random) % size;
		uint8_t bit = (uint8_t)(1u << codec_random(&random) % 8);
		coded[at] ^= bit;
		decode_everywhere(&bench, coded, size, out, sizeof(out));
		decode_everywhere(&bench, coded, cut, out, sizeof(out));
		coded[at] ^= bit;
	}
	cr_assert_eq(decode_everywhere(&bench, coded, size, out, sizeof(out)), CODEC_OK);
	cr_assert_eq(memcmp(out, src, sizeof(out)), 0);
	codec_bench_destroy(&bench);
}

Test(codec_format, kernels_agree_on_damage_to_large_blocks)
{
	damage(SHAPE_TWO);
	damage(SHAPE_FLAT);
	damage(SHAPE_FIBONACCI);
	damage(SHAPE_GAUSSIAN);
	damage(SHAPE_NIBBLES);
}

/* The best supported kernel is the default; any supported one can be asked for by name. */
Test(codec_format, kernels_are_chosen_by_name)
{
	const struct codec_kernel *best = NULL;

	for (unsigned k = 0; codec_kernels[k]; k++)
		if (codec_kernels[k]->supported())
			best = codec_kernels[k];
	cr_assert_eq(codec_kernel_in_use(), best);
	for (unsigned k = 0; codec_kernels[k]; k++) {
		int supported = codec_kernels[k]->supported();
		cr_assert_eq(codec_use_kernel(codec_kernels[k]->name), supported ? 0 : -1);
		if (supported)
			cr_assert_eq(codec_kernel_in_use(), codec_kernels[k]);
	}
	best = codec_kernel_in_use();
	cr_assert_eq(codec_use_kernel("scala"), -1);
	cr_assert_eq(codec_use_kernel("scalars"), -1);
	cr_assert_eq(codec_use_kernel(""), -1);
	cr_assert_eq(codec_kernel_in_use(), best);
}
