/* SPDX-License-Identifier: MIT */
/*
 * dequant_avx2.c - the AVX2 kernel: byte shuffles for tables of 16, arithmetic for 256.
 *
 * 4 bits: each byte of the numbers has a plane of 16 that a shuffle looks up; unpacking joins the
 * planes. 8 bits to 32: a multiplication, which is exactly rounded. 8 bits to 16: the product in
 * F32, rounded once more, wherever trying all codes showed that to be right. To BF16 that is one
 * addition to the bits of each product, and with the products of even and odd elements in two
 * registers, one blend brings the upper halves together.
 *
 * Without a table, the product is rounded to odd in F32 (truncated, its last bit set if anything
 * was lost), which has digits enough that rounding it once more gives what rounding once would.
 */
#include "codec/dequant_kernels.h"

#include <immintrin.h>

struct product {
	__m256i zero;
	__m256 factor;
};

static inline struct product product_of(const struct dequant_plan *plan, float factor)
{
	return (struct product){_mm256_set1_epi32(plan->params.zero_point), _mm256_set1_ps(factor)};
}

static inline struct product load_exact(const struct dequant_plan *plan)
{
	return product_of(plan, plan->params.scale);
}

static inline struct product load_settled(const struct dequant_plan *plan)
{
	return product_of(plan, plan->factor);
}

static inline __m256 difference(const struct product *product, __m256i code)
{
	return _mm256_cvtepi32_ps(_mm256_sub_epi32(code, product->zero));
}

static inline __m256i load8(const uint8_t *codes)
{
	return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)codes));
}

static inline void product_f32(const struct product *product, const uint8_t *codes, uint8_t *out)
{
#pragma GCC unroll 2
	for (unsigned i = 0; i < 2; i++) {
		__m256 code = difference(product, load8(codes + 8 * i));
		_mm256_storeu_si256((__m256i *)(out + 32 * i),
				    _mm256_castps_si256(_mm256_mul_ps(code, product->factor)));
	}
}
DEQUANT_EXPAND(direct_f32, 8, 4, 16, struct product, load_exact, product_f32)

/*
 * What rounding lost is exact in F32: both the rounded number and the product are multiples of
 * 2^-149, and it has the digits of the difference at most. Nothing is lost below the normal
 * numbers. The nearest number is truncated by one step towards zero where it lies beyond.
 */
static inline __m256 to_odd(const struct product *product, __m256 difference)
{
	__m256 nearest = _mm256_mul_ps(difference, product->factor);
	__m256 lost = _mm256_fmsub_ps(difference, product->factor, nearest);
	__m256i inexact =
	    _mm256_castps_si256(_mm256_cmp_ps(lost, _mm256_setzero_ps(), _CMP_NEQ_UQ));
	__m256i beyond = _mm256_srai_epi32(_mm256_castps_si256(_mm256_xor_ps(lost, nearest)), 31);
	__m256i truncated =
	    _mm256_add_epi32(_mm256_castps_si256(nearest), _mm256_and_si256(beyond, inexact));

	return _mm256_castsi256_ps(_mm256_or_si256(truncated, _mm256_srli_epi32(inexact, 31)));
}

static inline void store_f16(__m256 number, uint8_t *out)
{
	__m128i numbers = _mm256_cvtps_ph(number, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);

	/* On Zen 5, vcvtps2ph is slow to memory: clang is not to see that this is where it goes. */
	__asm__("" : "+x"(numbers));
	_mm_storeu_si128((__m128i *)out, numbers);
}

static inline void product_f16(const struct product *product, const uint8_t *codes, uint8_t *out)
{
#pragma GCC unroll 4
	for (unsigned i = 0; i < 4; i++) {
		__m256 code = difference(product, load8(codes + 8 * i));
		store_f16(_mm256_mul_ps(code, product->factor), out + 16 * i);
	}
}
DEQUANT_EXPAND(by_product_f16, 8, 2, 32, struct product, load_settled, product_f16)

static inline void exact_f16(const struct product *product, const uint8_t *codes, uint8_t *out)
{
#pragma GCC unroll 2
	for (unsigned i = 0; i < 2; i++) {
		__m256 code = difference(product, load8(codes + 8 * i));
		store_f16(to_odd(product, code), out + 16 * i);
	}
}
DEQUANT_EXPAND(direct_f16, 8, 2, 16, struct product, load_exact, exact_f16)

/* Sixteen codes, even and odd elements apart. */
struct halves {
	__m256 even, odd;
};

static inline struct halves load16(const struct product *product, const uint8_t *codes)
{
	__m256i pairs = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)codes));
	__m256i even = _mm256_and_si256(pairs, _mm256_set1_epi32(0xff));

	return (struct halves){difference(product, even),
			       difference(product, _mm256_srli_epi32(pairs, 8))};
}

