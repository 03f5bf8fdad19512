/* SPDX-License-Identifier: MIT */
/*
 * encode_template.h - the encoder around a kernel's inner loops; included once by each fast kernel.
 *
 * Symbols become ranks, which costs a table lookup, and tells the length of all codes together:
 * the size is known, and checked, before anything is written. Then one walk over the tree, in
 * pre-order: an inner node writes a bit for each of its elements and splits them in two lists; a
 * chunk packs its flat indices. Nobody counts how many elements go where before they go.
 *
 * Where lists lie: a node owns two stretches as long as its list, one in each of scratch->lists:
 * one holds the list, the other is spare. A split moves the left elements to the front of the list
 * itself (they never overtake the elements yet to be read), the right ones to the front of the
 * spare stretch. The left child has the front of the list and, as spare, what the right elements
 * leave of the spare stretch. The right child has its list there and, as spare, the front of the
 * list's stretch, where nothing is needed any more once the left child is done. In this manner
 * whatever lies behind a node's two stretches, in either buffer, is either the buffer's slack or
 * not needed any more: true for the root, and handed down to both children. So a kernel may store
 * past the end of a list whatever it likes, within CODEC_LIST_SLACK.
 *
 * How much is written: every element adds a bit at each inner node on its path and its chunk's
 * width, together the length of its code. So the walk writes exactly the bits that were added up.
 *
 * The including file defines, as static inline functions:
 *
 *   uint64_t rank(const struct codec_tree *, const uint8_t *src, size_t size, uint8_t *list)
 *       the ranks of src[0..size) to list, and what it likes to the CODEC_LIST_SLACK bytes after
 *       them; gives the sum of their codes' lengths, or CODEC_NO_LENGTH if one of them has no code
 *   size_t split(uint8_t *list, size_t count, unsigned threshold, uint8_t *right, unsigned keep,
 *                struct bit_writer *)
 *       writes for each of count > 0 elements whether it is the threshold (from 1 on) or above,
 *       and gives their number; with keep & KEEP_RIGHT it moves these to `right`, with
 *       keep & KEEP_LEFT the others to `list`
 *   void pack(const uint8_t *list, size_t count, unsigned first, unsigned width,
 *             struct bit_writer *)
 *       writes by how much each of count > 0 elements is above `first`, in 0 < width < 8 bits
 *
 * split() takes up to CODEC_LIST_SLACK elements at a time, the last few as if they were as many. It
 * stores as many bytes as it took elements, at cursors that have moved on by no more than the
 * elements taken before. So in either stretch it stores up to where the elements taken end, counted
 * from the stretch's start: less than CODEC_LIST_SLACK past its end. split() and pack() may read
 * the list as far.
 */
#include "codec/bit_writer.h"
#include "codec/kernels.h"

#include <string.h>

/* An element that is alone in its chunk needs no place in a list: nothing is written for it. */
static inline unsigned keep_unless_constant(const struct codec_node *child, unsigned keep)
{
	return child->right == 0 && child->width == 0 ? 0 : keep;
}

/* Makes what to keep a constant in each copy of the loop. */
static size_t split_node(const struct codec_tree *tree, unsigned number, uint8_t *list,
			 size_t count, uint8_t *spare, struct bit_writer *writer)
{
	const struct codec_node *node = &tree->nodes[number];

	switch (keep_unless_constant(node + 1, KEEP_LEFT) |
		keep_unless_constant(&tree->nodes[node->right], KEEP_RIGHT)) {
	case 0:
		return split(list, count, node->split, spare, 0, writer);
	case KEEP_LEFT:
		return split(list, count, node->split, spare, KEEP_LEFT, writer);
	case KEEP_RIGHT:
		return split(list, count, node->split, spare, KEEP_RIGHT, writer);
	default:
		return split(list, count, node->split, spare, KEEP_LEFT | KEEP_RIGHT, writer);
	}
}

/* Recursion ends at CODEC_DEPTH_MAX. */
static void encode_node(const struct codec_tree *tree, unsigned number, uint8_t *list,
			uint8_t *spare, size_t count, struct bit_writer *writer)
{
	while (count > 0) {
		const struct codec_node *node = &tree->nodes[number];
		if (node->right == 0) {
			if (node->width == CODEC_BITS_MAX) { /* the root: the block as it is */
				memcpy(writer->next, list, count);
				writer->next += count;
			} else if (node->width > 0) {
				pack(list, count, node->first, node->width, writer);
			}
			return;
		}
		size_t ones = split_node(tree, number, list, count, spare, writer);
		encode_node(tree, number + 1, list, spare + ones, count - ones, writer);
		uint8_t *right = spare;
		spare = list;
		list = right;
		count = ones;
		number = node->right;
	}
}

static enum codec_result encode(const struct codec_tree *tree, const uint8_t *src, size_t size,
				uint8_t *dst, size_t capacity, size_t *coded_size,
				struct codec_scratch *scratch)
{
	uint64_t bits = rank(tree, src, size, scratch->lists[0]);

	if (bits == CODEC_NO_LENGTH)
		return CODEC_BAD_TABLE;
	*coded_size = (size_t)(bits + 7) / 8;
	if (*coded_size > capacity)
		return CODEC_TOO_LARGE;
	struct bit_writer writer = {.next = dst, .end = dst + *coded_size};
	encode_node(tree, 0, scratch->lists[0], scratch->lists[1], size, &writer);
	finish_bits(&writer);
	return CODEC_OK;
}
