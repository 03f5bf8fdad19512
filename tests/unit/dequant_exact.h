/* SPDX-License-Identifier: MIT */
/*
 * dequant_exact.h - is a number the one nearest to scale * (code - zero point)?
 *
 * By the definition of rounding and with integers wide enough for all of it: the product must lie
 * between the midpoints to the numbers before and after, and on one only if the number is even.
 * Nothing here rounds. Numbers of a type are counted by magnitude: their bits without the sign.
 */
#ifndef ENTROFS_TESTS_DEQUANT_EXACT_H
#define ENTROFS_TESTS_DEQUANT_EXACT_H

#include "codec/dequant.h"

#include <string.h>

/* Multiples of 2^-149, up to 2^203. */
enum { EXACT_LIMBS = 11, EXACT_UNIT = -149 };
struct exact {
	uint32_t limb[EXACT_LIMBS];
};

/* number * 2^exponent; number < 2^57, exponent >= EXACT_UNIT */
static inline struct exact exact_of(uint64_t number, int exponent)
{
	unsigned shift = (unsigned)(exponent - EXACT_UNIT), limb = shift / 32;
	uint64_t low = (number & UINT32_MAX) << shift % 32, high = number >> 32 << shift % 32;
	struct exact result = {{0}};

	result.limb[limb] = (uint32_t)low;
	result.limb[limb + 1] = (uint32_t)(low >> 32) | (uint32_t)high;
	result.limb[limb + 2] = (uint32_t)(high >> 32);
	return result;
}

static inline struct exact exact_sum(const struct exact *a, const struct exact *b)
{
	struct exact sum;
	uint64_t carry = 0;

	for (unsigned i = 0; i < EXACT_LIMBS; i++) {
		carry += (uint64_t)a->limb[i] + b->limb[i];
		sum.limb[i] = (uint32_t)carry;
		carry >>= 32;
	}
	return sum;
}

static inline int exact_compare(const struct exact *a, const struct exact *b)
{
	for (unsigned i = EXACT_LIMBS; i-- > 0;)
		if (a->limb[i] != b->limb[i])
			return a->limb[i] < b->limb[i] ? -1 : 1;
	return 0;
}

/* What a type is: digits after the leading one, exponent of the least number, bits in all. */
struct exact_type {
	unsigned fraction;
	int least;
	unsigned bits;
};

static inline struct exact_type exact_type_of(enum dequant_type type)
{
	switch (type) {
	case DEQUANT_F32:
		return (struct exact_type){23, -149, 32};
	case DEQUANT_F16:
		return (struct exact_type){10, -24, 16};
	default:
		return (struct exact_type){7, -133, 16};
	}
}

/* The number of this magnitude; infinity counts as what would follow the largest finite one. */
static inline struct exact exact_magnitude(const struct exact_type *type, uint32_t magnitude)
{
	uint32_t fraction = magnitude & ((UINT32_C(1) << type->fraction) - 1);
	uint32_t binade = magnitude >> type->fraction;

	if (binade == 0)
		return exact_of(fraction, type->least);
	return exact_of(fraction | UINT32_C(1) << type->fraction, type->least + (int)binade - 1);
}

static inline int exact_is_nearest(const struct dequant_params *params, unsigned code,
				   enum dequant_type kind, uint32_t bits)
{
	const struct exact_type type = exact_type_of(kind);
	const uint32_t minus = UINT32_C(1) << (type.bits - 1), magnitude = bits & (minus - 1);
	const uint32_t infinity = (minus - 1) >> type.fraction << type.fraction;
	const int64_t difference = (int64_t)code - params->zero_point;
	uint32_t scale;

	memcpy(&scale, &params->scale, sizeof(scale));
	if ((bits & minus) != ((scale >> 31 != 0) != (difference < 0) ? minus : 0) ||
	    (bits & ~(minus | (minus - 1))) != 0 || magnitude > infinity)
		return 0;

	const struct exact_type f32 = exact_type_of(DEQUANT_F32);
	const uint32_t digits = scale & 0x7fffff, binade = scale >> 23 & 0xff;
	const uint64_t size = (uint64_t)(difference < 0 ? -difference : difference);
	struct exact product = exact_of((binade ? digits | 0x800000 : digits) * size,
					f32.least + (binade ? (int)binade - 1 : 0));
	struct exact twice = exact_sum(&product, &product);
	struct exact here = exact_magnitude(&type, magnitude);

	if (magnitude > 0) {
		struct exact before = exact_magnitude(&type, magnitude - 1);
		struct exact bound = exact_sum(&before, &here);
		int order = exact_compare(&twice, &bound);
		if (order < 0 || (order == 0 && magnitude % 2 != 0))
			return 0;
	}
	if (magnitude < infinity) {
		struct exact after = exact_magnitude(&type, magnitude + 1);
		struct exact bound = exact_sum(&here, &after);
		int order = exact_compare(&twice, &bound);
		if (order > 0 || (order == 0 && magnitude % 2 != 0))
			return 0;
	}
	return 1;
}

#endif
