/* SPDX-License-Identifier: MIT */
/*
 * tree.c - from a stored code table to a code tree, refusing whatever is not a complete code.
 *
 * Chunks are taken by depth ascending, then bits descending, then symbols ascending; with Kraft's
 * sum exactly 1 this sequence of depths determines the tree.
 */
#include "codec/tree.h"

#include <assert.h>
#include <string.h>

const size_t codec_tree_size = sizeof(struct codec_tree);
const size_t codec_scratch_size = sizeof(struct codec_scratch);

static_assert((CODEC_ABSENT >> 4) > CODEC_BITS_MAX, "no chunk's code reads as an absent symbol");

struct chunk {
	uint8_t depth, bits, first;
};

struct builder {
	struct codec_tree *tree;
	struct chunk chunks[CODEC_SYMBOLS];
	unsigned chunk_count;
	unsigned next_chunk;
	unsigned order_count;
};

/* Gives every symbol of this code its rank and cuts them in chunks. */
static int add_chunks(struct builder *builder, const struct codec_table *table, unsigned depth,
		      unsigned bits, unsigned *rank)
{
	struct codec_tree *tree = builder->tree;
	unsigned code = bits << 4 | depth, count = 0;

	for (unsigned symbol = 0; symbol < CODEC_SYMBOLS; symbol++) {
		if (table->code[symbol] != code)
			continue;
		if (count++ % (1u << bits) == 0) {
			struct chunk *chunk = &builder->chunks[builder->chunk_count++];
			*chunk = (struct chunk){(uint8_t)depth, (uint8_t)bits, (uint8_t)*rank};
		}
		tree->symbols[*rank] = (uint8_t)symbol;
		tree->ranks[symbol] = (uint8_t)*rank;
		tree->lengths[symbol] = (uint8_t)(depth + bits);
		*rank += 1;
	}
	return count % (1u << bits) == 0 ? 0 : -1;
}

static void find_runs(struct codec_node *node, const uint8_t *symbols)
{
	node->runs = 1;
	for (unsigned i = 1; i < 1u << node->width; i++) {
		if (symbols[i] == symbols[i - 1] + 1)
			continue;
		if (node->runs == 1)
			node->cut = (uint8_t)i;
		if (node->runs < 3)
			node->runs++;
	}
}

/*
 * Depths ascend and Kraft's sum is 1, so a chunk is always left, and never shallower than the node
 * that asks; recursion ends at CODEC_DEPTH_MAX.
 */
static void add_nodes(struct builder *builder, unsigned depth)
{
	struct codec_tree *tree = builder->tree;
	unsigned number = tree->node_count++;
	struct codec_node *node = &tree->nodes[number];
	const struct chunk *chunk = &builder->chunks[builder->next_chunk];

	*node = (struct codec_node){.depth = (uint8_t)depth, .first = chunk->first};
	if (chunk->depth == depth) {
		node->width = chunk->bits;
		find_runs(node, tree->symbols + node->first);
		builder->next_chunk++;
	} else {
		node->width = 1;
		add_nodes(builder, depth + 1);
		node->right = tree->node_count;
		node->split = builder->chunks[builder->next_chunk].first;
		add_nodes(builder, depth + 1);
	}
	tree->postorder[builder->order_count++] = (uint16_t)number;
}

enum codec_result codec_tree_build(struct codec_tree *tree, const struct codec_table *table)
{
	struct builder builder = {.tree = tree};
	uint8_t occurs[256] = {0}; /* by code: most do not */
	unsigned rank = 0, kraft = 0;

	memset(tree, 0, sizeof(*tree));
	for (unsigned symbol = 0; symbol < CODEC_SYMBOLS; symbol++) {
		uint8_t code = table->code[symbol];
		if (code != CODEC_ABSENT && code >> 4 > CODEC_BITS_MAX)
			return CODEC_BAD_TABLE;
		occurs[code] = 1;
		tree->lengths[symbol] = CODEC_ABSENT;
	}
	for (unsigned depth = 0; depth <= CODEC_DEPTH_MAX; depth++)
		for (unsigned bits = CODEC_BITS_MAX + 1; bits-- > 0;)
			if (occurs[bits << 4 | depth] &&
			    add_chunks(&builder, table, depth, bits, &rank))
				return CODEC_BAD_TABLE;
	for (unsigned i = 0; i < builder.chunk_count; i++)
		kraft += 1u << (CODEC_DEPTH_MAX - builder.chunks[i].depth);
	if (kraft != 1u << CODEC_DEPTH_MAX)
		return CODEC_BAD_TABLE;
	tree->symbol_count = (uint16_t)rank;
	add_nodes(&builder, 0);
	return CODEC_OK;
}
