/* SPDX-License-Identifier: MIT */
/*
 * decode_word.h - inner loops on 64-bit words, eight elements at a time, for machines without a
 * vector unit that decode_template.h has a kernel for. Included once by each such kernel.
 *
 * The including file defines, as static inline functions:
 *
 *   uint64_t interleave(uint64_t left, uint64_t right, unsigned mask)
 *       eight elements, the next of `right` where the mask of eight bits has a one, else of `left`
 *   uint64_t byte_mask(unsigned mask)
 *       0xff for each one of eight bits
 *   uint64_t spread(uint64_t bits, unsigned width)
 *       eight numbers of width < 8 bits, one to a byte; bits above them are ignored
 *   size_t popcount(uint64_t word)
 *   size_t popcount8(unsigned mask)
 *       of eight bits
 *   enum { PREFER_PAIRS }
 *       whether symbols are looked up by pairs of indices even where arithmetic would find them
 *
 * interleave() gets eight readable bytes of each list, whichever of them it needs: with a list's
 * cursor at its end at most (decode_template.h), eight bytes past it. An eight is touched only if
 * it has an element that counts, so the cursors have not passed bits that are not the node's own.
 *
 * A group of 64 elements takes its bits at once. From one eight to the next only the cursors carry,
 * by one operation each: a left cursor moves back by the ones, and eight on for all.
 */
#ifndef ENTROFS_CODEC_DECODE_WORD_H
#define ENTROFS_CODEC_DECODE_WORD_H

#include "codec/kernels.h"
#include "codec/words.h"

#include <string.h>

enum { WIDTH = 8 };

/* 64 bits from any bit on: reads 9 bytes, the first of which holds a bit of the node. */
static inline uint64_t load_bits(const uint8_t *coded, size_t position)
{
	const uint8_t *bytes = coded + position / 8;
	unsigned phase = position % 8;

	return load64(bytes) >> phase | (uint64_t)bytes[8] << 1 << (63 - phase);
}

static inline uint64_t splat(unsigned byte)
{
	return UINT64_C(0x0101010101010101) * byte;
}

/* Whole words within the node's bits, and one more, which starts where they end at the latest. */
static inline size_t count_ones(const uint8_t *coded, size_t position, size_t count)
{
	const uint8_t *bytes = coded + position / 8;
	size_t phase = position % 8, bits = phase + count, ones = 0;

	for (; bits >= 64; bits -= 64, bytes += 8)
		ones += popcount(load64(bytes));
	ones += popcount(load64(bytes) & ((UINT64_C(1) << bits) - 1));
	return ones - popcount(coded[position / 8] & ((1u << phase) - 1));
}

/* Stores eight elements of which `left` count. */
static inline void store_last(uint8_t *out, uint64_t group, size_t left, int exact)
{
	if (exact)
		memcpy(out, &group, left);
	else
		store64(out, group);
}

/* Where a merge takes elements from: a list, or one symbol for ever. */
struct source {
	int is_list; /* known at compile time wherever it is inlined */
	const uint8_t *list;
	uint64_t constant;
};

static inline uint64_t take(const struct source *source, size_t skip)
{
	return source->is_list ? load64(source->list + skip) : source->constant;
}

/* Elements 8 * k to 8 * k + 7 of a group. */
static inline uint64_t merge_eight(struct source *left, struct source *right, uint64_t bits,
				   unsigned k)
{
	unsigned mask = bits >> 8 * k & 0xff;

	if (!left->is_list && !right->is_list) {
		uint64_t ones = byte_mask(mask);
		return (left->constant & ~ones) | (right->constant & ones);
	}
	uint64_t merged = interleave(take(left, 8 * k), take(right, 0), mask);
	size_t ones = popcount8(mask);
	if (left->is_list)
		left->list -= ones;
	if (right->is_list)
		right->list += ones;
	return merged;
}

