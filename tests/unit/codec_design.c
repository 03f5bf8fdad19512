/* SPDX-License-Identifier: MIT */
/* codec_design.c - designed tables are complete, within limits, small, and the same on every
 * machine; codec_optimal.c shows that none has a lower price. */
#include "tests/unit/codec_util.h"

#include <criterion/criterion.h>

static unsigned length_of(const struct codec_table *table, unsigned symbol)
{
	return (table->code[symbol] >> 4) + (table->code[symbol] & 15u);
}

/* Every table is accepted by codec_tree_build(), and has exactly the symbols that occur. */
Test(codec_design, complete_for_any_counts)
{
	struct codec_bench bench = codec_bench_create();
	uint32_t state = 99;

	for (unsigned round = 0; round < 60; round++) {
		uint64_t counts[CODEC_SYMBOLS] = {0};
		unsigned symbols = 1 + codec_random(&state) % 256;
		for (unsigned i = 0; i < symbols; i++)
			counts[codec_random(&state) % 256] =
			    1 + (codec_random(&state) >> codec_random(&state) % 32);
		codec_design(counts, 16384, bench.planner, &bench.table);
		cr_assert_eq(codec_tree_build(bench.tree, &bench.table), CODEC_OK);
		for (unsigned i = 0; i < CODEC_SYMBOLS; i++) {
			if (counts[i] == 0)
				cr_assert_eq(bench.table.code[i], CODEC_ABSENT);
			else
				cr_assert_leq(length_of(&bench.table, i), CODEC_LENGTH_MAX);
		}
	}
	codec_bench_destroy(&bench);
}

/* Counts near their limit of 2^48 in all are scaled, not overflown. */
Test(codec_design, huge_counts_give_the_code_of_their_ratio)
{
	struct codec_bench bench = codec_bench_create();
	uint64_t small[CODEC_SYMBOLS], huge[CODEC_SYMBOLS];
	struct codec_table expected;

	for (unsigned i = 0; i < CODEC_SYMBOLS; i++) {
		small[i] = 1 + i * i;
		huge[i] = small[i] << 24;
	}
	/* 2^24 more data in 2^24 more blocks: the same price per element. */
	codec_design(small, 256, bench.planner, &expected);
	codec_design(huge, 256, bench.planner, &bench.table);
	cr_assert_eq(memcmp(&expected, &bench.table, sizeof(expected)), 0);
	codec_bench_destroy(&bench);
}

Test(codec_design, equal_counts_are_stored_as_they_are)
{
	struct codec_bench bench = codec_bench_create();
	uint64_t counts[CODEC_SYMBOLS];

	for (unsigned i = 0; i < CODEC_SYMBOLS; i++)
		counts[i] = 1000;
	codec_design(counts, 16384, bench.planner, &bench.table);
	for (unsigned i = 0; i < CODEC_SYMBOLS; i++)
		cr_assert_eq(bench.table.code[i], 0x80);
	codec_bench_destroy(&bench);
}

/* Stored size over entropy, all of table and 8 bytes of index a block included. */
static double excess(enum codec_shape shape)
{
	enum { SIZE = 1 << 22 };
	struct codec_bench bench = codec_bench_create();
	uint8_t *src = codec_aligned(SIZE);
	uint64_t counts[CODEC_SYMBOLS] = {0};
	double entropy = 0, bits = 8 * (sizeof(bench.table) + 8.0 * SIZE / 16384);

	codec_fill(shape, src, SIZE, 1);
	codec_histogram(src, SIZE, counts);
	codec_design(counts, 16384, bench.planner, &bench.table);
	for (unsigned i = 0; i < CODEC_SYMBOLS; i++) {
		if (counts[i] == 0)
			continue;
		entropy -= (double)counts[i] * log2((double)counts[i] / SIZE);
		bits += (double)counts[i] * length_of(&bench.table, i);
	}
	free(src);
	codec_bench_destroy(&bench);
	return bits / entropy - 1;
}

Test(codec_design, close_to_entropy)
{
	cr_assert_lt(excess(SHAPE_GAUSSIAN), 0.010);
	cr_assert_lt(excess(SHAPE_NIBBLES), 0.035);
}

/* One table, bit for bit, wherever this runs: images must not depend on the machine. */
Test(codec_design, same_everywhere)
{
	struct codec_bench bench = codec_bench_create();
	uint64_t counts[CODEC_SYMBOLS];
	uint32_t hash = 2166136261u;

	for (unsigned round = 0; round < 4; round++) {
		for (unsigned i = 0; i < CODEC_SYMBOLS; i++) {
			uint64_t distance = i < 128 ? 128 - i : i - 128;
			uint64_t fourth = distance * distance * distance * distance;
			counts[i] = 1 + (UINT64_C(1) << 40) / (1 + (fourth >> round * 3));
		}
		codec_design(counts, 4096u << round, bench.planner, &bench.table);
		for (unsigned i = 0; i < CODEC_SYMBOLS; i++)
			hash = (hash ^ bench.table.code[i]) * 16777619u;
	}
	cr_assert_eq(hash, 0xb97e14ab, "0x%08x", hash);
	codec_bench_destroy(&bench);
}

Test(codec_design, histogram_counts_every_byte)
{
	uint8_t src[1000];
	uint64_t counts[CODEC_SYMBOLS] = {[3] = 7}, expected[CODEC_SYMBOLS] = {[3] = 7};

	codec_fill(SHAPE_FLAT, src, sizeof(src), 4);
	for (size_t size = 0; size < sizeof(src); size += 37) {
		codec_histogram(src, size, counts);
		for (size_t i = 0; i < size; i++)
			expected[src[i]]++;
		cr_assert_eq(memcmp(counts, expected, sizeof(counts)), 0, "%zu bytes", size);
	}
}
