/* SPDX-License-Identifier: MIT */
/*
 * encode_bmi2.c - the encoder for x86 without AVX2 but with BMI2: eight elements by bit extracts.
 *
 * With a mask of eight bits widened to bytes, pext takes out of eight elements those where the
 * mask has its ones; with a mask of `width` bits a byte, the indices.
 */
#include "codec/bit_writer.h"
#include "codec/kernels.h"
#include "codec/x86/byte_masks.h"

#include <immintrin.h>

static inline size_t popcount(uint64_t word)
{
	return (size_t)_mm_popcnt_u64(word);
}

static inline size_t popcount8(unsigned mask)
{
	return (size_t)_mm_popcnt_u32(mask);
}

static inline void separate(const uint8_t *list, unsigned mask, uint8_t *left, uint8_t *right,
			    unsigned keep)
{
	uint64_t bytes = load64(list);

	if (keep & KEEP_LEFT)
		store64(left, _pext_u64(bytes, byte_zeros[mask]));
	if (keep & KEEP_RIGHT)
		store64(right, _pext_u64(bytes, byte_ones[mask]));
}

static inline uint64_t gather(uint64_t bytes, unsigned width)
{
	return _pext_u64(bytes, UINT64_C(0x0101010101010101) * ((1u << width) - 1));
}

#include "codec/encode_word.h"

enum codec_result codec_encode_bmi2(const struct codec_tree *tree, const uint8_t *src, size_t size,
				    uint8_t *dst, size_t capacity, size_t *coded_size,
				    struct codec_scratch *scratch)
{
	return encode(tree, src, size, dst, capacity, coded_size, scratch);
}
