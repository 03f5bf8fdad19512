/* SPDX-License-Identifier: MIT */
/*
 * encode_word.h - inner loops on 64-bit words, eight elements at a time; for encode_template.h,
 * included once by each kernel without a vector unit.
 *
 * The including file defines, as static inline functions:
 *
 *   size_t popcount(uint64_t word)
 *   size_t popcount8(unsigned mask)
 *   void separate(...)
 *       for encode_eights.h, where they are explained
 *   uint64_t gather(uint64_t bytes, unsigned width)
 *       eight numbers of width < 8 bits, one to a byte, side by side
 */
#ifndef ENTROFS_CODEC_ENCODE_WORD_H
#define ENTROFS_CODEC_ENCODE_WORD_H

static inline uint64_t splat(unsigned byte)
{
	return UINT64_C(0x0101010101010101) * byte;
}

static inline void store32(uint8_t *bytes, uint64_t word)
{
	uint32_t low = (uint32_t)word;

	memcpy(bytes, &low, sizeof(low));
}

/*
 * By table, four at a time: entry [j][symbol] has the rank in byte j and the length of the code in
 * the upper half; the sum of four is four ranks side by side, and the sum of four lengths. What an
 * absent symbol has for a length exceeds all lengths of a block together.
 */
static uint64_t rank(const struct codec_tree *tree, const uint8_t *src, size_t size, uint8_t *list)
{
	enum { ABSENT_LENGTH = 0x01010101 };
	_Static_assert(ABSENT_LENGTH > CODEC_BLOCK_MAX * (CODEC_DEPTH_MAX + CODEC_BITS_MAX), "");
	uint64_t entries[4][CODEC_SYMBOLS], sum = 0;
	size_t i = 0;

	memset(entries, 0x01, sizeof(entries));
	for (unsigned r = 0; r < tree->symbol_count; r++) {
		unsigned symbol = tree->symbols[r];
		uint64_t length = (uint64_t)tree->lengths[symbol] << 32;
		entries[0][symbol] = length | r;
		entries[1][symbol] = length | r << 8;
		entries[2][symbol] = length | r << 16;
		entries[3][symbol] = length | (uint64_t)r << 24;
	}
	for (; size - i >= 8; i += 8) {
		uint64_t low = entries[0][src[i]] + entries[1][src[i + 1]] +
			       entries[2][src[i + 2]] + entries[3][src[i + 3]];
		uint64_t high = entries[0][src[i + 4]] + entries[1][src[i + 5]] +
				entries[2][src[i + 6]] + entries[3][src[i + 7]];
		store32(list + i, low);
		store32(list + i + 4, high);
		sum += (low >> 32) + (high >> 32);
	}
	for (; i < size; i++) {
		list[i] = (uint8_t)entries[0][src[i]];
		sum += entries[0][src[i]] >> 32;
	}
	return sum < ABSENT_LENGTH ? sum : CODEC_NO_LENGTH;
}

/*
 * To compare eight bytes with a threshold: what to add to their low seven bits to get a carry into
 * the eighth from the threshold on, and whether (high) the eighth must be set as well or suffices.
 */
struct comparison {
	uint64_t add;
	int high; /* a constant wherever it is inlined */
};

static inline __attribute__((always_inline)) uint64_t
compare_eight(const uint8_t *list, const struct comparison *comparison)
{
	uint64_t bytes = load64(list);
	uint64_t carry = (bytes & splat(0x7f)) + comparison->add;

	carry = comparison->high ? bytes & carry : bytes | carry;
	/* Moves bit 8 * i + 7 to bit 56 + i; no two of the 64 partial products meet. */
	return (carry & splat(0x80)) * 0x0002040810204081 >> 56;
}

static inline __attribute__((always_inline)) uint64_t compare64(const uint8_t *list,
								const struct comparison *comparison)
{
	return compare_eight(list, comparison) | compare_eight(list + 8, comparison) << 8 |
	       compare_eight(list + 16, comparison) << 16 |
	       compare_eight(list + 24, comparison) << 24 |
	       compare_eight(list + 32, comparison) << 32 |
	       compare_eight(list + 40, comparison) << 40 |
	       compare_eight(list + 48, comparison) << 48 |
	       compare_eight(list + 56, comparison) << 56;
}

#include "codec/encode_eights.h"

static inline __attribute__((always_inline)) size_t split(uint8_t *list, size_t count,
							  unsigned threshold, uint8_t *right,
							  unsigned keep, struct bit_writer *writer)
{
	if (threshold <= 0x80)
		return split_eights(list, count, (struct comparison){splat(0x80 - threshold), 0},
				    right, keep, writer);
	return split_eights(list, count, (struct comparison){splat(0x100 - threshold), 1}, right,
			    keep, writer);
}

/*
 * Eight indices fill `width` bytes, so the phase stays. With the bits pending they are at most 63,
 * stored as eight bytes as often as these lie before the end: the k-th time, at next + k * width.
 */
static inline __attribute__((always_inline)) void pack_width(const uint8_t *list, size_t count,
							     unsigned first, unsigned width,
							     struct bit_writer *writer)
{
	const uint64_t firsts = splat(first);
	struct bit_writer out = *writer;
	size_t room = (size_t)(out.end - out.next), eights = count / 8;
	size_t most = room < 8 ? 0 : (room - 8) / width + 1;
	const uint8_t *end = list + 8 * (eights < most ? eights : most);

	for (count -= (size_t)(end - list); list < end; list += 8) {
		/* Every byte is at least first: no borrow. */
		uint64_t bits = gather(load64(list) - firsts, width) << out.fill | out.pending;
		store64(out.next, bits);
		out.next += width;
		out.pending = bits >> 8 * width;
	}
	for (; count > 0; count--, list++)
		put_bits(&out, *list - first, width);
	*writer = out;
}

static void pack(const uint8_t *list, size_t count, unsigned first, unsigned width,
		 struct bit_writer *writer)
{
	switch (width) {
#define PACK_CASE(width)                                                                           \
	case width:                                                                                \
		pack_width(list, count, first, width, writer);                                     \
		break
		PACK_CASE(1);
		PACK_CASE(2);
		PACK_CASE(3);
		PACK_CASE(4);
		PACK_CASE(5);
		PACK_CASE(6);
		PACK_CASE(7);
	}
}

#include "codec/encode_template.h"

#endif
