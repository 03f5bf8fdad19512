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

/*
 * Tables of masks widened to bytes, because every processor has one unit for pdep, and two or three
 * for loads; and of their complements, because pdep takes its mask from memory for nothing.
 */
#define ONE(mask, bit) ((mask) >> (bit)&1 ? UINT64_C(0xff) << 8 * (bit) : 0)
#define BYTES(mask)                                                                                \
	(ONE(mask, 0) | ONE(mask, 1) | ONE(mask, 2) | ONE(mask, 3) | ONE(mask, 4) | ONE(mask, 5) | \
	 ONE(mask, 6) | ONE(mask, 7))
#define BYTES4(mask, flip)                                                                         \
	BYTES((mask) ^ (flip)), BYTES(((mask) + 1) ^ (flip)), BYTES(((mask) + 2) ^ (flip)),        \
	    BYTES(((mask) + 3) ^ (flip))
#define BYTES16(mask, flip)                                                                        \
	BYTES4(mask, flip), BYTES4((mask) + 4, flip), BYTES4((mask) + 8, flip),                    \
	    BYTES4((mask) + 12, flip)
#define BYTES64(mask, flip)                                                                        \
	BYTES16(mask, flip), BYTES16((mask) + 16, flip), BYTES16((mask) + 32, flip),               \
	    BYTES16((mask) + 48, flip)
#define BYTES256(flip) BYTES64(0, flip), BYTES64(64, flip), BYTES64(128, flip), BYTES64(192, flip)

static const uint64_t byte_ones[256] = {BYTES256(0)};
static const uint64_t byte_zeros[256] = {BYTES256(0xff)};

static inline uint64_t byte_mask(unsigned mask)
{
	return byte_ones[mask];
}

static inline uint64_t interleave(uint64_t left, uint64_t right, unsigned mask)
{
	return _pdep_u64(left, byte_zeros[mask]) | _pdep_u64(right, byte_ones[mask]);
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
