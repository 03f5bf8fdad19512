/* SPDX-License-Identifier: MIT */
/*
 * mkfs_tables.c - several code tables where they pay, one or none where they do not, and never a
 * larger stream for it.
 */
#include "mkfs/tables.h"
#include "tests/unit/codec_util.h"

#include <criterion/criterion.h>
#include <stdio.h>

enum {
	BLOCK = 4096,
	BLOCKS = 300,
	TABLE_SIZE = 256, /* what an uncompressed table takes: more than any compressed one */
};

static struct tables *tables;
static uint8_t *data;
static struct codec_bench bench;

static void start(void)
{
	tables = tables_create(BLOCK);
	data = calloc(TABLES_SAMPLE * 3, BLOCK);
	bench = codec_bench_create();
	cr_assert(tables && data);
}

static void stop(void)
{
	tables_destroy(tables);
	codec_bench_destroy(&bench);
	free(data);
}

TestSuite(mkfs_tables, .init = start, .fini = stop);

static void fill_gaussian(uint8_t *out, size_t size, double mean, double deviation, uint32_t seed)
{
	uint32_t state = seed * 2654435761u + 1;

	for (size_t i = 0; i < size; i++)
		out[i] = (uint8_t)codec_clamp(
		    rint(mean + deviation * codec_random_gaussian(&state)), 255);
}

static void fill_noise(uint8_t *out, size_t size, uint32_t seed)
{
	codec_fill(SHAPE_FLAT, out, size, seed);
}

static uint8_t *block(size_t number)
{
	return data + number * BLOCK;
}

/* Has the tables for data[0..size) chosen; notes the blocks forwards, or from the last to the
 * first.
 */
static void choose(size_t size, unsigned most, int backwards)
{
	size_t blocks = (size + BLOCK - 1) / BLOCK;
	uint64_t sums[CODEC_SYMBOLS] = {0};

	tables_begin(tables, blocks, most);
	for (size_t i = 0; i < blocks; i++) {
		size_t number = backwards ? blocks - 1 - i : i, at = number * BLOCK;
		size_t length = size - at < BLOCK ? size - at : BLOCK;
		uint64_t counts[CODEC_SYMBOLS] = {0};
		codec_histogram(data + at, length, counts);
		if (counts[data[at]] == length)
			continue;
		for (unsigned s = 0; s < CODEC_SYMBOLS; s++)
			sums[s] += counts[s];
		tables_note(tables, number, counts);
	}
	tables_choose(tables, sums);
}

/* The size of a block as the image's writer encodes it with this table; checks that it decodes. */
static size_t encoded_size(const uint8_t *raw, size_t size, unsigned table)
{
	static uint8_t coded[2 * BLOCK + CODEC_SLACK], decoded[BLOCK];
	const struct codec_tree *tree = tables_tree(tables, table);
	struct codec_fold fold;
	size_t stored = size;

	if (memcmp(raw, raw + 1, size - 1) == 0)
		return 0;
	if (!tree || codec_encode(tree, raw, size, coded, size - 1, &stored, bench.scratch))
		return size;
	cr_assert_eq(codec_decode(tree, coded, stored, decoded, size, bench.scratch, &fold),
		     CODEC_OK);
	cr_assert_arr_eq(decoded, raw, size);
	return stored;
}

/*
 * The stored size of data[0..size) with the chosen tables, without them. Each block's table must be
 * the one that makes it smallest.
 */
static size_t stored_size(size_t size)
{
	size_t total = 0;

	for (size_t at = 0; at < size; at += BLOCK) {
		size_t length = size - at < BLOCK ? size - at : BLOCK;
		unsigned table = tables_pick(tables, at / BLOCK, data + at, length);
		size_t stored = encoded_size(data + at, length, table);
		cr_assert(table == 0 || table < tables_count(tables));
		for (unsigned i = 0; i < tables_count(tables); i++)
			cr_assert_leq(stored, encoded_size(data + at, length, i));
		total += stored;
	}
	return total;
}

