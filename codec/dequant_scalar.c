/* SPDX-License-Identifier: MIT */
/*
 * dequant_scalar.c - the kernel for any machine: tables; with 4 bits, of both numbers of a byte.
 * Two loops are for the compiler to vectorise, which clang does with __builtin_memcpy() only.
 *
 * Where a row is too short for that: F32 is one multiplication of exact operands. The others go
 * through a double, which holds the product exactly, and is rounded in its bits.
 */
#include "codec/dequant_kernels.h"

void dequant_by_table16(const struct dequant_plan *plan, const uint8_t *codes, size_t count,
			uint8_t *out)
{
	for (size_t i = 0; i < count; i++)
		memcpy(out + 2 * i, plan->table + 2 * (size_t)codes[i], 2);
}

void dequant_by_table32(const struct dequant_plan *plan, const uint8_t *codes, size_t count,
			uint8_t *out)
{
	for (size_t i = 0; i < count; i++)
		memcpy(out + 4 * i, plan->table + 4 * (size_t)codes[i], 4);
}

static void direct_f32(const struct dequant_plan *plan, const uint8_t *codes, size_t count,
		       uint8_t *out)
{
	const int32_t zero = plan->params.zero_point;
	const float scale = plan->params.scale;

	for (size_t i = 0; i < count; i++) {
		float number = (float)(codes[i] - zero) * scale;
		__builtin_memcpy(out + 4 * i, &number, 4);
	}
}

/*
 * The numbers of two bytes with `digits` in the significand and this bias of the exponent. In a
 * double of a magnitude that is normal in the type, its bits from the highest digit down are those
 * of the number, but for the biases.
 */
static inline void direct16(const struct dequant_plan *plan, const uint8_t *codes, size_t count,
			    uint8_t *out, unsigned digits, uint64_t bias)
{
	const unsigned shift = 53 - digits;
	const uint64_t half = UINT64_C(1) << (shift - 1);
	const uint64_t rebias = (1023 - bias) << (digits - 1);
	const uint64_t smallest = (1023 - bias + 1) << 52, infinity = (2 * bias + 1)
								      << (digits - 1);

	for (size_t i = 0; i < count; i++) {
		double product = (double)(codes[i] - plan->params.zero_point) * plan->params.scale;
		uint64_t bits, number;
		uint16_t result;
		memcpy(&bits, &product, sizeof(bits));
		uint64_t magnitude = bits & INT64_MAX;
		if (magnitude >= smallest) {
			number =
			    ((magnitude + half - 1 + (magnitude >> shift & 1)) >> shift) - rebias;
			number = number < infinity ? number : infinity;
			result = (uint16_t)(number | (bits >> 63) << 15);
		} else {
			result = (uint16_t)dequant_number(&plan->params, codes[i], plan->type);
		}
		memcpy(out + 2 * i, &result, 2);
	}
}

static void direct_f16(const struct dequant_plan *plan, const uint8_t *codes, size_t count,
		       uint8_t *out)
{
	direct16(plan, codes, count, out, 11, 15);
}

static void direct_bf16(const struct dequant_plan *plan, const uint8_t *codes, size_t count,
			uint8_t *out)
{
	direct16(plan, codes, count, out, 8, 127);
}

/* To BF16: the upper half of the product's bits, rounded by an addition to them. */
static void by_biased_bf16(const struct dequant_plan *plan, const uint8_t *codes, size_t count,
			   uint8_t *out)
{
	const int32_t zero = plan->params.zero_point;
	const uint32_t bias = plan->bias;
	const float factor = plan->factor;

	for (size_t i = 0; i < count; i++) {
		float product = (float)(codes[i] - zero) * factor;
		uint16_t number = (uint16_t)((dequant_bits_of(product) + bias) >> 16);
		__builtin_memcpy(out + 2 * i, &number, 2);
	}
}

/* Codes of 4 bits, one by one. */
static inline void by_sixteen(const struct dequant_plan *plan, const uint8_t *codes, size_t count,
			      uint8_t *out, size_t size)
{
	for (; count >= 2; count -= 2, codes++, out += 2 * size) {
		memcpy(out, plan->table + size * (*codes & 15u), size);
		memcpy(out + size, plan->table + size * (size_t)(*codes >> 4), size);
	}
	if (count > 0)
		memcpy(out, plan->table + size * (*codes & 15u), size);
}

static void by_sixteen16(const struct dequant_plan *plan, const uint8_t *codes, size_t count,
			 uint8_t *out)
{
	by_sixteen(plan, codes, count, out, 2);
}

static void by_sixteen32(const struct dequant_plan *plan, const uint8_t *codes, size_t count,
			 uint8_t *out)
{
	by_sixteen(plan, codes, count, out, 4);
}

/* Codes of 4 bits in pairs: plan->layout has both numbers of each byte. */
static inline void by_pairs(const struct dequant_plan *plan, const uint8_t *codes, size_t count,
			    uint8_t *out, size_t size)
{
	for (; count >= 2; count -= 2, codes++, out += 2 * size)
		memcpy(out, plan->layout + 2 * size * (size_t)*codes, 2 * size);
	if (count > 0)
		memcpy(out, plan->layout + 2 * size * (size_t)*codes, size);
}

static void by_pairs16(const struct dequant_plan *plan, const uint8_t *codes, size_t count,
		       uint8_t *out)
{
	by_pairs(plan, codes, count, out, 2);
}

static void by_pairs32(const struct dequant_plan *plan, const uint8_t *codes, size_t count,
		       uint8_t *out)
{
	by_pairs(plan, codes, count, out, 4);
}

static inline void pair_up(struct dequant_plan *plan, size_t size)
{
	for (size_t code = 0; code < 256; code++) {
		uint8_t *pair = plan->layout + 2 * size * code;
		memcpy(pair, plan->table + size * (code & 15), size);
		memcpy(pair + size, plan->table + size * (code >> 4), size);
	}
}

enum { PAIRS_PAY = 1024 }; /* elements */

static void settle(struct dequant_plan *plan, size_t count)
{
	int wide = plan->type == DEQUANT_F32;

	if (plan->bits == 8) {
		const uint32_t scale = dequant_bits_of(plan->params.scale);
		if (plan->type == DEQUANT_BF16 &&
		    (dequant_gives_table(plan, by_biased_bf16, scale, DEQUANT_HALF_UP) ||
		     dequant_gives_table(plan, by_biased_bf16, scale, DEQUANT_HALF_DOWN)))
			return;
		plan->expand = dequant_by_table16;
	} else if (count < PAIRS_PAY) {
		plan->expand = wide ? by_sixteen32 : by_sixteen16;
	} else if (wide) {
		plan->expand = by_pairs32;
		pair_up(plan, 4);
	} else {
		plan->expand = by_pairs16;
		pair_up(plan, 2);
	}
}

const struct dequant_kernel dequant_kernel_scalar = {
    .direct = {direct_f32, direct_f16, direct_bf16},
    .direct_up_to = {SIZE_MAX, 320, 320},
    .settle = settle,
};
