/* SPDX-License-Identifier: MIT */
/*
 * ggml_blocks_scalar.c - the kernel for any machine: words of 64 bits, whatever their byte order.
 *
 * Of 4 bits, eight bytes of elements 0 to 15 and eight of 16 to 31 become eight bytes of the even
 * elements and eight of the odd ones; spreading the bytes of both apart interleaves them.
 */
#include "codec/ggml_blocks_kernels.h"

#include "codec/words.h"

static const uint64_t low_halves = UINT64_C(0x0f0f0f0f0f0f0f0f);
static const uint64_t high_halves = UINT64_C(0xf0f0f0f0f0f0f0f0);

static void put_bytes(const struct ggml_blocks *blocks, const uint8_t *codes, size_t n,
		      uint8_t *out)
{
	const uint64_t sign = UINT64_C(0x8080808080808080);
	const uint16_t d = blocks->d;

	for (size_t i = 0; i < n; i++, codes += 32, out += 34) {
		uint64_t words[4];
		__builtin_memcpy(words, codes, sizeof(words));
		for (unsigned k = 0; k < 4; k++)
			words[k] ^= sign;
		__builtin_memcpy(out, &d, 2);
		__builtin_memcpy(out + 2, words, sizeof(words));
	}
}

/* The four low bytes of a word as the even bytes of one. */
static inline uint64_t spread(uint64_t word)
{
	word &= UINT64_C(0xffffffff);
	word = (word | word << 16) & UINT64_C(0x0000ffff0000ffff);
	return (word | word << 8) & UINT64_C(0x00ff00ff00ff00ff);
}

static inline void put_block(uint32_t head, size_t head_size, const uint8_t *codes, uint8_t *out)
{
	uint64_t low, high, words[2];
	__builtin_memcpy(&low, codes, 8);
	__builtin_memcpy(&high, codes + 8, 8);
	uint64_t even = (low & low_halves) | (high << 4 & high_halves);
	uint64_t odd = (low >> 4 & low_halves) | (high & high_halves);

	words[0] = spread(even) | spread(odd) << 8;
	words[1] = spread(even >> 32) | spread(odd >> 32) << 8;
	__builtin_memcpy(out, &head, head_size);
	__builtin_memcpy(out + head_size, words, sizeof(words));
}

static void put_nibbles(const struct ggml_blocks *blocks, const uint8_t *codes, size_t n,
			uint8_t *out)
{
	const uint32_t head = ggml_blocks_head(blocks);

	if (blocks->head == 2) {
		for (size_t i = 0; i < n; i++)
			put_block(head, 2, codes + 16 * i, out + 18 * i);
	} else {
		for (size_t i = 0; i < n; i++)
			put_block(head, 4, codes + 16 * i, out + 20 * i);
	}
}

const struct ggml_blocks_kernel ggml_blocks_kernel_scalar = {put_bytes, put_nibbles};