/* That many tables are chosen for data[0..size), and they bring at least what they cost. */
static void assert_chosen(size_t size, unsigned count)
{
	choose(size, 1, 0);
	cr_assert_leq(tables_count(tables), 1);
	size_t one = stored_size(size);
	choose(size, TABLES_MAX, 0);
	cr_assert_eq(tables_count(tables), count, "%u tables instead of %u", tables_count(tables),
		     count);
	size_t several = stored_size(size);
	cr_assert_leq(several + (count > 1 ? (count - 1) * TABLE_SIZE : 0), one);
}

Test(mkfs_tables, each_kind_of_block_gets_its_table)
{
	static const double deviations[] = {6, 10, 16};
	uint32_t state = 3;

	for (unsigned kinds = 1; kinds <= 3; kinds++) {
		uint8_t kind[BLOCKS];
		for (unsigned i = 0; i < BLOCKS; i++) {
			kind[i] = (uint8_t)(codec_random(&state) % kinds);
			fill_gaussian(block(i), BLOCK, 128, deviations[kind[i]], i + 1);
		}
		assert_chosen((size_t)BLOCKS * BLOCK, kinds);
		for (unsigned i = 0; i < BLOCKS; i++)
			for (unsigned j = 0; j < i; j++)
				cr_assert_eq(tables_pick(tables, i, block(i), BLOCK) ==
						 tables_pick(tables, j, block(j), BLOCK),
					     kind[i] == kind[j]);
	}
}

/* Together all bytes are equally frequent, so that one table is worth nothing. */
Test(mkfs_tables, tables_that_only_pay_together)
{
	for (unsigned i = 0; i < BLOCKS; i++) {
		fill_noise(block(i), BLOCK, i);
		for (unsigned n = 0; n < BLOCK; n++)
			block(i)[n] = (uint8_t)((block(i)[n] & 127) + 128 * (i % 3 == 0));
	}
	for (unsigned i = 1; i < BLOCKS; i += 6)
		for (unsigned n = 0; n < BLOCK; n++)
			block(i)[n] |= 128;
	choose((size_t)BLOCKS * BLOCK, 1, 0);
	cr_assert_eq(tables_count(tables), 0);
	assert_chosen((size_t)BLOCKS * BLOCK, 2);
	cr_assert_leq(stored_size((size_t)BLOCKS * BLOCK), (size_t)BLOCKS * BLOCK / 8 * 7);
}

/* Blocks stored raw need no table, and do not spoil that of the others. */
Test(mkfs_tables, noise_gets_no_table)
{
	for (unsigned i = 0; i < BLOCKS; i++) {
		if (i % 2)
			fill_noise(block(i), BLOCK, i);
		else
			fill_gaussian(block(i), BLOCK, 128, 10, i + 1);
	}
	choose((size_t)BLOCKS * BLOCK, TABLES_MAX, 0);
	cr_assert_eq(tables_count(tables), 1);
	size_t mixed = stored_size((size_t)BLOCKS * BLOCK) - (size_t)BLOCKS / 2 * BLOCK;
	for (unsigned i = 0; i < BLOCKS / 2; i++)
		memmove(block(i), block(2 * i), BLOCK);
	choose((size_t)BLOCKS / 2 * BLOCK, 1, 0);
	cr_assert_eq(mixed, stored_size((size_t)BLOCKS / 2 * BLOCK));
}

Test(mkfs_tables, edges)
{
	choose(0, TABLES_MAX, 0);
	cr_assert_eq(tables_count(tables), 0);

	for (unsigned i = 0; i < BLOCKS; i++)
		fill_gaussian(block(i), BLOCK, i, 3, i + 1);
	choose((size_t)BLOCKS * BLOCK, TABLES_MAX, 0);
	cr_assert_gt(tables_count(tables), 1);
	memset(data, 7, (size_t)BLOCKS * BLOCK);
	choose((size_t)BLOCKS * BLOCK, TABLES_MAX, 0);
	cr_assert_eq(tables_count(tables), 0, "constant blocks");
	cr_assert_eq(stored_size((size_t)BLOCKS * BLOCK), 0);

	fill_noise(data, (size_t)BLOCKS * BLOCK, 1);
	choose((size_t)BLOCKS * BLOCK, TABLES_MAX, 0);
	cr_assert_eq(tables_count(tables), 0, "noise");

	static const size_t sizes[] = {1, 2, 100, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 77};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		fill_gaussian(data, sizes[i], 128, 3, 5);
		choose(sizes[i], 1, 0);
		assert_chosen(sizes[i], tables_count(tables));
	}

	fill_gaussian(data, 2 * BLOCK, 128, 3, 5);
	fill_gaussian(block(2), 77, 30, 3, 6);
	assert_chosen(2 * BLOCK + 77, 1);
	fill_gaussian(block(2), BLOCK, 30, 3, 6);
	assert_chosen(3 * BLOCK, 2);
}

