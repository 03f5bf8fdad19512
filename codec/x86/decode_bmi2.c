/* SPDX-License-Identifier: MIT */
/*
 * decode_bmi2.c - the kernel for x86 without AVX2 but with BMI2: eight elements by bit deposits.
 *
 * With a mask of eight bits widened to bytes, pdep lays the next bytes of a list where the mask has
 * its ones. (AMD's processors before Zen 3 have a slow pdep; all of them have AVX2 as well.)
 */
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
	return __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
	       __builtin_cpu_supports("popcnt");
}

const struct codec_kernel codec_kernel_bmi2 = {
    .name = "bmi2",
    .supported = supported,
    .decode = decode,
    .encode = codec_encode_bmi2,
    .dequant = &dequant_kernel_scalar,
    .planes = &planes_kernel_scalar,
    .ggml_blocks = &ggml_blocks_kernel_scalar,
};
