/* SPDX-License-Identifier: MIT */
/*
 * ggml_blocks_avx2.c - the AVX2 kernel: four blocks of 4 bits, or one of 8, at a time.
 *
 * Of 4 bits, eight bytes of elements 0 to 15 and eight of 16 to 31 become eight bytes of the even
 * elements and eight of the odd ones, which unpacking interleaves.
 */
#include "codec/ggml_blocks_kernels.h"

#include <immintrin.h>
#include <string.h>

static inline __m256i load(const uint8_t *bytes)
{
	return _mm256_loadu_si256((const __m256i *)bytes);
}

static void put_bytes(const struct ggml_blocks *blocks, const uint8_t *codes, size_t n,
		      uint8_t *out)
{
	const __m256i sign = _mm256_set1_epi8(-128);
	const uint16_t d = blocks->d;

	for (size_t i = 0; i < n; i++, codes += 32, out += 34) {
		memcpy(out, &d, 2);
		_mm256_storeu_si256((__m256i *)(out + 2), _mm256_xor_si256(load(codes), sign));
	}
}

static inline void put_half(uint32_t head, size_t head_size, __m128i half, uint8_t *out)
{
	memcpy(out, &head, head_size);
	_mm_storeu_si128((__m128i *)(out + head_size), half);
}

static inline void put_four(uint32_t head, size_t head_size, const uint8_t *codes, uint8_t *out)
{
	const size_t size = head_size + 16;
	const __m256i low_half = _mm256_set1_epi8(15);
	__m256i first = load(codes), second = load(codes + 32);
	/* Of blocks 0, 2, 1 and 3, in this order: elements 0 to 15, and 16 to 31. */
	__m256i low = _mm256_unpacklo_epi64(first, second);
	__m256i high = _mm256_unpackhi_epi64(first, second);
	__m256i even = _mm256_or_si256(_mm256_and_si256(low_half, low),
				       _mm256_andnot_si256(low_half, _mm256_slli_epi16(high, 4)));
	__m256i odd = _mm256_or_si256(_mm256_and_si256(low_half, _mm256_srli_epi16(low, 4)),
				      _mm256_andnot_si256(low_half, high));
	__m256i evens = _mm256_unpacklo_epi8(even, odd), odds = _mm256_unpackhi_epi8(even, odd);

	put_half(head, head_size, _mm256_castsi256_si128(evens), out);
	put_half(head, head_size, _mm256_extracti128_si256(evens, 1), out + size);
	put_half(head, head_size, _mm256_castsi256_si128(odds), out + 2 * size);
	put_half(head, head_size, _mm256_extracti128_si256(odds, 1), out + 3 * size);
}

static void put_nibbles(const struct ggml_blocks *blocks, const uint8_t *codes, size_t n,
			uint8_t *out)
{
	const uint32_t head = ggml_blocks_head(blocks);
	size_t i = 0;

	if (blocks->head == 2) {
		for (; n - i >= 4; i += 4)
			put_four(head, 2, codes + 16 * i, out + 18 * i);
	} else {
		for (; n - i >= 4; i += 4)
			put_four(head, 4, codes + 16 * i, out + 20 * i);
	}
	ggml_blocks_kernel_scalar.nibbles(blocks, codes + 16 * i, n - i, out + blocks->size * i);
}

const struct ggml_blocks_kernel ggml_blocks_kernel_avx2 = {put_bytes, put_nibbles};