/* Rows whose scales spread, outliers, constant blocks, kinds beyond number: never larger. */
Test(mkfs_tables, nothing_gets_larger)
{
	uint32_t state = 17;

	for (unsigned round = 0; round < 12; round++) {
		size_t size = (size_t)BLOCKS * BLOCK - codec_random(&state) % BLOCK;
		size_t row = 100 + codec_random(&state) % 3000;
		double sigma = 0.1 * round;
		for (size_t at = 0; at < size; at += row) {
			double scale = exp(sigma * codec_random_gaussian(&state));
			size_t length = size - at < row ? size - at : row;
			if (codec_random(&state) % 40 == 0)
				memset(data + at, 128, length);
			else
				fill_gaussian(data + at, length, 128, 6 * scale,
					      codec_random(&state));
		}
		choose(size, 1, 0);
		size_t one = stored_size(size) + tables_count(tables) * TABLE_SIZE;
		choose(size, 8, 0);
		cr_assert_leq(tables_count(tables), 8);
		size_t several = stored_size(size) + tables_count(tables) * TABLE_SIZE;
		cr_assert_leq(several, one);
		if (sigma > 0.5)
			cr_assert_lt(several, one);
	}
}

/* In whatever order threads are done with blocks, and whatever stream came before. */
Test(mkfs_tables, choice_depends_on_the_bytes_alone)
{
	static const unsigned counts[] = {BLOCKS, 2 * TABLES_SAMPLE + 5};

	for (unsigned i = 0; i < counts[1]; i++)
		fill_gaussian(block(i), BLOCK, 128, 4 + i * 7 % 12, i + 1);
	for (unsigned c = 0; c < 2; c++) {
		size_t size = (size_t)counts[c] * BLOCK;
		struct codec_table list[TABLES_MAX];
		choose(size, TABLES_MAX, 0);
		unsigned count = tables_count(tables);
		cr_assert_gt(count, 3);
		memcpy(list, tables_list(tables), count * sizeof(list[0]));
		choose((size_t)BLOCKS / 2 * BLOCK + 1, 3, 0);
		choose(size, TABLES_MAX, 1);
		cr_assert_eq(tables_count(tables), count);
		cr_assert_arr_eq(list, tables_list(tables), count * sizeof(list[0]));
	}
}

/* Of a long stream not all blocks are looked at: what the others hold can be coded all the same. */
Test(mkfs_tables, long_streams_are_sampled)
{
	enum { LONG = TABLES_SAMPLE * 5 / 2 };
	size_t size = (size_t)LONG * BLOCK - 1000;
	uint32_t state = 11;

	for (unsigned i = 0; i < LONG; i++) {
		fill_gaussian(block(i), BLOCK, 128, codec_random(&state) % 2 ? 6 : 12, i + 1);
		if (codec_random(&state) % 10 == 0)
			block(i)[codec_random(&state) % BLOCK] = (uint8_t)codec_random(&state);
	}
	memset(block(40), 128, (size_t)64 * BLOCK);
	choose(size, 1, 0);
	cr_assert_eq(tables_count(tables), 1);
	size_t one = stored_size(size);
	struct codec_table whole = tables_list(tables)[0];
	choose(size, 8, 0);
	cr_assert_eq(tables_count(tables), 3); /* of two kinds, and of all */
	cr_assert_arr_eq(&whole, tables_list(tables), sizeof(whole));
	/* 6 and 12 differ from 9 by 0.1 bits of some 5. */
	size_t several = stored_size(size);
	cr_assert_leq(several, one - one / 100);
	printf("inputs: %d blocks of %d bytes: %zu bytes with one table, %zu with three\n", LONG,
	       BLOCK, one, several);
}