static inline void store16(__m256i even, __m256i odd, uint8_t *out)
{
	_mm256_storeu_si256((__m256i *)out,
			    _mm256_blend_epi16(_mm256_srli_epi32(even, 16), odd, 0xaa));
}

static inline __m256i round_bf16(__m256 number)
{
	__m256i bits = _mm256_castps_si256(number);
	__m256i uneven = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));

	return _mm256_add_epi32(bits, _mm256_add_epi32(uneven, _mm256_set1_epi32(0x7fff)));
}

static inline void product_bf16(const struct product *product, const uint8_t *codes, uint8_t *out)
{
#pragma GCC unroll 2
	for (unsigned i = 0; i < 2; i++) {
		struct halves code = load16(product, codes + 16 * i);
		store16(round_bf16(_mm256_mul_ps(code.even, product->factor)),
			round_bf16(_mm256_mul_ps(code.odd, product->factor)), out + 32 * i);
	}
}
DEQUANT_EXPAND(by_product_bf16, 8, 2, 32, struct product, load_settled, product_bf16)

static inline void exact_bf16(const struct product *product, const uint8_t *codes, uint8_t *out)
{
	struct halves code = load16(product, codes);

	store16(round_bf16(to_odd(product, code.even)), round_bf16(to_odd(product, code.odd)), out);
}
DEQUANT_EXPAND(direct_bf16, 8, 2, 16, struct product, load_exact, exact_bf16)

/*
 * The shortest way from codes to products, open to factors of at most 22 digits. Added to the bits
 * of 1.5 * 2^23, an integer is added to the number. So an addition to the code makes that of
 * 1.5 * 2^23 + the difference; and with 1.5 * 2^23 * factor exact, a fused multiplication and
 * subtraction leaves just the product, rounded once. (But no negative zero.)
 */
struct fused {
	__m256i first, bias;
	__m256 factor, middle;
};

static inline struct fused load_fused(const struct dequant_plan *plan)
{
	const float middle = 0x1.8p23f;

	return (struct fused){
	    _mm256_set1_epi32((int32_t)dequant_bits_of(middle) - plan->params.zero_point),
	    _mm256_set1_epi32((int32_t)plan->bias), _mm256_set1_ps(plan->factor),
	    _mm256_set1_ps(middle * plan->factor)};
}

static inline __m256 fused_product(const struct fused *fused, __m256i code)
{
	__m256 number = _mm256_castsi256_ps(_mm256_add_epi32(code, fused->first));

	return _mm256_fmsub_ps(number, fused->factor, fused->middle);
}

static inline void fused_f16(const struct fused *fused, const uint8_t *codes, uint8_t *out)
{
#pragma GCC unroll 4
	for (unsigned i = 0; i < 4; i++)
		store_f16(fused_product(fused, load8(codes + 8 * i)), out + 16 * i);
}
DEQUANT_EXPAND(by_fused_f16, 8, 2, 32, struct fused, load_fused, fused_f16)

static inline void fused_bf16(const struct fused *fused, const uint8_t *codes, uint8_t *out)
{
	const __m256i even_codes =
	    _mm256_setr_epi8(0, -1, -1, -1, 2, -1, -1, -1, 4, -1, -1, -1, 6, -1, -1, -1, 8, -1, -1,
			     -1, 10, -1, -1, -1, 12, -1, -1, -1, 14, -1, -1, -1);
	const __m256i odd_codes = _mm256_add_epi8(even_codes, _mm256_set1_epi32(1));

#pragma GCC unroll 4
	for (unsigned i = 0; i < 4; i++) {
		__m256i code =
		    _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(codes + 16 * i)));
		__m256 even = fused_product(fused, _mm256_shuffle_epi8(code, even_codes));
		__m256 odd = fused_product(fused, _mm256_shuffle_epi8(code, odd_codes));
		store16(_mm256_add_epi32(_mm256_castps_si256(even), fused->bias),
			_mm256_add_epi32(_mm256_castps_si256(odd), fused->bias), out + 32 * i);
	}
}
DEQUANT_EXPAND(by_fused_bf16, 8, 2, 64, struct fused, load_fused, fused_bf16)

/* Is it right with the scale, or else with one of its neighbours of 22 digits? */
static int settle_fused(struct dequant_plan *plan, dequant_expand *fused, uint32_t bias)
{
	const uint32_t scale = dequant_bits_of(plan->params.scale), down = scale & ~3u;
	const uint32_t near = scale & 2 ? down + 4 : down, far = scale & 2 ? down : down + 4;

	return dequant_gives_table(plan, fused, near, bias) ||
	       (scale != down && dequant_gives_table(plan, fused, far, bias));
}

