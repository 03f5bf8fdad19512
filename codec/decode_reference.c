/* SPDX-License-Identifier: MIT */
/*
 * decode_reference.c - the reference decoder: the format's rules, element by element, recursively.
 *
 * Every other kernel must give the same result for every input. Its structure is deliberately
 * another than theirs: one walk that checks, splits and merges.
 *
 * Bounds: no node is touched before its bits are known to lie within the block. Its elements are
 * out[0..count), those of its children other[0..count), cut in two by the ones that were counted,
 * so each merge reads exactly its lists and writes exactly its own. Both buffers have room for the
 * root's elements, hence for all. Bits are read by words of eight bytes, the first of which holds
 * a bit of the node.
 */
#include "codec/kernels.h"

#include <string.h>

struct decoder {
	const struct codec_tree *tree;
	const uint8_t *coded;
	size_t position; /* in bits */
	size_t end;      /* in bits */
};

enum { WORD_BITS = 56 }; /* what load_bits() gives at any position */

/* At least WORD_BITS bits from a position on: reads 8 bytes, within CODEC_SLACK of the last bit. */
static inline uint64_t load_bits(const uint8_t *coded, size_t position)
{
	uint64_t word = 0;

	for (unsigned i = 0; i < 8; i++)
		word |= (uint64_t)coded[position / 8 + i] << 8 * i;
	return word >> position % 8;
}

static inline size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static size_t count_ones(const uint8_t *coded, size_t position, size_t count)
{
	size_t ones = 0;

	for (size_t i = 0; i < count; i += WORD_BITS) {
		size_t bits = least(count - i, WORD_BITS);
		uint64_t word = load_bits(coded, position + i) & ((UINT64_C(1) << bits) - 1);
		word -= word >> 1 & 0x5555555555555555;
		word = (word & 0x3333333333333333) + (word >> 2 & 0x3333333333333333);
		word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0f;
		ones += word * 0x0101010101010101 >> 56;
	}
	return ones;
}

static void unpack(const struct decoder *decoder, const struct codec_node *node, size_t position,
		   uint8_t *out, size_t count)
{
	const uint8_t *symbols = decoder->tree->symbols + node->first;

	if (node->width == 0) {
		memset(out, symbols[0], count);
		return;
	}
	size_t group = WORD_BITS / node->width;
	for (size_t i = 0; i < count; i += group) {
		uint64_t word = load_bits(decoder->coded, position + i * node->width);
		for (size_t end = least(count - i, group), j = 0; j < end; j++) {
			out[i + j] = symbols[word & ((1u << node->width) - 1)];
			word >>= node->width;
		}
	}
}

/* Without a branch: the compiler selects a pointer. */
static void merge(const uint8_t *coded, size_t position, uint8_t *out, const uint8_t *left,
		  const uint8_t *right, size_t count)
{
	for (size_t i = 0; i < count; i += WORD_BITS) {
		uint64_t word = load_bits(coded, position + i);
		for (size_t end = least(count - i, WORD_BITS), j = 0; j < end; j++) {
			size_t bit = word & 1;
			const uint8_t *next = left;
			next = bit ? right : next;
			out[i + j] = *next;
			right += bit;
			left += bit ^ 1;
			word >>= 1;
		}
	}
}

/*
 * Decodes the count elements of node `number` to out; other[0..count) is for its children. False
 * if the block ends too early.
 */
static int decode_node(struct decoder *decoder, unsigned number, uint8_t *out, uint8_t *other,
		       size_t count)
{
	const struct codec_node *node = &decoder->tree->nodes[number];
	size_t position = decoder->position;
	uint8_t *left, *right;
	size_t ones;

	if (count * node->width > decoder->end - position)
		return 0;
	decoder->position += count * node->width;
	if (node->right == 0) {
		unpack(decoder, node, position, out, count);
		return 1;
	}
	ones = count_ones(decoder->coded, position, count);
	left = other;
	right = other + (count - ones);
	if (!decode_node(decoder, number + 1, left, out, count - ones) ||
	    !decode_node(decoder, node->right, right, out + (count - ones), ones))
		return 0;
	merge(decoder->coded, position, out, left, right, count);
	return 1;
}

static enum codec_result decode(const struct codec_tree *tree, const uint8_t *coded,
				size_t coded_size, uint8_t *dst, size_t size,
				struct codec_scratch *scratch, struct codec_fold *fold)
{
	struct decoder decoder = {.tree = tree, .coded = coded, .end = coded_size * 8};

	fold->covered = 0;
	if (!decode_node(&decoder, 0, dst, scratch->lists[1], size))
		return CODEC_CORRUPT;
	return codec_ends_well(coded, coded_size, decoder.position) ? CODEC_OK : CODEC_CORRUPT;
}

static int supported(void)
{
	return 1;
}

const struct codec_kernel codec_kernel_reference = {
    .name = "reference",
    .supported = supported,
    .decode = decode,
    .encode = codec_encode_reference,
    .dequant = &dequant_kernel_reference,
    .planes = &planes_kernel_reference,
    .ggml_blocks = &ggml_blocks_kernel_reference,
};
