/* SPDX-License-Identifier: MIT */
/*
 * encode_reference.c - the reference encoder: the format's rules, element by element, recursively.
 *
 * Every other kernel must give the same result for every input. It is made to be checked by
 * reading: bits go to the place where they belong, and lists are copied, not moved.
 */
#include "codec/kernels.h"

#include <string.h>

struct encoder {
	const struct codec_tree *tree;
	uint8_t *dst;
	size_t position; /* in bits */
};

/* Up to eight bits. Zeros have been written already. */
static void put(struct encoder *encoder, unsigned value, unsigned bits)
{
	uint8_t *byte = encoder->dst + encoder->position / 8;
	unsigned shifted = value << encoder->position % 8;

	if (shifted & 0xff)
		byte[0] |= (uint8_t)shifted;
	if (shifted >> 8)
		byte[1] |= (uint8_t)(shifted >> 8);
	encoder->position += bits;
}

/* Encodes the elements list[0..count) below node `number`; other[0..count) is for its children. */
static void encode_node(struct encoder *encoder, unsigned number, uint8_t *list, uint8_t *other,
			size_t count)
{
	const struct codec_node *node = &encoder->tree->nodes[number];
	size_t left = 0, right;

	if (node->right == 0) {
		for (size_t i = 0; i < count; i++)
			put(encoder, list[i] - node->first, node->width);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		put(encoder, list[i] >= node->split, 1);
		if (list[i] < node->split)
			other[left++] = list[i];
	}
	right = left;
	for (size_t i = 0; i < count; i++)
		if (list[i] >= node->split)
			other[right++] = list[i];
	/* The list has been copied: it is for the children's children. */
	encode_node(encoder, number + 1, other, list, left);
	encode_node(encoder, node->right, other + left, list + left, right - left);
}

enum codec_result codec_encode_reference(const struct codec_tree *tree, const uint8_t *src,
					 size_t size, uint8_t *dst, size_t capacity,
					 size_t *coded_size, struct codec_scratch *scratch)
{
	struct encoder encoder = {.tree = tree, .dst = dst};
	size_t bits = 0;

	for (size_t i = 0; i < size; i++) {
		if (tree->lengths[src[i]] == CODEC_ABSENT)
			return CODEC_BAD_TABLE;
		bits += tree->lengths[src[i]];
		scratch->lists[0][i] = tree->ranks[src[i]];
	}
	*coded_size = (bits + 7) / 8;
	if (*coded_size > capacity)
		return CODEC_TOO_LARGE;
	memset(dst, 0, *coded_size);
	encode_node(&encoder, 0, scratch->lists[0], scratch->lists[1], size);
	return CODEC_OK;
}
