/* SPDX-License-Identifier: MIT */
/*
 * dequant_avx512.c - the AVX-512 VBMI kernel: tables in registers, looked up by permutes.
 *
 * 8 bits to 16: the 256 numbers lie in eight registers, lower and upper bytes apart. Two permutes
 * look up 64 codes in half a plane each, the codes' highest bits choose between them. 4 bits: the
 * sixteen numbers are one register; codes are brought to lanes of a number's width, of which the
 * permute looks at the lowest bits. 8 bits to 32 would take sixteen registers, and a
 * multiplication, which is exactly rounded, is faster.
 *
 * Without a table, the product is rounded to odd in F32 (truncated, its last bit set if anything
 * was lost), which has digits enough that rounding it once more gives what rounding once would.
 */
#include "codec/dequant_kernels.h"

#include <immintrin.h>

/* Without a table. */
struct product {
	__m512i zero;
	__m512 scale;
};

static inline struct product load_product(const struct dequant_plan *plan)
{
	return (struct product){_mm512_set1_epi32(plan->params.zero_point),
				_mm512_set1_ps(plan->params.scale)};
}

static inline __m512 differences(const struct product *product, const uint8_t *codes)
{
	__m512i code = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)codes));

	return _mm512_cvtepi32_ps(_mm512_sub_epi32(code, product->zero));
}

static inline void product_f32(const struct product *product, const uint8_t *codes, uint8_t *out)
{
	_mm512_storeu_ps(out, _mm512_mul_ps(differences(product, codes), product->scale));
}
DEQUANT_EXPAND(direct_f32, 8, 4, 16, struct product, load_product, product_f32)

/*
 * What a truncated product lost is exact in F32: both it and the product are multiples of 2^-149
 * and it has the digits of the difference at most. Nothing is lost below the normal numbers.
 */
static inline __m512 product_to_odd(const struct product *product, const uint8_t *codes)
{
	__m512 difference = differences(product, codes);
	__m512 truncated =
	    _mm512_mul_round_ps(difference, product->scale, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
	__m512 lost = _mm512_fmsub_ps(difference, product->scale, truncated);
	__mmask16 inexact = _mm512_cmp_ps_mask(lost, _mm512_setzero_ps(), _CMP_NEQ_UQ);
	__m512i bits = _mm512_castps_si512(truncated);

	return _mm512_castsi512_ps(_mm512_mask_or_epi32(bits, inexact, bits, _mm512_set1_epi32(1)));
}

static inline void product_f16(const struct product *product, const uint8_t *codes, uint8_t *out)
{
	__m256i numbers = _mm512_cvtps_ph(product_to_odd(product, codes),
					  _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);

	_mm256_storeu_si256((__m256i *)out, numbers);
}
DEQUANT_EXPAND(direct_f16, 8, 2, 16, struct product, load_product, product_f16)

static inline void product_bf16(const struct product *product, const uint8_t *codes, uint8_t *out)
{
	__m512i bits = _mm512_castps_si512(product_to_odd(product, codes));
	__m512i even = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));

	bits = _mm512_add_epi32(bits, _mm512_add_epi32(even, _mm512_set1_epi32(0x7fff)));
	_mm256_storeu_si256((__m256i *)out, _mm512_cvtepi32_epi16(_mm512_srli_epi32(bits, 16)));
}
DEQUANT_EXPAND(direct_bf16, 8, 2, 16, struct product, load_product, product_bf16)

/* 8 bits to 16. */
struct planes {
	__m512i low[4], high[4];
	__m512i order; /* of eight codes each, so that interleaving leaves them in sequence */
};

static inline struct planes load_planes(const struct dequant_plan *plan)
{
	struct planes planes;

	planes.order = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7);
#pragma GCC unroll 4
	for (unsigned i = 0; i < 4; i++) {
		planes.low[i] = _mm512_load_si512(plan->layout + 64 * i);
		planes.high[i] = _mm512_load_si512(plan->layout + 256 + 64 * i);
	}
	return planes;
}

static inline __m512i look_up(const __m512i plane[4], __m512i code, __mmask64 upper)
{
	return _mm512_mask_blend_epi8(upper, _mm512_permutex2var_epi8(plane[0], code, plane[1]),
				      _mm512_permutex2var_epi8(plane[2], code, plane[3]));
}

