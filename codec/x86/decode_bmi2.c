/* SPDX-License-Identifier: MIT */
/*
 * decode_bmi2.c - the kernel for x86 without AVX2 but with BMI2: eight elements by bit deposits.
 *
 * With a mask of eight bits widened to bytes, pdep lays the next bytes of a list where the mask has
 * its ones. (AMD's processors before Zen 3 have a slow pdep; all of them have AVX2 as well.)
 */
#include "codec/kernels.h"

#include <immintrin.h>

static inline size_t popcount(uint64_t word)
{
	return (size_t)_mm_popcnt_u64(word);
}

static inline size_t popcount8(unsigned mask)
{
	return (size_t)_mm_popcnt_u32(mask);
}

/* A table, because every processor has one unit for pdep, and two or three for loads. */
#define ONE(mask, bit) ((mask) >> (bit)&1 ? UINT64_C(0xff) << 8 * (bit) : 0)
#define BYTES(mask)                                                                                \
	(ONE(mask, 0) | ONE(mask, 1) | ONE(mask, 2) | ONE(mask, 3) | ONE(mask, 4) | ONE(mask, 5) | \
	 ONE(mask, 6) | ONE(mask, 7))
#define BYTES4(mask)  BYTES(mask), BYTES((mask) + 1), BYTES((mask) + 2), BYTES((mask) + 3)
#define BYTES16(mask) BYTES4(mask), BYTES4((mask) + 4), BYTES4((mask) + 8), BYTES4((mask) + 12)
#define BYTES64(mask)                                                                              \
	BYTES16(mask), BYTES16((mask) + 16), BYTES16((mask) + 32), BYTES16((mask) + 48)

static const uint64_t byte_masks[256] = {BYTES64(0), BYTES64(64), BYTES64(128), BYTES64(192)};

static inline uint64_t byte_mask(unsigned mask)
{
	return byte_masks[mask];
}

static inline uint64_t interleave(uint64_t left, uint64_t right, unsigned mask)
{
	uint64_t ones = byte_mask(mask);

	return _pdep_u64(left, ~ones) | _pdep_u64(right, ones);
}

static inline uint64_t spread(uint64_t bits, unsigned width)
{
	return _pdep_u64(bits, UINT64_C(0x0101010101010101) * ((1u << width) - 1));
}

enum { PREFER_PAIRS = 0 };
#include "codec/decode_word.h"

static int supported(void)
{
	return __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
}

const struct codec_kernel codec_kernel_bmi2 = {"bmi2", supported, decode, &dequant_kernel_scalar};
