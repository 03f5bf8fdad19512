/* SPDX-License-Identifier: MIT */
/*
 * table.c - any 256 bytes are refused as a code table, or make the tree that docs/format.md
 * prescribes, by which all kernels decode any bits alike.
 *
 * Input: 256 bytes of code table, a seed for the bits.
 */
#include "tests/fuzz/codec_kernels.h"

/* A chunk of 2^bits symbols, and its prefix of `depth` bits, the first bit on top. */
struct leaf {
	unsigned depth, bits, prefix, first;
};

/* The rules of the format: a set of chunks that fill a tree, with canonical prefixes. */
static unsigned list_leaves(const struct codec_table *table, struct leaf *leaves)
{
	unsigned counts[256] = {0}, count = 0, first = 0, sum_32768ths = 0;

	for (unsigned i = 0; i < CODEC_SYMBOLS; i++)
		counts[table->code[i]]++;
	for (unsigned code = 0; code < CODEC_ABSENT; code++)
		if (counts[code] > 0 && (code >> 4 > 8 || counts[code] % (1u << (code >> 4)) != 0))
			return 0;
	for (unsigned depth = 0; depth < 16; depth++) {
		for (unsigned bits = 9; bits-- > 0;) {
			unsigned chunks = counts[bits << 4 | depth] >> bits;
			for (unsigned i = 0; i < chunks; i++, first += 1u << bits) {
				leaves[count++] =
				    (struct leaf){depth, bits, sum_32768ths >> (15 - depth), first};
				sum_32768ths += 1u << (15 - depth);
				if (sum_32768ths > 32768)
					return 0;
			}
		}
	}
	return sum_32768ths == 32768 ? count : 0;
}

/* From the root down to where the tree has a chunk. */
static const struct codec_node *find_leaf(const struct codec_tree *tree, const struct leaf *leaf)
{
	unsigned number = 0;

	for (unsigned depth = 0; depth < leaf->depth; depth++) {
		const struct codec_node *node = &tree->nodes[number];
		demand(node->right > number + 1 && node->right < tree->node_count);
		demand(node->depth == depth && node->width == 1);
		/* Whoever has a lower rank than the split went left. */
		int right = leaf->prefix >> (leaf->depth - 1 - depth) & 1;
		demand(right == (leaf->first >= node->split));
		number = right ? node->right : number + 1;
	}
	return &tree->nodes[number];
}

static void check_tree(const struct codec_tree *tree, const struct codec_table *table,
		       const struct leaf *leaves, unsigned count)
{
	unsigned ranked = 0;

	demand(tree->node_count == 2 * count - 1);
	for (unsigned i = 0; i < count; i++) {
		const struct leaf *leaf = &leaves[i];
		const struct codec_node *node = find_leaf(tree, leaf);
		demand(node->right == 0 && node->depth == leaf->depth);
		demand(node->width == leaf->bits && node->first == leaf->first);
		for (unsigned j = 0; j < 1u << leaf->bits; j++, ranked++) {
			unsigned symbol = tree->symbols[leaf->first + j];
			demand(table->code[symbol] == (leaf->bits << 4 | leaf->depth));
			demand(j == 0 || symbol > tree->symbols[leaf->first + j - 1]);
			demand(tree->ranks[symbol] == leaf->first + j);
			demand(tree->lengths[symbol] == leaf->depth + leaf->bits);
		}
	}
	demand(tree->symbol_count == ranked);
	for (unsigned i = 0; i < CODEC_SYMBOLS; i++)
		if (table->code[i] == CODEC_ABSENT)
			demand(tree->lengths[i] == CODEC_ABSENT);
}

/* Random bits for blocks of random sizes, also of sizes that a block of so many bits can have. */
static void decode_anything(const struct codec_tree *tree, uint32_t seed)
{
	struct codec_scratch *scratch = codec_aligned(codec_scratch_size);
	uint32_t state = seed | 1;

	for (unsigned round = 0; round < 4; round++) {
		size_t size = 1 + codec_random(&state) % (round ? 300 : 3000);
		size_t coded_size = codec_random(&state) % (2 * size);
		uint8_t *coded = allocate_exactly(coded_size), *dst = allocate_exactly(size);
		for (size_t i = 0; i < coded_size; i++)
			coded[i] = (uint8_t)(codec_random(&state) >> round * 8);
		decode_everywhere(tree, coded, coded_size, dst, size, scratch);
		free(dst);
		free(coded);
	}
	free(scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct leaf leaves[CODEC_SYMBOLS];
	struct codec_table table;
	struct codec_tree *tree;
	uint32_t seed = 0;

	if (size < sizeof(table))
		return 0;
	memcpy(&table, data, sizeof(table));
	for (size_t i = sizeof(table); i < size && i < sizeof(table) + 4; i++)
		seed = seed << 8 | data[i];
	tree = codec_aligned(codec_tree_size);
	unsigned count = list_leaves(&table, leaves);
	enum codec_result result = codec_tree_build(tree, &table);
	demand(result == (count > 0 ? CODEC_OK : CODEC_BAD_TABLE));
	if (count > 0) {
		check_tree(tree, &table, leaves, count);
		decode_anything(tree, seed);
	}
	free(tree);
	return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	return mutate_at(0, data, size, max_size, seed);
}
