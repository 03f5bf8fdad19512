/* SPDX-License-Identifier: MIT */
/*
 * decode_template.h - the decoder around a kernel's inner loops; included once by each fast kernel.
 *
 * Decoding takes two walks over the tree. The first, in pre-order, gives every node its elements
 * and its bits: a bitmap's ones say how many elements go right. It does all the checking: when it
 * ends well, every node's bits lie within the block, every list within its parent's range, and the
 * second walk has nothing left to check. That one, in post-order, unpacks chunks and merges pairs
 * of lists, each node reading its children from one of scratch->lists and writing the other.
 *
 * The including file defines, as static inline functions, with WIDTH = bytes it stores at once, at
 * most CODEC_LIST_SLACK:
 *
 *   size_t count_ones(const uint8_t *coded, size_t position, size_t count)
 *       ones among the count bits from bit `position` on
 *   void unpack(uint8_t *out, const struct codec_tree *, const struct codec_node *,
 *               const uint8_t *coded, size_t position, size_t count, struct codec_fold *root)
 *       symbols of a chunk of width > 0
 *   void merge(uint8_t *out, const uint8_t *left, const uint8_t *right,
 *              const uint8_t *coded, size_t position, size_t count, struct codec_fold *root)
 *   void merge_left_constant(uint8_t *out, uint8_t left, const uint8_t *right, ...)
 *   void merge_right_constant(uint8_t *out, const uint8_t *left, uint8_t right, ...)
 *   void merge_constants(uint8_t *out, uint8_t left, uint8_t right, ...)
 *       one list from two, the bit of an element saying which (1: right)
 *
 * count is above 0. Without `root` they may write whole WIDTHs, hence fewer than WIDTH bytes past
 * out[count - 1]; and since bits past a node's own may make a last group run on in a list, they may
 * read up to CODEC_LIST_SLACK bytes past the end of left and right, and as many before their
 * beginning. Where a list is the first or last of its buffer, there are that many. They read the
 * coded bytes in words, up to CODEC_SLACK bytes past the one that holds the last bit. With `root`,
 * the block's fold, out[count - 1] is the block's last byte, and nothing past it is written. A
 * kernel that folds what it merges fills in *root; others leave it as it is, with nothing covered.
 *
 * Why no loop needs a bound of its own: before a group, the cursors of a merge have moved on by the
 * zeros and the ones of the groups before, all of them the node's own bits; and these are, in all,
 * as many as measure() counted to lay out the lists. So a cursor stands at its list's end at most,
 * whatever the bits of the group at hand, which is the only one that may not be the node's own.
 * And what is written past a node's list is part of the same buffer to the right of it: elements
 * that are not needed yet (codec/tree.h), or slack.
 */
#include "codec/kernels.h"

#include <string.h>

enum {
	PREFETCH_LINE = 64,
	PIECE = 512, /* bytes of a chunk to bring in before as many are worked on */
};

/*
 * First walk. False if the block is not what its size and the tree demand. No sum overflows: a node
 * has at most CODEC_BLOCK_MAX elements of 8 bits. Ones are counted only among bits of the block.
 */
static int measure(const struct codec_tree *tree, const uint8_t *coded, size_t coded_size,
		   size_t size, struct codec_extent *extents)
{
	const struct codec_node *nodes = tree->nodes;
	size_t end = coded_size * 8, position = 0;
	struct codec_extent extent = {.offset = 0, .count = (uint32_t)size};

	for (unsigned i = 0; i < tree->node_count; i++) {
		size_t bits = (size_t)extent.count * nodes[i].width;
		extent.position = (uint32_t)position;
		extents[i] = extent;
		if (bits > end - position)
			return 0;
		if (nodes[i].right != 0) {
			uint32_t ones = (uint32_t)count_ones(coded, position, extent.count);
			extent.count -= ones; /* the left child's, which is next */
			extents[nodes[i].right] = (struct codec_extent){
			    .offset = extent.offset + extent.count, .count = ones};
		} else {
			extent = extents[i + 1];
		}
		position += bits;
	}
	return codec_ends_well(coded, coded_size, position);
}

