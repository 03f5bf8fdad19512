/* SPDX-License-Identifier: MIT */
/*
 * dequant_neon.c - the NEON kernel: table lookups for 16 numbers, arithmetic for 256.
 *
 * 4 bits: each byte of the numbers has a plane of 16 that TBL looks up; zipping joins the planes.
 * 8 bits to 32: a multiplication, which is exactly rounded. 8 bits to 16: the product in F32,
 * rounded once more, wherever trying all codes showed that to be right; to BF16 by one instruction
 * that adds to the bits and keeps the upper halves.
 *
 * Without a table, the product is rounded to odd in F32 (truncated, its last bit set if anything
 * was lost), which has digits enough that rounding it once more gives what rounding once would.
 */
#include "codec/dequant_kernels.h"

#include <arm_neon.h>

struct product {
	int32x4_t minus_zero;
	uint32x4_t bias;
	float32x4_t factor;
};

static inline struct product product_of(const struct dequant_plan *plan, float factor)
{
	return (struct product){vdupq_n_s32(-plan->params.zero_point), vdupq_n_u32(plan->bias),
				vdupq_n_f32(factor)};
}

static inline struct product load_exact(const struct dequant_plan *plan)
{
	return product_of(plan, plan->params.scale);
}

static inline struct product load_settled(const struct dequant_plan *plan)
{
	return product_of(plan, plan->factor);
}

/* Sixteen codes minus the zero point. */
struct differences {
	float32x4_t of[4];
};

static inline float32x4_t difference(const struct product *product, uint16x4_t code)
{
	return vcvtq_f32_s32(
	    vreinterpretq_s32_u32(vaddw_u16(vreinterpretq_u32_s32(product->minus_zero), code)));
}

static inline struct differences load16(const struct product *product, const uint8_t *codes)
{
	uint8x16_t code = vld1q_u8(codes);
	uint16x8_t low = vmovl_u8(vget_low_u8(code)), high = vmovl_high_u8(code);

	return (struct differences){
	    {difference(product, vget_low_u16(low)), difference(product, vget_high_u16(low)),
	     difference(product, vget_low_u16(high)), difference(product, vget_high_u16(high))}};
}

static inline void product_f32(const struct product *product, const uint8_t *codes, uint8_t *out)
{
	struct differences code = load16(product, codes);

#pragma GCC unroll 4
	for (unsigned i = 0; i < 4; i++)
		vst1q_u8(out + 16 * i,
			 vreinterpretq_u8_f32(vmulq_f32(code.of[i], product->factor)));
}
DEQUANT_EXPAND(direct_f32, 8, 4, 16, struct product, load_exact, product_f32)

/*
 * What rounding lost is exact in F32: both the rounded number and the product are multiples of
 * 2^-149, and it has the digits of the difference at most. Nothing is lost below the normal
 * numbers. The nearest number is truncated by one step towards zero where it lies beyond.
 */
static inline float32x4_t to_odd(const struct product *product, float32x4_t difference)
{
	float32x4_t nearest = vmulq_f32(difference, product->factor);
	float32x4_t lost = vfmaq_f32(vnegq_f32(nearest), difference, product->factor);
	uint32x4_t bits = vreinterpretq_u32_f32(nearest);
	uint32x4_t inexact = vmvnq_u32(vceqzq_f32(lost));
	int32x4_t beyond =
	    vshrq_n_s32(vreinterpretq_s32_u32(veorq_u32(vreinterpretq_u32_f32(lost), bits)), 31);

	bits = vaddq_u32(bits, vandq_u32(vreinterpretq_u32_s32(beyond), inexact));
	return vreinterpretq_f32_u32(vorrq_u32(bits, vshrq_n_u32(inexact, 31)));
}

static inline void store_f16(uint8_t *out, float32x4_t first, float32x4_t second)
{
	float16x8_t numbers = vcvt_high_f16_f32(vcvt_f16_f32(first), second);

	vst1q_u8(out, vreinterpretq_u8_f16(numbers));
}

static inline void product_f16(const struct product *product, const uint8_t *codes, uint8_t *out)
{
	struct differences code = load16(product, codes);

#pragma GCC unroll 4
	for (unsigned i = 0; i < 4; i++)
		code.of[i] = vmulq_f32(code.of[i], product->factor);
	store_f16(out, code.of[0], code.of[1]);
	store_f16(out + 16, code.of[2], code.of[3]);
}
DEQUANT_EXPAND(by_product_f16, 8, 2, 16, struct product, load_settled, product_f16)

static inline void exact_f16(const struct product *product, const uint8_t *codes, uint8_t *out)
{
	struct differences code = load16(product, codes);

#pragma GCC unroll 4
	for (unsigned i = 0; i < 4; i++)
		code.of[i] = to_odd(product, code.of[i]);
	store_f16(out, code.of[0], code.of[1]);
	store_f16(out + 16, code.of[2], code.of[3]);
}
DEQUANT_EXPAND(direct_f16, 8, 2, 16, struct product, load_exact, exact_f16)

/* The upper halves of bits + bias. */
static inline void store_bf16(uint8_t *out, float32x4_t first, float32x4_t second, uint32x4_t bias)
{
	uint16x4_t low = vaddhn_u32(vreinterpretq_u32_f32(first), bias);
	uint16x8_t numbers = vaddhn_high_u32(low, vreinterpretq_u32_f32(second), bias);

	vst1q_u8(out, vreinterpretq_u8_u16(numbers));
}