/* 4 bits: byte i of the numbers, the same in both halves. */
struct planes {
	__m256i bytes[4];
};

static inline struct planes load_planes(const struct dequant_plan *plan)
{
	struct planes planes;

#pragma GCC unroll 4
	for (unsigned i = 0; i < 4; i++)
		planes.bytes[i] = _mm256_broadcastsi128_si256(
		    _mm_load_si128((const __m128i *)(plan->layout + 16 * i)));
	return planes;
}

/* Codes of 32 bytes, in each half from the lower and from the upper eight bytes. */
struct codes {
	__m256i low, high;
};

static inline struct codes split(__m256i bytes)
{
	const __m256i mask = _mm256_set1_epi8(15);
	__m256i even = _mm256_and_si256(bytes, mask);
	__m256i odd = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), mask);

	return (struct codes){_mm256_unpacklo_epi8(even, odd), _mm256_unpackhi_epi8(even, odd)};
}

static inline void planes16(const struct planes *planes, __m256i code, uint8_t *out)
{
	__m256i low = _mm256_shuffle_epi8(planes->bytes[0], code);
	__m256i high = _mm256_shuffle_epi8(planes->bytes[1], code);

	_mm256_storeu_si256((__m256i *)out, _mm256_unpacklo_epi8(low, high));
	_mm256_storeu_si256((__m256i *)(out + 32), _mm256_unpackhi_epi8(low, high));
}

static inline void expand_planes16(const struct planes *planes, const uint8_t *codes, uint8_t *out)
{
	/* Unpacking works in each half: alternate fours of bytes go to either. */
	const __m256i order = _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7);
	__m256i bytes = _mm256_loadu_si256((const __m256i *)codes);
	struct codes code = split(_mm256_permutevar8x32_epi32(bytes, order));

	planes16(planes, code.low, out);
	planes16(planes, code.high, out + 64);
}
DEQUANT_EXPAND(by_planes16, 4, 2, 64, struct planes, load_planes, expand_planes16)

static inline void planes32(const struct planes *planes, __m256i code, uint8_t *out)
{
	__m256i byte[4], low[2], high[2];

#pragma GCC unroll 4
	for (unsigned i = 0; i < 4; i++)
		byte[i] = _mm256_shuffle_epi8(planes->bytes[i], code);
#pragma GCC unroll 2
	for (unsigned i = 0; i < 2; i++) {
		low[i] = _mm256_unpacklo_epi8(byte[2 * i], byte[2 * i + 1]);
		high[i] = _mm256_unpackhi_epi8(byte[2 * i], byte[2 * i + 1]);
	}
	_mm256_storeu_si256((__m256i *)out, _mm256_unpacklo_epi16(low[0], low[1]));
	_mm256_storeu_si256((__m256i *)(out + 32), _mm256_unpackhi_epi16(low[0], low[1]));
	_mm256_storeu_si256((__m256i *)(out + 64), _mm256_unpacklo_epi16(high[0], high[1]));
	_mm256_storeu_si256((__m256i *)(out + 96), _mm256_unpackhi_epi16(high[0], high[1]));
}

static inline void expand_planes32(const struct planes *planes, const uint8_t *codes, uint8_t *out)
{
	/* Of each sixteen bytes, alternate pairs go to either half. */
	const __m256i order = _mm256_broadcastsi128_si256(
	    _mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15));
	__m256i bytes = _mm256_shuffle_epi8(_mm256_loadu_si256((const __m256i *)codes), order);
	struct codes code = split(_mm256_permute4x64_epi64(bytes, _MM_SHUFFLE(3, 1, 2, 0)));

	planes32(planes, code.low, out);
	planes32(planes, code.high, out + 128);
}
DEQUANT_EXPAND(by_planes32, 4, 4, 64, struct planes, load_planes, expand_planes32)

static void settle(struct dequant_plan *plan, size_t count)
{
	(void)count;
	if (plan->bits == 4) {
		plan->expand = plan->type == DEQUANT_F32 ? by_planes32 : by_planes16;
		dequant_split_table(plan);
	} else if (plan->type == DEQUANT_F16) {
		if (!settle_fused(plan, by_fused_f16, 0))
			dequant_settle_rounding(plan, by_product_f16);
	} else if (!settle_fused(plan, by_fused_bf16, DEQUANT_HALF_UP) &&
		   !settle_fused(plan, by_fused_bf16, DEQUANT_HALF_DOWN)) {
		dequant_settle_rounding(plan, by_product_bf16);
	}
}

const struct dequant_kernel dequant_kernel_avx2 = {
    .direct = {direct_f32, direct_f16, direct_bf16},
    .direct_up_to = {SIZE_MAX, 512, 416},
    .settle = settle,
};
