/* SPDX-License-Identifier: MIT */
/*
 * ggml_blocks_avx512.c - the AVX-512 kernel: permutes put codes where blocks have them.
 *
 * A register of output holds three blocks of 4 bits, or nearly two of 8. It is stored whole, and
 * what is behind its last block is written again with the next; so the last blocks of all are left
 * to another kernel.
 */
#include "codec/ggml_blocks_kernels.h"

#include <immintrin.h>
#include <string.h>

/* Where the bytes of a register of blocks are: in the codes, or in the heads. */
struct layout {
	__m512i codes;  /* for each byte of output the byte of codes; of 4 bits: elements 0 to 15 */
	__m512i heads;  /* the bytes of d and m, 0 elsewhere */
	__mmask64 data; /* which are of codes */
};

static struct layout layout_of(const struct ggml_blocks *blocks)
{
	const unsigned head = blocks->head, size = blocks->size;
	const uint8_t bytes[4] = {(uint8_t)blocks->d, (uint8_t)(blocks->d >> 8), (uint8_t)blocks->m,
				  (uint8_t)(blocks->m >> 8)};
	const unsigned shared =
	    blocks->codes_size == 16 ? 2 : 1; /* bytes of output of each code's */
	uint8_t codes[64] = {0}, heads[64] = {0};
	struct layout layout = {.data = 0};

	for (unsigned i = 0; i < 64; i++) {
		unsigned block = i / size, at = i % size;
		if (at < head) {
			heads[i] = bytes[at];
			continue;
		}
		codes[i] = (uint8_t)(blocks->codes_size * block + (at - head) / shared);
		layout.data |= (__mmask64)1 << i;
	}
	layout.codes = _mm512_loadu_si512(codes);
	layout.heads = _mm512_loadu_si512(heads);
	return layout;
}

static void put_bytes(const struct ggml_blocks *blocks, const uint8_t *codes, size_t n,
		      uint8_t *out)
{
	const struct layout layout = layout_of(blocks);
	/* Codes become signed, heads what they are. */
	const __m512i flip =
	    _mm512_or_si512(layout.heads, _mm512_maskz_set1_epi8(layout.data, -128));

	for (; n >= 2; n -= 2, codes += 64, out += 68) {
		__m512i both = _mm512_loadu_si512(codes);
		__m512i placed = _mm512_maskz_permutexvar_epi8(layout.data, layout.codes, both);
		uint32_t last;
		_mm512_storeu_si512(out, _mm512_xor_si512(placed, flip));
		memcpy(&last, codes + 60, 4);
		last ^= 0x80808080u;
		memcpy(out + 64, &last, 4);
	}
	ggml_blocks_kernel_avx2.bytes(blocks, codes, n, out);
}

static void put_nibbles(const struct ggml_blocks *blocks, const uint8_t *codes, size_t n,
			uint8_t *out)
{
	const struct layout layout = layout_of(blocks);
	const __m512i above = _mm512_add_epi8(layout.codes, _mm512_set1_epi8(8));
	const __m512i low_half = _mm512_set1_epi8(15);
	/* Heads have an even size, so odd bytes are odd elements. */
	const __mmask64 odd = UINT64_C(0xaaaaaaaaaaaaaaaa);
	const size_t step = 3 * (size_t)blocks->size;

	for (; n >= 4; n -= 3, codes += 48, out += step) {
		__m512i four = _mm512_loadu_si512(codes);
		__m512i low = _mm512_permutexvar_epi8(layout.codes, four);
		__m512i high = _mm512_permutexvar_epi8(above, four);
		low = _mm512_mask_blend_epi8(odd, low, _mm512_srli_epi16(low, 4));
		high = _mm512_mask_blend_epi8(odd, _mm512_slli_epi16(high, 4), high);
		__m512i both = _mm512_ternarylogic_epi32(low_half, low, high, 0xca);
		_mm512_storeu_si512(out, _mm512_mask_mov_epi8(layout.heads, layout.data, both));
	}
	ggml_blocks_kernel_avx2.nibbles(blocks, codes, n, out);
}

const struct ggml_blocks_kernel ggml_blocks_kernel_avx512 = {put_bytes, put_nibbles};
