/* SPDX-License-Identifier: MIT */
/*
 * roundtrip.c - any bytes, and a table of their own design or any other: the design is a complete
 * code for just these bytes, all encoders write the same, and all decoders give the bytes back.
 *
 * Input: 1 byte of flags; 256 bytes of code table if flag 1 is set; 2 bytes of block size - 1, of
 * which 10 bits count unless flag 2 is set (large blocks are slow); what the block repeats.
 */
#include "tests/fuzz/codec_kernels.h"

enum { GIVEN = 1, LARGE = 2 };

static void design(const uint8_t *src, size_t size, struct codec_table *table)
{
	static struct codec_planner *planner; /* megabytes: not anew for each input */
	uint64_t counts[CODEC_SYMBOLS] = {0};
	unsigned sum_4096ths = 0;

	if (!planner)
		planner = codec_aligned(codec_planner_size);
	codec_histogram(src, size, counts);
	codec_design(counts, size, planner, table);
	for (unsigned i = 0; i < CODEC_SYMBOLS; i++) {
		unsigned length = (table->code[i] >> 4) + (table->code[i] & 15u);
		demand((table->code[i] == CODEC_ABSENT) == (counts[i] == 0));
		if (counts[i] == 0)
			continue;
		demand(length <= CODEC_LENGTH_MAX);
		sum_4096ths += 4096u >> length;
	}
	demand(sum_4096ths == 4096);
}

static void check(const struct codec_tree *tree, const uint8_t *src, size_t size)
{
	struct codec_scratch *scratch = codec_aligned(codec_scratch_size);
	size_t coded_size;
	uint8_t *coded = encode_everywhere(tree, src, size, &coded_size, scratch);

	if (coded) {
		uint8_t *dst = allocate_exactly(size);
		demand(decode_everywhere(tree, coded, coded_size, dst, size, scratch) == CODEC_OK);
		demand(memcmp(dst, src, size) == 0);
		free(dst);
		free(coded);
	}
	free(scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct codec_table table;
	struct codec_tree *tree;
	int given = size > 0 && data[0] & GIVEN;
	size_t header = 3 + (given ? sizeof(table) : 0);

	if (size <= header)
		return 0;
	if (given)
		memcpy(&table, data + 1, sizeof(table));
	size_t limit = data[0] & LARGE ? CODEC_BLOCK_MAX : 1024;
	size_t block_size = 1 + (size_t)(data[header - 2] | data[header - 1] << 8) % limit;
	uint8_t *src = allocate_exactly(block_size);
	for (size_t i = 0; i < block_size; i++)
		src[i] = data[header + i % (size - header)];
	if (!given)
		design(src, block_size, &table);
	tree = codec_aligned(codec_tree_size);
	enum codec_result result = codec_tree_build(tree, &table);
	demand(given || result == CODEC_OK);
	if (result == CODEC_OK)
		check(tree, src, block_size);
	free(tree);
	free(src);
	return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	if (size > 0 && data[0] & GIVEN)
		return mutate_at(1, data, size, max_size, seed);
	return LLVMFuzzerMutate(data, size, max_size);
}
