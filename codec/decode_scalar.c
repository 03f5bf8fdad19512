/* SPDX-License-Identifier: MIT */
/*
 * decode_scalar.c - the reference decoder: the format's rules, element by element, recursively.
 *
 * Every other kernel must give the same result for every input. Its structure is deliberately
 * another than theirs: one walk that checks, splits and merges.
 */
#include "codec/kernels.h"

#include <string.h>

struct decoder {
	const struct codec_tree *tree;
	const uint8_t *coded;
	size_t position; /* in bits */
	size_t end;      /* in bits */
};

/* The width bits at a position, width <= 8. Bits past the block's end are never asked for. */
static inline unsigned bits_at(const uint8_t *coded, size_t position, unsigned width)
{
	unsigned pair = coded[position / 8] | (unsigned)coded[position / 8 + 1] << 8;

	return pair >> position % 8 & ((1u << width) - 1);
}

static inline unsigned bit_at(const uint8_t *coded, size_t position)
{
	return coded[position / 8] >> position % 8 & 1;
}

static void unpack(const struct decoder *decoder, const struct codec_node *node, size_t position,
		   uint8_t *out, size_t count)
{
	const uint8_t *symbols = decoder->tree->symbols + node->first;

	if (node->width == 0) {
		memset(out, symbols[0], count);
		return;
	}
	for (size_t i = 0; i < count; i++)
		out[i] = symbols[bits_at(decoder->coded, position + i * node->width, node->width)];
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
	size_t ones = 0;

	if (count * node->width > decoder->end - position)
		return 0;
	decoder->position += count * node->width;
	if (node->right == 0) {
		unpack(decoder, node, position, out, count);
		return 1;
	}
	for (size_t i = 0; i < count; i++)
		ones += bit_at(decoder->coded, position + i);
	left = other;
	right = other + (count - ones);
	if (!decode_node(decoder, number + 1, left, out, count - ones) ||
	    !decode_node(decoder, node->right, right, out + (count - ones), ones))
		return 0;
	for (size_t i = 0; i < count; i++) {
		unsigned bit = bit_at(decoder->coded, position + i);
		out[i] = *(bit ? right : left);
		right += bit;
		left += bit ^ 1;
	}
	return 1;
}

static enum codec_result decode(const struct codec_tree *tree, const uint8_t *coded,
				size_t coded_size, uint8_t *dst, size_t size,
				struct codec_scratch *scratch)
{
	struct decoder decoder = {.tree = tree, .coded = coded, .end = coded_size * 8};

	if (!decode_node(&decoder, 0, dst, scratch->lists[1], size))
		return CODEC_CORRUPT;
	return codec_ends_well(coded, coded_size, decoder.position) ? CODEC_OK : CODEC_CORRUPT;
}

static int supported(void)
{
	return 1;
}

const struct codec_kernel codec_kernel_scalar = {"scalar", supported, decode};