static inline int is_constant(const struct codec_node *node)
{
	return node->right == 0 && node->width == 0;
}

/*
 * Blocks mostly follow each other in memory, and what storage has put there is in no cache yet. So
 * each node, when it is made, has the same bits of the next block brought in: spread over the work
 * as the bits are, where a block at once would wait for the few lines that may be under way. Never
 * faults; what lies there may be anything.
 */
static inline void prefetch_next(const uint8_t *next, size_t position, size_t bits)
{
	const uint8_t *from = next + position / 8, *end = from + bits / 8;

	for (; from < end; from += PREFETCH_LINE)
		__builtin_prefetch(from, 0, 3);
}

/* Second walk, one chunk: piece by piece, since half of a block may be one chunk, and its own bits
 * would wait behind all that it has brought in. */
static inline void unpack_pieces(const struct codec_tree *tree, const struct codec_node *node,
				 const uint8_t *coded, const uint8_t *next,
				 const struct codec_extent *extent, uint8_t *out,
				 struct codec_fold *root)
{
	const size_t most = (size_t)PIECE / node->width * 8; /* elements: they end with a byte */
	for (size_t done = 0; done < extent->count; done += most) {
		size_t rest = extent->count - done, count = rest < most ? rest : most;
		size_t position = extent->position + done * node->width;
		prefetch_next(next, position, count * node->width);
		unpack(out + done, tree, node, coded, position, count, root);
	}
}

/* Second walk, one inner node. */
static inline void join(const struct codec_tree *tree, unsigned number, const uint8_t *coded,
			const struct codec_extent *extents, uint8_t *out, const uint8_t *lists,
			struct codec_fold *root)
{
	const struct codec_node *node = &tree->nodes[number];
	const struct codec_node *left = node + 1, *right = &tree->nodes[node->right];
	const uint8_t *left_list = lists + extents[number + 1].offset;
	const uint8_t *right_list = lists + extents[node->right].offset;
	uint8_t left_symbol = tree->symbols[left->first];
	uint8_t right_symbol = tree->symbols[right->first];
	size_t position = extents[number].position, count = extents[number].count;

	if (!is_constant(left) && !is_constant(right))
		merge(out, left_list, right_list, coded, position, count, root);
	else if (!is_constant(right))
		merge_left_constant(out, left_symbol, right_list, coded, position, count, root);
	else if (!is_constant(left))
		merge_right_constant(out, left_list, right_symbol, coded, position, count, root);
	else
		merge_constants(out, left_symbol, right_symbol, coded, position, count, root);
}

static enum codec_result decode(const struct codec_tree *tree, const uint8_t *coded,
				size_t coded_size, uint8_t *dst, size_t size,
				struct codec_scratch *scratch, struct codec_fold *fold)
{
	const struct codec_extent *extents = scratch->extents;
	const struct codec_node *nodes = tree->nodes;
	const uint8_t *next = coded + coded_size;

	if (!measure(tree, coded, coded_size, size, scratch->extents))
		return CODEC_CORRUPT;
	fold->covered = 0;
	for (unsigned i = 0; i + 1 < tree->node_count; i++) {
		unsigned number = tree->postorder[i];
		const struct codec_node *node = &nodes[number];
		struct codec_extent extent = extents[number];
		uint8_t *out = scratch->lists[node->depth & 1] + extent.offset;
		if (extent.count == 0)
			continue;
		if (node->right != 0) {
			prefetch_next(next, extent.position, extent.count);
			join(tree, number, coded, extents, out, scratch->lists[~node->depth & 1],
			     NULL);
		} else if (node->width != 0) {
			unpack_pieces(tree, node, coded, next, &extent, out, NULL);
		}
	}
	if (nodes[0].right != 0) {
		prefetch_next(next, 0, size);
		join(tree, 0, coded, extents, dst, scratch->lists[1], fold);
	} else if (nodes[0].width != 0) {
		unpack_pieces(tree, &nodes[0], coded, next, &extents[0], dst, fold);
	} else {
		memset(dst, tree->symbols[0], size);
	}
	return CODEC_OK;
}
