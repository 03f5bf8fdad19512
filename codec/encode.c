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

/* Compares eight bytes at once with a threshold from 1 to 255. */
struct comparison {
	uint64_t add; /* to the low seven bits: carries into the eighth from where they suffice */
	uint64_t
	    half; /* all ones if a set eighth bit suffices by itself, else it is required too */
};

static struct comparison compare_with(unsigned threshold)
{
	const uint64_t ones = 0x0101010101010101;

	if (threshold <= 0x80)
		return (struct comparison){(0x80 - threshold) * ones, UINT64_MAX};
	return (struct comparison){(0x100 - threshold) * ones, 0};
}

/* Bit i: byte i is at least the threshold. */
static inline uint32_t compare_eight(const struct comparison *comparison, const uint8_t *bytes)
{
	uint64_t x, sum, high;

	memcpy(&x, bytes, sizeof(x));
	sum = (x & 0x7f7f7f7f7f7f7f7f) + comparison->add;
	high = ((x & sum) | ((x | sum) & comparison->half)) >> 7 & 0x0101010101010101;
	/* Moves bit 8 * i to bit 56 + i; no two of the 64 partial products meet. */
	return (uint32_t)(high * 0x0102040810204080 >> 56);
}

static void write_bitmap(const uint8_t *list, size_t count, unsigned threshold,
			 struct bit_writer *writer)
{
	struct comparison comparison = compare_with(threshold);
	size_t i = 0;

	for (; count - i >= 32; i += 32)
		put_bits(writer,
			 compare_eight(&comparison, list + i) |
			     compare_eight(&comparison, list + i + 8) << 8 |
			     compare_eight(&comparison, list + i + 16) << 16 |
			     compare_eight(&comparison, list + i + 24) << 24,
			 32);
	for (; i < count; i++)
		put_bits(writer, list[i] >= threshold, 1);
}

/* Hands an inner node's elements down, in their order; both compilers make it free of branches. */
static void split(const uint8_t *list, size_t count, unsigned threshold, uint8_t *children,
		  size_t left_count)
{
	uint8_t *left = children, *right = children + left_count;

	for (size_t i = 0; i < count; i++) {
		uint8_t rank = list[i], *place = right;
		place = rank < threshold ? left : place;
		*place = rank;
		left += rank < threshold;
		right += rank >= threshold;
	}
}

/* Eight indices at a time move together, by pairs and by fours, in the halves of a word. */
static void pack(const uint8_t *list, size_t count, unsigned first, unsigned width,
		 struct bit_writer *writer)
{
	const uint64_t firsts = first * UINT64_C(0x0101010101010101);
	unsigned gap = 8 - width;
	size_t i = 0;

	if (width == 0)
		return;
	for (; count - i >= 8; i += 8) {
		uint64_t x;
		memcpy(&x, list + i, sizeof(x));
		x -= firsts; /* every byte is at least first: no borrow */
		x = (x & 0x00ff00ff00ff00ff) | (x & 0xff00ff00ff00ff00) >> gap;
		x = (x & 0x0000ffff0000ffff) | (x & 0xffff0000ffff0000) >> 2 * gap;
		put_bits(writer, (uint32_t)x, 4 * width);
		put_bits(writer, (uint32_t)(x >> 32), 4 * width);
	}
	for (; i < count; i++)
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
		write_bitmap(list, extent.count, node->split, &writer);
		split(list, extent.count, node->split,
		      scratch->lists[~node->depth & 1] + extent.offset, left);
	}
	finish_bits(&writer);
	return CODEC_OK;
}
