/* SPDX-License-Identifier: MIT */
/*
 * decode.c - any table, any size, any coded bytes: all kernels give the same result without
 * touching memory outside their buffers, and a block that is accepted is the one that all encoders
 * write.
 *
 * Input: 256 bytes of code table, 2 bytes of block size - 1, the coded bytes.
 */
#include "tests/fuzz/codec_kernels.h"

static void check(const struct codec_tree *tree, const uint8_t *coded, size_t coded_size,
		  size_t size, struct codec_scratch *scratch)
{
	uint8_t *dst = allocate_exactly(size), *again;
	size_t again_size;

	if (decode_everywhere(tree, coded, coded_size, dst, size, scratch) == CODEC_OK) {
		again = encode_everywhere(tree, dst, size, &again_size, scratch);
		demand(again != NULL && again_size == coded_size);
		demand(coded_size == 0 || memcmp(again, coded, coded_size) == 0);
		free(again);
	}
	free(dst);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct codec_table table;
	struct codec_tree *tree;
	struct codec_scratch *scratch;

	if (size < sizeof(table) + 2)
		return 0;
	memcpy(&table, data, sizeof(table));
	size_t block_size = 1 + (size_t)(data[sizeof(table)] | data[sizeof(table) + 1] << 8);
	tree = codec_aligned(codec_tree_size);
	scratch = codec_aligned(codec_scratch_size);
	if (codec_tree_build(tree, &table) == CODEC_OK)
		check(tree, data + sizeof(table) + 2, size - sizeof(table) - 2, block_size,
		      scratch);
	free(scratch);
	free(tree);
	return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	return mutate_at(0, data, size, max_size, seed);
}