static inline void expand_planes(const struct planes *planes, const uint8_t *codes, uint8_t *out)
{
	__m512i code = _mm512_permutexvar_epi64(planes->order, _mm512_loadu_si512(codes));
	__mmask64 upper = _mm512_movepi8_mask(code);
	__m512i low = look_up(planes->low, code, upper), high = look_up(planes->high, code, upper);

	_mm512_storeu_si512(out, _mm512_unpacklo_epi8(low, high));
	_mm512_storeu_si512(out + 64, _mm512_unpackhi_epi8(low, high));
}
DEQUANT_EXPAND(by_planes, 8, 2, 64, struct planes, load_planes, expand_planes)

static inline void split_planes(struct dequant_plan *plan)
{
	const __m512i even = _mm512_set1_epi16(0x00ff);

#pragma GCC unroll 8
	for (unsigned i = 0; i < 8; i++) {
		__m512i numbers = _mm512_load_si512(plan->table + 64 * i);
		_mm256_store_si256((__m256i *)(plan->layout + 32 * i),
				   _mm512_cvtepi16_epi8(_mm512_and_si512(numbers, even)));
		_mm256_store_si256((__m256i *)(plan->layout + 256 + 32 * i),
				   _mm512_cvtepi16_epi8(_mm512_srli_epi16(numbers, 8)));
	}
}

/* 4 bits. */
struct sixteen {
	__m512i numbers; /* 16 of 32 bits, or 32 of 16, in which the highest bit of five tells
			    nothing */
	__m512i shifts;  /* bits of a lane of 64 that each of its bytes begins with */
};

static inline struct sixteen load_sixteen16(const struct dequant_plan *plan)
{
	__m256i numbers = _mm256_load_si256((const __m256i *)plan->table);

	/* From two codes in each half: lower and upper to the lanes of 16 bits. */
	return (struct sixteen){_mm512_broadcast_i64x4(numbers),
				_mm512_set1_epi64(0x0024002000040000)};
}

static inline void expand_sixteen16(const struct sixteen *table, const uint8_t *codes, uint8_t *out)
{
#pragma GCC unroll 4
	for (unsigned i = 0; i < 4; i++) {
		__m512i code =
		    _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(codes + 16 * i)));
		code = _mm512_multishift_epi64_epi8(table->shifts, code);
		_mm512_storeu_si512(out + 64 * i, _mm512_permutexvar_epi16(code, table->numbers));
	}
}
DEQUANT_EXPAND(by_sixteen16, 4, 2, 128, struct sixteen, load_sixteen16, expand_sixteen16)

static inline struct sixteen load_sixteen32(const struct dequant_plan *plan)
{
	return (struct sixteen){_mm512_load_si512(plan->table),
				_mm512_set1_epi64(0x0000000400000000)};
}

static inline void expand_sixteen32(const struct sixteen *table, const uint8_t *codes, uint8_t *out)
{
#pragma GCC unroll 4
	for (unsigned i = 0; i < 4; i++) {
		__m512i code =
		    _mm512_cvtepu8_epi64(_mm_loadl_epi64((const __m128i *)(codes + 8 * i)));
		code = _mm512_multishift_epi64_epi8(table->shifts, code);
		_mm512_storeu_si512(out + 64 * i, _mm512_permutexvar_epi32(code, table->numbers));
	}
}
DEQUANT_EXPAND(by_sixteen32, 4, 4, 64, struct sixteen, load_sixteen32, expand_sixteen32)

static void settle(struct dequant_plan *plan, size_t count)
{
	int wide = plan->type == DEQUANT_F32;

	(void)count;
	if (plan->bits == 4) {
		plan->expand = wide ? by_sixteen32 : by_sixteen16;
	} else {
		plan->expand = by_planes;
		split_planes(plan);
	}
}

const struct dequant_kernel dequant_kernel_avx512 = {
    .direct = {direct_f32, direct_f16, direct_bf16},
    .direct_up_to = {SIZE_MAX, 640, 480},
    .settle = settle,
};
