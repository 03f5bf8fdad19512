/* SPDX-License-Identifier: MIT */
/*
 * tree.h - the code tree as the encoder and the kernels see it; private to codec/.
 *
 * Symbols are renumbered by RANK: their place when all chunks are laid side by side in canonical
 * order. A subtree then is a range of ranks, an inner node one comparison (rank >= split: right),
 * a flat index the distance from the chunk's first rank.
 */
#ifndef ENTROFS_CODEC_TREE_H
#define ENTROFS_CODEC_TREE_H

#include "codec/codec.h"

enum {
	CODEC_NODES_MAX = 2 * CODEC_SYMBOLS - 1,
	CODEC_LIST_SLACK =
	    64, /* bytes a kernel may write past the end of a list, or read past either */
};

/* What codec_design() weighs, in 1/256 bit; docs/design.md tells how the figures were found. */
enum {
	CODEC_PRICE_BIT = 256,  /* a stored bit */
	CODEC_PRICE_MERGE = 20, /* an element passing through a merge */
	CODEC_PRICE_CHUNK =
	    16 * CODEC_PRICE_BIT, /* a chunk, with the merge it adds, in each block */
};

/* The same as arguments, for tests at other prices: each below 2^16, and `bit` above 0. */
struct codec_prices {
	uint32_t bit, merge, chunk;
};

/* codec_design() at any prices. */
void codec_design_at(const struct codec_prices *prices, const uint64_t counts[CODEC_SYMBOLS],
		     size_t block_size, struct codec_planner *planner, struct codec_table *table);

/* Nodes lie in pre-order: the left child of an inner node follows it. */
struct codec_node {
	uint8_t depth;
	uint8_t
	    width; /* bits stored per element: 1 for an inner node, the flat index for a chunk */
	uint8_t first;  /* lowest rank below */
	uint8_t split;  /* inner: lowest rank of the right child */
	uint8_t runs;   /* chunk: runs of consecutive values its symbols are, 3 for more than 2 */
	uint8_t cut;    /* chunk: index that starts the second run; 0 if there is none */
	uint16_t right; /* inner: number of the right child; chunk: 0 */
};

struct codec_tree {
	_Alignas(64) uint8_t symbols[CODEC_SYMBOLS + CODEC_LIST_SLACK]; /* by rank; then zeros */
	uint8_t ranks[CODEC_SYMBOLS];                                   /* by symbol */
	uint8_t lengths[CODEC_SYMBOLS]; /* bits of a symbol's code, or CODEC_ABSENT */
	uint16_t symbol_count;          /* symbols present */
	uint16_t node_count;
	uint16_t postorder[CODEC_NODES_MAX]; /* node numbers, left to right, children first */
	struct codec_node nodes[CODEC_NODES_MAX];
};

/*
 * A node's elements, in two lists by parity of depth: the node at depth d with elements
 * [offset, offset + count) has them in lists[d & 1] at that offset, its children share the same
 * range of the other list. Going left to right, whatever lies to the right of a node's range in
 * its own list is not needed any more (encoder: its own children's) or not yet (decoder), so that
 * over-wide stores to the right do no harm in a decoder.
 */
struct codec_extent {
	uint32_t offset;
	uint32_t count;
	uint32_t position; /* of the node's first bit in the coded block */
};

struct codec_scratch {
	_Alignas(64) uint8_t before[CODEC_LIST_SLACK]; /* readable in front of the first list */
	uint8_t lists[2][CODEC_BLOCK_MAX + CODEC_LIST_SLACK];
	struct codec_extent extents[CODEC_NODES_MAX + 1]; /* by node; one more is read, not used */
};

#endif