static inline __attribute__((always_inline)) void
merge_sources(uint8_t *out, struct source left, struct source right, const uint8_t *coded,
	      size_t position, size_t count, struct codec_fold *root)
{
	for (; count >= 64; count -= 64, position += 64, out += 64) {
		uint64_t bits = load_bits(coded, position);
		store64(out, merge_eight(&left, &right, bits, 0));
		store64(out + 8, merge_eight(&left, &right, bits, 1));
		store64(out + 16, merge_eight(&left, &right, bits, 2));
		store64(out + 24, merge_eight(&left, &right, bits, 3));
		store64(out + 32, merge_eight(&left, &right, bits, 4));
		store64(out + 40, merge_eight(&left, &right, bits, 5));
		store64(out + 48, merge_eight(&left, &right, bits, 6));
		store64(out + 56, merge_eight(&left, &right, bits, 7));
		if (left.is_list)
			left.list += 64;
	}
	if (count == 0)
		return;
	uint64_t bits = load_bits(coded, position);
	for (unsigned k = 0; count > 0; k++, out += 8) {
		size_t elements = count < 8 ? count : 8;
		store_last(out, merge_eight(&left, &right, bits, k), elements, root != NULL);
		count -= elements;
	}
}

static inline struct source list_of(const uint8_t *list)
{
	return (struct source){.is_list = 1, .list = list};
}

static inline struct source constant_of(uint8_t symbol)
{
	return (struct source){.constant = splat(symbol)};
}

static void merge(uint8_t *out, const uint8_t *left, const uint8_t *right, const uint8_t *coded,
		  size_t position, size_t count, struct codec_fold *root)
{
	merge_sources(out, list_of(left), list_of(right), coded, position, count, root);
}

static void merge_left_constant(uint8_t *out, uint8_t left, const uint8_t *right,
				const uint8_t *coded, size_t position, size_t count,
				struct codec_fold *root)
{
	merge_sources(out, constant_of(left), list_of(right), coded, position, count, root);
}

static void merge_right_constant(uint8_t *out, const uint8_t *left, uint8_t right,
				 const uint8_t *coded, size_t position, size_t count,
				 struct codec_fold *root)
{
	merge_sources(out, list_of(left), constant_of(right), coded, position, count, root);
}

static void merge_constants(uint8_t *out, uint8_t left, uint8_t right, const uint8_t *coded,
			    size_t position, size_t count, struct codec_fold *root)
{
	merge_sources(out, constant_of(left), constant_of(right), coded, position, count, root);
}

/* How a chunk's indices become symbols: runs of consecutive symbols by arithmetic. */
struct mapping {
	const uint8_t *symbols;
	unsigned runs;
	uint64_t first, cut, gap;
};

static inline struct mapping mapping_for(const struct codec_node *node, const uint8_t *symbols)
{
	unsigned gap = (unsigned)(symbols[node->cut] - symbols[0] - node->cut);

	return (struct mapping){symbols, node->runs, splat(symbols[0]), splat(node->cut), gap};
}

/* Indices are below 128: adding 128 and taking a cut away borrows from no neighbour. */
static inline uint64_t map(const struct mapping *mapping, uint64_t indices)
{
	const uint64_t tops = 0x8080808080808080;
	uint64_t group = 0;

	if (mapping->runs == 1)
		return indices + mapping->first;
	if (mapping->runs == 2) {
		uint64_t beyond = (((indices | tops) - mapping->cut) & tops) >> 7;
		return indices + mapping->first + beyond * mapping->gap;
	}
	for (unsigned k = 0; k < 8; k++)
		group |= (uint64_t)mapping->symbols[indices >> 8 * k & 0xff] << 8 * k;
	return group;
}

/* Eight indices take `width` bytes and, with the phase, at most 63 bits: reads 8 bytes for them. */
static inline __attribute__((always_inline)) void
unpack_width(uint8_t *out, unsigned width, const struct mapping *mapping, const uint8_t *bytes,
	     unsigned phase, size_t count, struct codec_fold *root)
{
	for (; count >= 8; count -= 8, out += 8, bytes += width)
		store64(out, map(mapping, spread(load64(bytes) >> phase, width)));
	if (count > 0)
		store_last(out, map(mapping, spread(load64(bytes) >> phase, width)), count,
			   root != NULL);
}

/* Symbols by two indices at once, the first in the low bits: no matter which they are. */
enum { PAIRS_WIDTH_MAX = 5 };
struct pairs {
	uint16_t symbols[1 << 2 * PAIRS_WIDTH_MAX];
};

