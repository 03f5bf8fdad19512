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
 *
 * interleave() gets eight readable bytes of each list, whichever of them it needs: with a list's
 * cursor at its end at most, it reads no more than CODEC_LIST_SLACK bytes past it.
 *
 * A group of 64 elements takes its bits at once. How many ones precede each of its bytes comes from
 * one multiplication, so that groups of eight do not wait for each other.
 */
#ifndef ENTROFS_CODEC_DECODE_WORD_H
#define ENTROFS_CODEC_DECODE_WORD_H

#include "codec/kernels.h"

#include <string.h>

enum { WIDTH = 8 };

static inline uint64_t load64(const uint8_t *bytes)
{
	uint64_t word;

	memcpy(&word, bytes, sizeof(word));
	return word;
}

static inline void store64(uint8_t *bytes, uint64_t word)
{
	memcpy(bytes, &word, sizeof(word));
}

/* 64 bits from any bit on: reads 9 bytes. */
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

/* In byte k, the ones in the bytes 0 to k. 64 ones make at most 64 in a byte: sums do not carry. */
static inline uint64_t running_ones(uint64_t bits)
{
	bits -= bits >> 1 & 0x5555555555555555;
	bits = (bits & 0x3333333333333333) + (bits >> 2 & 0x3333333333333333);
	bits = (bits + (bits >> 4)) & 0x0f0f0f0f0f0f0f0f;
	return bits * 0x0101010101010101;
}

/* Where a merge takes elements from: a list, or one symbol for ever. */
struct source {
	const uint8_t *list; /* NULL: constant */
	uint64_t constant;
};

static inline uint64_t take(const struct source *source, size_t index)
{
	return source->list ? load64(source->list + index) : source->constant;
}

/* Elements 8 * k to 8 * k + 7 of a group whose earlier elements hold `before` ones. */
static inline uint64_t merge_group(const struct source *left, const struct source *right,
				   uint64_t bits, unsigned k, size_t before)
{
	unsigned mask = bits >> 8 * k & 0xff;

	if (!left->list && !right->list) {
		uint64_t ones = byte_mask(mask);
		return (left->constant & ~ones) | (right->constant & ones);
	}
	return interleave(take(left, 8 * k - before), take(right, before), mask);
}

static inline void advance(struct source *source, size_t count)
{
	if (source->list)
		source->list += count;
}

static inline __attribute__((always_inline)) void
merge_sources(uint8_t *out, struct source left, struct source right, const uint8_t *coded,
	      size_t position, size_t count, int exact)
{
	for (; count >= 64; count -= 64, position += 64, out += 64) {
		uint64_t bits = load_bits(coded, position), ones = running_ones(bits);
		store64(out, merge_group(&left, &right, bits, 0, 0));
		store64(out + 8, merge_group(&left, &right, bits, 1, ones & 0xff));
		store64(out + 16, merge_group(&left, &right, bits, 2, ones >> 8 & 0xff));
		store64(out + 24, merge_group(&left, &right, bits, 3, ones >> 16 & 0xff));
		store64(out + 32, merge_group(&left, &right, bits, 4, ones >> 24 & 0xff));
		store64(out + 40, merge_group(&left, &right, bits, 5, ones >> 32 & 0xff));
		store64(out + 48, merge_group(&left, &right, bits, 6, ones >> 40 & 0xff));
		store64(out + 56, merge_group(&left, &right, bits, 7, ones >> 48 & 0xff));
		advance(&left, 64 - (ones >> 56));
		advance(&right, ones >> 56);
	}
	if (count == 0)
		return;
	uint64_t bits = load_bits(coded, position), ones = running_ones(bits) << 8;
	for (unsigned k = 0; count > 0; k++, ones >>= 8, out += 8) {
		size_t elements = count < 8 ? count : 8;
		store_last(out, merge_group(&left, &right, bits, k, ones & 0xff), elements, exact);
		count -= elements;
	}
}

static inline struct source list_of(const uint8_t *list)
{
	return (struct source){.list = list};
}

static inline struct source constant_of(uint8_t symbol)
{
	return (struct source){.constant = splat(symbol)};
}

static void merge(uint8_t *out, const uint8_t *left, const uint8_t *right, const uint8_t *coded,
		  size_t position, size_t count, int exact)
{
	merge_sources(out, list_of(left), list_of(right), coded, position, count, exact);
}

static void merge_left_constant(uint8_t *out, uint8_t left, const uint8_t *right,
				const uint8_t *coded, size_t position, size_t count, int exact)
{
	merge_sources(out, constant_of(left), list_of(right), coded, position, count, exact);
}

static void merge_right_constant(uint8_t *out, const uint8_t *left, uint8_t right,
				 const uint8_t *coded, size_t position, size_t count, int exact)
{
	merge_sources(out, list_of(left), constant_of(right), coded, position, count, exact);
}

static void merge_constants(uint8_t *out, uint8_t left, uint8_t right, const uint8_t *coded,
			    size_t position, size_t count, int exact)
{
	merge_sources(out, constant_of(left), constant_of(right), coded, position, count, exact);
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
static inline __attribute__((always_inline)) void unpack_width(uint8_t *out, unsigned width,
							       const struct mapping *mapping,
							       const uint8_t *bytes, unsigned phase,
							       size_t count, int exact)
{
	for (; count >= 8; count -= 8, out += 8, bytes += width)
		store64(out, map(mapping, spread(load64(bytes) >> phase, width)));
	if (count > 0)
		store_last(out, map(mapping, spread(load64(bytes) >> phase, width)), count, exact);
}

static void unpack(uint8_t *out, const struct codec_tree *tree, const struct codec_node *node,
		   const uint8_t *coded, size_t position, size_t count, int exact)
{
	struct mapping mapping = mapping_for(node, tree->symbols + node->first);
	const uint8_t *bytes = coded + position / 8;
	unsigned phase = position % 8;

	switch (node->width) {
#define UNPACK_CASE(width)                                                                         \
	case width:                                                                                \
		if (mapping.runs <= 2) {                                                           \
			mapping.runs = 2;                                                          \
			unpack_width(out, width, &mapping, bytes, phase, count, exact);            \
		} else {                                                                           \
			mapping.runs = 3;                                                          \
			unpack_width(out, width, &mapping, bytes, phase, count, exact);            \
		}                                                                                  \
		break
		UNPACK_CASE(1);
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