static inline void biased_bf16(const struct product *product, const uint8_t *codes, uint8_t *out)
{
	struct differences code = load16(product, codes);

#pragma GCC unroll 4
	for (unsigned i = 0; i < 4; i++)
		code.of[i] = vmulq_f32(code.of[i], product->factor);
	store_bf16(out, code.of[0], code.of[1], product->bias);
	store_bf16(out + 16, code.of[2], code.of[3], product->bias);
}
DEQUANT_EXPAND(by_biased_bf16, 8, 2, 16, struct product, load_settled, biased_bf16)

/* One more in the lower half where the upper is odd: then 0x7fff rounds to even. */
static inline float32x4_t lean_to_even(float32x4_t number)
{
	uint32x4_t bits = vreinterpretq_u32_f32(number);

	return vreinterpretq_f32_u32(vsraq_n_u32(bits, vshlq_n_u32(bits, 15), 31));
}

static inline void product_bf16(const struct product *product, const uint8_t *codes, uint8_t *out)
{
	const uint32x4_t bias = vdupq_n_u32(0x7fff);
	struct differences code = load16(product, codes);

#pragma GCC unroll 4
	for (unsigned i = 0; i < 4; i++)
		code.of[i] = lean_to_even(vmulq_f32(code.of[i], product->factor));
	store_bf16(out, code.of[0], code.of[1], bias);
	store_bf16(out + 16, code.of[2], code.of[3], bias);
}
DEQUANT_EXPAND(by_product_bf16, 8, 2, 16, struct product, load_settled, product_bf16)

static inline void exact_bf16(const struct product *product, const uint8_t *codes, uint8_t *out)
{
	const uint32x4_t bias = vdupq_n_u32(0x7fff);
	struct differences code = load16(product, codes);

#pragma GCC unroll 4
	for (unsigned i = 0; i < 4; i++)
		code.of[i] = lean_to_even(to_odd(product, code.of[i]));
	store_bf16(out, code.of[0], code.of[1], bias);
	store_bf16(out + 16, code.of[2], code.of[3], bias);
}
DEQUANT_EXPAND(direct_bf16, 8, 2, 16, struct product, load_exact, exact_bf16)

/* 4 bits: byte i of the numbers. */
struct planes {
	uint8x16_t bytes[4];
};

static inline struct planes load_planes(const struct dequant_plan *plan)
{
	return (struct planes){{vld1q_u8(plan->layout), vld1q_u8(plan->layout + 16),
				vld1q_u8(plan->layout + 32), vld1q_u8(plan->layout + 48)}};
}

/* The codes of sixteen bytes, in sequence. */
static inline uint8x16x2_t split(const uint8_t *codes)
{
	uint8x16_t bytes = vld1q_u8(codes);
	uint8x16_t even = vandq_u8(bytes, vdupq_n_u8(15)), odd = vshrq_n_u8(bytes, 4);

	return (uint8x16x2_t){{vzip1q_u8(even, odd), vzip2q_u8(even, odd)}};
}

static inline void expand_planes16(const struct planes *planes, const uint8_t *codes, uint8_t *out)
{
	uint8x16x2_t code = split(codes);

#pragma GCC unroll 2
	for (unsigned i = 0; i < 2; i++) {
		uint8x16_t low = vqtbl1q_u8(planes->bytes[0], code.val[i]);
		uint8x16_t high = vqtbl1q_u8(planes->bytes[1], code.val[i]);
		vst1q_u8(out + 32 * i, vzip1q_u8(low, high));
		vst1q_u8(out + 32 * i + 16, vzip2q_u8(low, high));
	}
}
DEQUANT_EXPAND(by_planes16, 4, 2, 32, struct planes, load_planes, expand_planes16)

static inline void store_zipped16(uint8_t *out, uint8x16_t low, uint8x16_t high)
{
	uint16x8_t first = vreinterpretq_u16_u8(low), second = vreinterpretq_u16_u8(high);

	vst1q_u8(out, vreinterpretq_u8_u16(vzip1q_u16(first, second)));
	vst1q_u8(out + 16, vreinterpretq_u8_u16(vzip2q_u16(first, second)));
}

static inline void expand_planes32(const struct planes *planes, const uint8_t *codes, uint8_t *out)
{
	uint8x16x2_t code = split(codes);

#pragma GCC unroll 2
	for (unsigned i = 0; i < 2; i++) {
		uint8x16_t byte[4];
#pragma GCC unroll 4
		for (unsigned k = 0; k < 4; k++)
			byte[k] = vqtbl1q_u8(planes->bytes[k], code.val[i]);
		store_zipped16(out + 64 * i, vzip1q_u8(byte[0], byte[1]),
			       vzip1q_u8(byte[2], byte[3]));
		store_zipped16(out + 64 * i + 32, vzip2q_u8(byte[0], byte[1]),
			       vzip2q_u8(byte[2], byte[3]));
	}
}
DEQUANT_EXPAND(by_planes32, 4, 4, 32, struct planes, load_planes, expand_planes32)

static void settle(struct dequant_plan *plan, size_t count)
{
	(void)count;
	if (plan->bits == 4) {
		plan->expand = plan->type == DEQUANT_F32 ? by_planes32 : by_planes16;
		dequant_split_table(plan);
	} else if (plan->type == DEQUANT_F16) {
		dequant_settle_rounding(plan, by_product_f16);
	} else {
		const uint32_t scale = dequant_bits_of(plan->params.scale);
		if (!dequant_gives_table(plan, by_biased_bf16, scale, DEQUANT_HALF_UP) &&
		    !dequant_gives_table(plan, by_biased_bf16, scale, DEQUANT_HALF_DOWN))
			dequant_settle_rounding(plan, by_product_bf16);
	}
}

const struct dequant_kernel dequant_kernel_neon = {
    .direct = {direct_f32, direct_f16, direct_bf16},
    .direct_up_to = {SIZE_MAX, 592, 544},
    .settle = settle,
};
