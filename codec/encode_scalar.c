/* SPDX-License-Identifier: MIT */
/*
 * encode_scalar.c - the encoder for any machine: eight elements at a time in a 64-bit word.
 *
 * Split: the exchanges that merge two lists (decode_scalar.c) in reverse order bring the left
 * elements of a word to its bottom, the right ones, reversed, to its top.
 *
 * Pack: flat indices are pushed together by halves.
 */
#include "codec/bit_writer.h"
#include "codec/butterflies.h"
#include "codec/kernels.h"

static inline size_t popcount(uint64_t word)
{
	word -= word >> 1 & 0x5555555555555555;
	word = (word & 0x3333333333333333) + (word >> 2 & 0x3333333333333333);
	word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0f;
	return word * 0x0101010101010101 >> 56;
}

static inline size_t popcount8(unsigned mask)
{
	return codec_butterflies.ones[mask];
}

static inline uint64_t exchange(uint64_t bytes, uint64_t which, unsigned distance)
{
	uint64_t differences = (bytes >> 8 * distance ^ bytes) & which;

	return bytes ^ differences ^ differences << 8 * distance;
}

static inline void separate(const uint8_t *list, unsigned mask, uint8_t *left, uint8_t *right,
			    unsigned keep)
{
	const struct codec_butterflies *table = &codec_butterflies;
	uint64_t bytes = exchange(load64(list), table->by_one[mask], 1);

	bytes = exchange(bytes, table->by_two[mask], 2);
	bytes = exchange(bytes, table->by_four[mask], 4);
	if (keep & KEEP_LEFT)
		store64(left, bytes);
	if (keep & KEEP_RIGHT)
		store64(right, __builtin_bswap64(bytes));
}

/*
 * In each field of `count` numbers, the upper half moves down to the lower. Narrow numbers leave
 * the moved half nothing to be told apart from: what was there before is above the field's bits.
 */
static inline uint64_t join_halves(uint64_t bits, unsigned width, unsigned count, uint64_t fields)
{
	uint64_t low = ((UINT64_C(1) << width * count / 2) - 1) * fields;
	uint64_t high = low << width * count / 2;
	unsigned down = (8 - width) * count / 2;

	if (width <= 4)
		return (bits | bits >> down) & (low | high);
	return (bits & low) | (bits >> down & high);
}

static inline uint64_t gather(uint64_t bytes, unsigned width)
{
	bytes = join_halves(bytes, width, 2, 0x0001000100010001);
	bytes = join_halves(bytes, width, 4, 0x0000000100000001);
	return join_halves(bytes, width, 8, 1);
}

#include "codec/encode_word.h"

enum codec_result codec_encode_scalar(const struct codec_tree *tree, const uint8_t *src,
				      size_t size, uint8_t *dst, size_t capacity,
				      size_t *coded_size, struct codec_scratch *scratch)
{
	return encode(tree, src, size, dst, capacity, coded_size, scratch);
}
