/* SPDX-License-Identifier: MIT */
/*
 * decode.c - any table, any size, any coded bytes: all kernels give the same result without
 * touching memory outside their buffers, and a block that is accepted is the one that the encoder
 * writes.
 *
 * Input: 256 bytes of code table, 2 bytes of block size - 1, the coded bytes.
 */
#include "codec/codec.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void *allocate(size_t size)
{
	void *memory = aligned_alloc(64, (size + 63) / 64 * 64);

	if (!memory)
		abort();
	return memory;
}

/* Exactly this large, so that the address sanitizer sees the first byte beyond. */
static uint8_t *allocate_exactly(size_t size)
{
	uint8_t *memory = malloc(size);

	if (!memory)
		abort();
	return memory;
}

static enum codec_result decode_everywhere(const struct codec_tree *tree, const uint8_t *coded,
					   size_t coded_size, uint8_t *first, size_t size,
					   struct codec_scratch *scratch)
{
	enum codec_result expected =
	    codec_kernels[0]->decode(tree, coded, coded_size, first, size, scratch);
	uint8_t *dst = allocate_exactly(size);

	for (unsigned k = 1; codec_kernels[k]; k++) {
		if (!codec_kernels[k]->supported())
			continue;
		if (codec_kernels[k]->decode(tree, coded, coded_size, dst, size, scratch) !=
		    expected)
			abort();
		if (expected == CODEC_OK && memcmp(dst, first, size) != 0)
			abort();
	}
	free(dst);
	return expected;
}

static void check_encoder(const struct codec_tree *tree, const uint8_t *src, size_t size,
			  const uint8_t *coded, size_t coded_size, struct codec_scratch *scratch)
{
	uint8_t *again = allocate_exactly(coded_size + 1);
	size_t again_size;

	if (codec_encode(tree, src, size, again, coded_size, &again_size, scratch) != CODEC_OK ||
	    again_size != coded_size || memcmp(again, coded, coded_size) != 0)
		abort();
	free(again);
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
	size_t coded_size = size - sizeof(table) - 2;
	tree = allocate(codec_tree_size);
	if (codec_tree_build(tree, &table) != CODEC_OK) {
		free(tree);
		return 0;
	}
	scratch = allocate(codec_scratch_size);
	uint8_t *coded = allocate_exactly(coded_size + CODEC_SLACK);
	uint8_t *dst = allocate_exactly(block_size);
	memcpy(coded, data + sizeof(table) + 2, coded_size);
	memset(coded + coded_size, 0xff, CODEC_SLACK);
	if (decode_everywhere(tree, coded, coded_size, dst, block_size, scratch) == CODEC_OK)
		check_encoder(tree, dst, block_size, coded, coded_size, scratch);
	free(dst);
	free(coded);
	free(scratch);
	free(tree);
	return 0;
}
