/* SPDX-License-Identifier: MIT */
/*
 * ggml_blocks_neon.c - the NEON kernel, block by block.
 *
 * Of 4 bits, zipping a register with itself has each byte of codes twice, where the two elements of
 * its halves go; shifting every other byte moves those halves into place.
 */
#include "codec/ggml_blocks_kernels.h"

#include <arm_neon.h>
#include <string.h>

static void put_bytes(const struct ggml_blocks *blocks, const uint8_t *codes, size_t n,
		      uint8_t *out)
{
	const uint8x16_t sign = vdupq_n_u8(0x80);
	const uint16_t d = blocks->d;

	for (size_t i = 0; i < n; i++, codes += 32, out += 34) {
		memcpy(out, &d, 2);
		vst1q_u8(out + 2, veorq_u8(vld1q_u8(codes), sign));
		vst1q_u8(out + 18, veorq_u8(vld1q_u8(codes + 16), sign));
	}
}

static inline void put_blocks(uint32_t head, size_t head_size, const uint8_t *codes, size_t n,
			      uint8_t *out)
{
	/* Odd elements of the first half go down, even ones of the second half up. */
	const int8x16_t down = vreinterpretq_s8_u16(vdupq_n_u16(0xfc00));
	const int8x16_t up = vreinterpretq_s8_u16(vdupq_n_u16(0x0004));
	const uint8x16_t low_half = vdupq_n_u8(15);

	for (size_t i = 0; i < n; i++, codes += 16, out += head_size + 16) {
		uint8x16_t both = vld1q_u8(codes);
		uint8x16_t low = vshlq_u8(vzip1q_u8(both, both), down);
		uint8x16_t high = vshlq_u8(vzip2q_u8(both, both), up);
		memcpy(out, &head, head_size);
		vst1q_u8(out + head_size, vbslq_u8(low_half, low, high));
	}
}

static void put_nibbles(const struct ggml_blocks *blocks, const uint8_t *codes, size_t n,
			uint8_t *out)
{
	if (blocks->head == 2)
		put_blocks(ggml_blocks_head(blocks), 2, codes, n, out);
	else
		put_blocks(ggml_blocks_head(blocks), 4, codes, n, out);
}

const struct ggml_blocks_kernel ggml_blocks_kernel_neon = {put_bytes, put_nibbles};
