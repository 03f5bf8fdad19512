/* SPDX-License-Identifier: MIT */
/*
 * decode_scalar.c - the kernel for any machine: eight elements at a time in a 64-bit word.
 *
 * Merge: the next elements of the left list from the bottom, those of the right list, reversed,
 * from the top: joined so, any mask of eight bits is reached by exchanging bytes 4 apart, then 2,
 * then 1 (a butterfly network: each half of such a sequence is one again, up to rotation).
 * codec_butterflies says which bytes to exchange for each mask.
 *
 * Unpack: eight indices are pulled apart by halves.
 */
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

/* 0xff for each of eight bits: a bit to each byte, and whatever is left of it to all eight. */
static inline uint64_t byte_mask(unsigned mask)
{
	uint64_t bits = UINT64_C(0x0101010101010101) * mask & 0x8040201008040201;

	return (((bits + 0x7f7f7f7f7f7f7f7f) & 0x8080808080808080) >> 7) * 0xff;
}

static inline uint64_t exchange(uint64_t bytes, uint64_t which, unsigned distance)
{
	uint64_t differences = (bytes >> 8 * distance ^ bytes) & which;

	return bytes ^ differences ^ differences << 8 * distance;
}

static inline uint64_t interleave(uint64_t left, uint64_t right, unsigned mask)
{
	const struct codec_butterflies *table = &codec_butterflies;
	uint64_t bytes = left ^ ((left ^ __builtin_bswap64(right)) & table->rights[mask]);

	bytes = exchange(bytes, table->by_four[mask], 4);
	bytes = exchange(bytes, table->by_two[mask], 2);
	return exchange(bytes, table->by_one[mask], 1);
}

/* The lower half of `count` numbers in each field of 8 * count bits stays, the upper moves up. */
static inline uint64_t halve(uint64_t bits, unsigned width, unsigned count, uint64_t fields)
{
	uint64_t low = ((UINT64_C(1) << width * count / 2) - 1) * fields;
	unsigned up = (8 - width) * count / 2;

	return (bits & low) | (bits & low << width * count / 2) << up;
}

static inline uint64_t spread(uint64_t bits, unsigned width)
{
	bits = halve(bits, width, 8, 1);
	bits = halve(bits, width, 4, 0x0000000100000001);
	return halve(bits, width, 2, 0x0001000100010001);
}

enum { PREFER_PAIRS = 1 };
#include "codec/decode_word.h"

static int supported(void)
{
	return 1;
}

const struct codec_kernel codec_kernel_scalar = {
    .name = "scalar",
    .supported = supported,
    .decode = decode,
    .encode = codec_encode_scalar,
    .dequant = &dequant_kernel_scalar,
    .planes = &planes_kernel_scalar,
    .ggml_blocks = &ggml_blocks_kernel_scalar,
};