/* Row by row of a second symbol, four pairs at a time. */
static inline __attribute__((always_inline)) void
pair_symbols(struct pairs *pairs, const uint8_t *symbols, unsigned width)
{
	uint64_t row[(1 << PAIRS_WIDTH_MAX) / 4];
	const unsigned quads = (1u << width) / 4;
	uint16_t *next = pairs->symbols;

	for (unsigned i = 0; i < quads; i++)
		row[i] = symbols[4 * i] | (uint64_t)symbols[4 * i + 1] << 16 |
			 (uint64_t)symbols[4 * i + 2] << 32 | (uint64_t)symbols[4 * i + 3] << 48;
	for (unsigned second = 0; second < 4 * quads; second++) {
		uint64_t upper = UINT64_C(0x0100010001000100) * symbols[second];
		for (unsigned i = 0; i < quads; i++, next += 4) {
			uint64_t four = row[i] | upper;
			memcpy(next, &four, sizeof(four));
		}
	}
}

static inline uint64_t map_pairs(const struct pairs *pairs, uint64_t bits, unsigned width)
{
	const uint64_t mask = (UINT64_C(1) << 2 * width) - 1;
	uint64_t group = pairs->symbols[bits & mask];

	group |= (uint64_t)pairs->symbols[bits >> 2 * width & mask] << 16;
	group |= (uint64_t)pairs->symbols[bits >> 4 * width & mask] << 32;
	return group | (uint64_t)pairs->symbols[bits >> 6 * width & mask] << 48;
}

static inline __attribute__((always_inline)) void
unpack_pairs(uint8_t *out, unsigned width, const uint8_t *symbols, const uint8_t *bytes,
	     unsigned phase, size_t count, struct codec_fold *root)
{
	struct pairs pairs;

	pair_symbols(&pairs, symbols, width);
	for (; count >= 8; count -= 8, out += 8, bytes += width)
		store64(out, map_pairs(&pairs, load64(bytes) >> phase, width));
	if (count > 0)
		store_last(out, map_pairs(&pairs, load64(bytes) >> phase, width), count,
			   root != NULL);
}

/* Whether a table of pairs is worth its making: single symbols cost four operations each. */
static inline int pays_pairs(unsigned width, unsigned runs, size_t count)
{
	return width <= PAIRS_WIDTH_MAX && (runs == 3 || PREFER_PAIRS) &&
	       count >= (size_t)1 << 2 * width >> 1;
}

static void unpack(uint8_t *out, const struct codec_tree *tree, const struct codec_node *node,
		   const uint8_t *coded, size_t position, size_t count, struct codec_fold *root)
{
	const uint8_t *symbols = tree->symbols + node->first, *bytes = coded + position / 8;
	struct mapping mapping = mapping_for(node, symbols);
	unsigned phase = position % 8;
	int pays = pays_pairs(node->width, node->runs, count);

	switch (node->width) {
#define UNPACK_CASE(width)                                                                         \
	case width:                                                                                \
		if (width <= PAIRS_WIDTH_MAX && pays) {                                            \
			unpack_pairs(out, width, symbols, bytes, phase, count, root);              \
		} else if (mapping.runs == 1) {                                                    \
			mapping.runs = 1;                                                          \
			unpack_width(out, width, &mapping, bytes, phase, count, root);             \
		} else if (mapping.runs == 2) {                                                    \
			mapping.runs = 2;                                                          \
			unpack_width(out, width, &mapping, bytes, phase, count, root);             \
		} else {                                                                           \
			mapping.runs = 3;                                                          \
			unpack_width(out, width, &mapping, bytes, phase, count, root);             \
		}                                                                                  \
		break
	case 1: /* the indices are the bitmap of a choice */
		merge_constants(out, symbols[0], symbols[1], coded, position, count, root);
		break;
		UNPACK_CASE(2);
		UNPACK_CASE(3);
		UNPACK_CASE(4);
		UNPACK_CASE(5);
		UNPACK_CASE(6);
		UNPACK_CASE(7);
	default: /* a chunk of all 256 symbols, hence at phase 0 and in order */
		memcpy(out, bytes, count);
	}
}

#include "codec/decode_template.h"

#endif
