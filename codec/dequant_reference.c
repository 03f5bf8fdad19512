/* SPDX-License-Identifier: MIT */
/*
 * dequant_reference.c - one number at a time, by the definition, with integers only.
 *
 * |scale| is m * 2^e with m < 2^24, and |q - zero_point| < 2^32: the product p of m and that is
 * exact in 64 bits, and |scale * (q - zero_point)| is p * 2^e. A type's numbers around it are
 * multiples of 2^u, where u is the exponent of the number's highest bit minus the digits that
 * follow it, but not less than that of the smallest subnormal number. So the number in units of
 * 2^u is p, shifted by u - e and rounded; and since subnormal and normal numbers, each binade with
 * twice the unit of the one before, follow each other without gaps, its bits are that plus
 * 2^(digits - 1) for each unit's step. A carry into the next binade, or to infinity, is right by
 * itself.
 */
#include "codec/dequant_kernels.h"

struct format {
	int digits;        /* of the significand, the leading one included */
	int least;         /* exponent of the smallest subnormal number */
	uint32_t infinity; /* its bits */
	uint32_t minus;
};

static const struct format formats[DEQUANT_TYPES] = {
    [DEQUANT_F32] = {24, -149, 0x7f800000, 0x80000000},
    [DEQUANT_F16] = {11, -24, 0x7c00, 0x8000},
    [DEQUANT_BF16] = {8, -133, 0x7f80, 0x8000},
};

static int bit_length(uint64_t number)
{
	int length = 0;

	for (; number != 0; number >>= 1)
		length++;
	return length;
}

/* number / 2^shift, to the nearest, halves to even; number < 2^56. */
static uint64_t shift_rounding(uint64_t number, int shift)
{
	if (shift <= 0)
		return number << -shift;
	if (shift > 57)
		return 0;
	uint64_t half = UINT64_C(1) << (shift - 1);
	uint64_t quotient = number >> shift, rest = number & (2 * half - 1);
	return quotient + (rest > half || (rest == half && quotient % 2 != 0));
}

uint32_t dequant_number(const struct dequant_params *params, unsigned code, enum dequant_type type)
{
	const struct format *format = &formats[type];
	const uint32_t scale = dequant_bits_of(params->scale);
	const int64_t difference = (int64_t)code - params->zero_point;
	const uint32_t sign = (scale >> 31) ^ (difference < 0) ? format->minus : 0;
	int exponent = (int)(scale >> 23 & 0xff);
	uint64_t product = scale & 0x7fffff;

	if (exponent > 0)
		product |= 0x800000;
	else
		exponent = 1;
	exponent -= 127 + 23;
	product *= (uint64_t)(difference < 0 ? -difference : difference);
	if (product == 0)
		return sign;

	int unit = exponent + bit_length(product) - format->digits;
	if (unit < format->least)
		unit = format->least;
	uint64_t number = shift_rounding(product, unit - exponent) +
			  ((uint64_t)(unit - format->least) << (format->digits - 1));
	return sign | (number < format->infinity ? (uint32_t)number : format->infinity);
}

static void put(const struct dequant_plan *plan, unsigned code, size_t index, uint8_t *out)
{
	size_t size = dequant_size(plan->type);
	uint32_t number = dequant_number(&plan->params, code, plan->type);

	for (size_t byte = 0; byte < size; byte++)
		out[size * index + byte] = (uint8_t)(number >> 8 * byte);
}

static void expand8(const struct dequant_plan *plan, const uint8_t *codes, size_t count,
		    uint8_t *out)
{
	for (size_t i = 0; i < count; i++)
		put(plan, codes[i], i, out);
}

static void expand4(const struct dequant_plan *plan, const uint8_t *codes, size_t count,
		    uint8_t *out)
{
	for (size_t i = 0; i < count; i++)
		put(plan, i % 2 == 0 ? codes[i / 2] & 15u : codes[i / 2] >> 4, i, out);
}

static void settle(struct dequant_plan *plan, size_t count)
{
	(void)count;
	plan->expand = plan->bits == 8 ? expand8 : expand4;
}

const struct dequant_kernel dequant_kernel_reference = {
    .direct = {expand8, expand8, expand8},
    .direct_up_to = {SIZE_MAX, SIZE_MAX, SIZE_MAX},
    .settle = settle,
};
