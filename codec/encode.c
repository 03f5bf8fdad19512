/* SPDX-License-Identifier: MIT */
/*
 * encode.c - histogram and encoder: elements trickle down the tree, every inner node writing a bit
 * and every chunk a flat index for each element it sees.
 *
 * The histogram of the block gives every node's element count before any work is done, hence the
 * exact size (one bounds check for the whole block) and the place of each child's list.
 */
#include "codec/tree.h"

#include <string.h>

/* Bits gathered LSB first; whole 32-bit words go out, so nothing is written past the last byte. */
struct bit_writer {
	uint8_t *next;
	uint64_t pending;
	unsigned fill; /* bits in pending, < 32 between calls */
};

static inline void put_bits(struct bit_writer *writer, uint32_t bits, unsigned count)
{
	writer->pending |= (uint64_t)bits << writer->fill;
	writer->fill += count;
	if (writer->fill >= 32) {
		uint32_t word = (uint32_t)writer->pending;
		for (unsigned i = 0; i < 4; i++)
			writer->next[i] = (uint8_t)(word >> 8 * i);
		writer->next += 4;
		writer->pending >>= 32;
		writer->fill -= 32;
	}
}

static void finish_bits(struct bit_writer *writer)
{
	for (unsigned done = 0; done < writer->fill; done += 8) {
		*writer->next++ = (uint8_t)writer->pending;
		writer->pending >>= 8;
	}
}

/* Four tables, lest equal neighbours wait for each other's increment. */
static void count_block(const uint8_t *src, size_t size, uint32_t counts[CODEC_SYMBOLS])
{
	uint32_t lanes[4][CODEC_SYMBOLS];
	size_t i = 0;

	memset(lanes, 0, sizeof(lanes));
	for (; size - i >= 4; i += 4) {
		lanes[0][src[i]]++;
		lanes[1][src[i + 1]]++;
		lanes[2][src[i + 2]]++;
		lanes[3][src[i + 3]]++;
	}
	for (; i < size; i++)
		lanes[0][src[i]]++;
	for (unsigned symbol = 0; symbol < CODEC_SYMBOLS; symbol++)
		counts[symbol] =
		    lanes[0][symbol] + lanes[1][symbol] + lanes[2][symbol] + lanes[3][symbol];
}

void codec_histogram(const uint8_t *src, size_t size, uint64_t counts[CODEC_SYMBOLS])
{
	const size_t stretch = (size_t)1 << 30; /* keeps 32-bit lanes from overflowing */

	while (size > 0) {
		uint32_t part[CODEC_SYMBOLS];
		size_t length = size < stretch ? size : stretch;
		count_block(src, length, part);
		for (unsigned symbol = 0; symbol < CODEC_SYMBOLS; symbol++)
			counts[symbol] += part[symbol];
		src += length;
		size -= length;
	}
}

/* Writes the bitmap of an inner node and hands its elements down, in their order. */
static void split(const uint8_t *list, size_t count, unsigned threshold, uint8_t *children,
		  size_t left_count, struct bit_writer *writer)
{
	size_t left = 0, right = left_count;

	for (size_t i = 0; i < count;) {
		unsigned group = count - i < 32 ? (unsigned)(count - i) : 32;
		uint32_t bitmap = 0;
		for (unsigned j = 0; j < group; j++) {
			uint8_t rank = list[i + j];
			unsigned bit = rank >= threshold;
			children[bit ? right : left] = rank;
			right += bit;
			left += bit ^ 1;
			bitmap |= (uint32_t)bit << j;
		}
		put_bits(writer, bitmap, group);
		i += group;
	}
}

static void pack(const uint8_t *list, size_t count, unsigned first, unsigned width,
		 struct bit_writer *writer)
{
	if (width == 0)
		return;
	for (size_t i = 0; i < count; i++)
		put_bits(writer, list[i] - first, width);
}

enum codec_result codec_encode(const struct codec_tree *tree, const uint8_t *src, size_t size,
			       uint8_t *dst, size_t capacity, size_t *coded_size,
			       struct codec_scratch *scratch)
{
	struct codec_extent *extents = scratch->extents;
	uint32_t counts[CODEC_SYMBOLS], below[CODEC_SYMBOLS + 1];
	struct bit_writer writer = {.next = dst};
	size_t bits = 0;

	count_block(src, size, counts);
	for (unsigned symbol = 0; symbol < CODEC_SYMBOLS; symbol++) {
		if (counts[symbol] > 0 && tree->lengths[symbol] == CODEC_ABSENT)
			return CODEC_BAD_TABLE;
		bits += (size_t)counts[symbol] * tree->lengths[symbol];
	}
	*coded_size = (bits + 7) / 8;
	if (*coded_size > capacity)
		return CODEC_TOO_LARGE;

	below[0] = 0;
	for (unsigned rank = 0; rank < tree->symbol_count; rank++)
		below[rank + 1] = below[rank] + counts[tree->symbols[rank]];
	for (size_t i = 0; i < size; i++)
		scratch->lists[0][i] = tree->ranks[src[i]];

	extents[0] = (struct codec_extent){.count = (uint32_t)size};
	for (unsigned i = 0; i < tree->node_count; i++) {
		const struct codec_node *node = &tree->nodes[i];
		struct codec_extent extent = extents[i];
		const uint8_t *list = scratch->lists[node->depth & 1] + extent.offset;
		if (node->right == 0) {
			pack(list, extent.count, node->first, node->width, &writer);
			continue;
		}
		uint32_t left = below[node->split] - below[node->first];
		extents[i + 1] = (struct codec_extent){.offset = extent.offset, .count = left};
		extents[node->right] = (struct codec_extent){.offset = extent.offset + left,
							     .count = extent.count - left};
		split(list, extent.count, node->split,
		      scratch->lists[~node->depth & 1] + extent.offset, left, &writer);
	}
	finish_bits(&writer);
	return CODEC_OK;
}
