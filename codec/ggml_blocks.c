/* SPDX-License-Identifier: MIT */
/*
 * ggml_blocks.c - which parameters blocks of ggml can have, and finding the function for them.
 */
#include "codec/ggml_blocks_kernels.h"

#include "codec/codec.h"

enum {
	F32_DIGITS = 24, /* of a significand, like ... */
	F16_DIGITS = 11,
	F16_LOWEST = -24, /* the exponent of the smallest number: 2^-24 ... */
	F16_HIGHEST = 16, /* ... and of what all are below */
	F32_BIAS = 127,
	EXPONENTS = 255, /* of F32: infinities and NaNs */
};

/* The F16 that is exactly significand * 2^exponent; -1: there is none. */
static int half_of(uint32_t significand, int exponent, uint16_t *half)
{
	*half = 0;
	if (significand == 0)
		return 0;
	while (significand % 2 == 0) {
		significand /= 2;
		exponent++;
	}
	if (significand >> F16_DIGITS || exponent < F16_LOWEST)
		return -1;
	/* All digits, but for numbers so small that they have less. */
	while (!(significand >> (F16_DIGITS - 1)) && exponent > F16_LOWEST) {
		significand *= 2;
		exponent--;
	}
	if (exponent + F16_DIGITS > F16_HIGHEST)
		return -1;
	/* The leading digit, which is not stored, adds the 1 that normal numbers are counted from.
	 */
	*half = (uint16_t)(((uint32_t)(exponent - F16_LOWEST) << (F16_DIGITS - 1)) + significand);
	return 0;
}

/* d and m for the scale times 1 and times -zero_point, which is 0 to 15; -1: not both exactly. */
static int set_numbers(struct ggml_blocks *blocks, float scale, uint32_t zero_point)
{
	uint32_t bits;
	__builtin_memcpy(&bits, &scale, sizeof(bits));
	uint32_t biased = bits >> (F32_DIGITS - 1) & EXPONENTS;
	uint32_t significand = bits & ((1u << (F32_DIGITS - 1)) - 1);
	uint32_t sign = bits >> 31 ? 0x8000 : 0;

	if (biased == EXPONENTS)
		return -1;
	if (biased == 0)
		biased = 1;
	else
		significand |= 1u << (F32_DIGITS - 1);
	int exponent = (int)biased - F32_BIAS - (F32_DIGITS - 1);

	if (half_of(significand, exponent, &blocks->d) ||
	    half_of(significand * zero_point, exponent, &blocks->m))
		return -1;
	blocks->d = (uint16_t)(blocks->d | sign);
	if (blocks->m)
		blocks->m = (uint16_t)(blocks->m | (sign ^ 0x8000));
	return 0;
}

unsigned ggml_blocks_bits(unsigned type)
{
	return type == GGML_Q8_0 ? 8 : type == GGML_Q4_0 || type == GGML_Q4_1 ? 4 : 0;
}

/* Bytes of d, and of m if there is one. */
static unsigned head_size(unsigned type)
{
	return type == GGML_Q4_1 ? 4 : ggml_blocks_bits(type) ? 2 : 0;
}

unsigned ggml_blocks_size(unsigned type)
{
	return head_size(type) + GGML_BLOCK / 8 * ggml_blocks_bits(type);
}

int ggml_blocks_prepare(struct ggml_blocks *blocks, unsigned type, float scale, int32_t zero_point)
{
	enum { CODES4 = 16, IMPLIED8 = 128, IMPLIED4 = 8 };
	unsigned bits = ggml_blocks_bits(type);
	uint32_t added = 0; /* the zero point that m is for */

	if (bits == 0)
		return -1;
	if (type == GGML_Q4_1) {
		if (zero_point < 0 || zero_point >= CODES4)
			return -1;
		added = (uint32_t)zero_point;
	} else if (zero_point != (bits == 8 ? IMPLIED8 : IMPLIED4)) {
		return -1;
	}
	blocks->type = (uint8_t)type;
	blocks->head = (uint8_t)head_size(type);
	blocks->codes_size = (uint8_t)(GGML_BLOCK * bits / 8);
	blocks->size = (uint8_t)ggml_blocks_size(type);
	return set_numbers(blocks, scale, added);
}

void ggml_blocks_put(const struct ggml_blocks *blocks, const uint8_t *codes, size_t n, uint8_t *out)
{
	const struct ggml_blocks_kernel *kernel = codec_kernel_in_use()->ggml_blocks;

	if (n > 0)
		(blocks->type == GGML_Q8_0 ? kernel->bytes : kernel->nibbles)(blocks, codes, n,
									      out);
}
