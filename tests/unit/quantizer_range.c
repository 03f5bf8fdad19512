/* SPDX-License-Identifier: MIT */
/*
 * quantizer_range.c - ranges, refusals, conversions of every value, entropy and SQNR figures.
 */
#include "quantizer/load.h"

#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <string.h>

/* F16 from its definition, not from the bit tricks under test. */
static double naive_half(unsigned half)
{
	double sign = half & 0x8000 ? -1.0 : 1.0;
	int exponent = (int)(half >> 10 & 31), fraction = (int)(half & 1023);
	if (exponent == 31)
		return fraction ? NAN : sign * INFINITY;
	return exponent ? sign * ldexp(1024 + fraction, exponent - 25)
			: sign * ldexp(fraction, -24);
}

Test(quantizer_range, every_f16_and_bf16_value_converts_exactly)
{
	for (unsigned bits = 0; bits < 65536; bits++) {
		uint16_t value = (uint16_t)bits;
		uint32_t wide = (uint32_t)bits << 16;
		float single;
		double half, brain;
		memcpy(&single, &wide, 4);
		quant_load(QUANT_F16, &value, 0, 1, &half);
		quant_load(QUANT_BF16, &value, 0, 1, &brain);
		if (isnan(naive_half(bits)))
			cr_assert(isnan(half));
		else
			cr_assert(half == naive_half(bits) && !signbit(half) == !(bits >> 15),
				  "%04x", bits);
		cr_assert(isnan(single) ? isnan(brain) : brain == (double)single, "%04x", bits);
	}
}

Test(quantizer_range, the_first_nan_or_infinity_is_named)
{
	static float weights[5000];
	const float bad[] = {NAN, -NAN, INFINITY, -INFINITY};
	for (size_t at = 0; at < 5000; at += 499) {
		for (size_t b = 0; b < 4; b++) {
			struct quant_range range = quant_range_none();
			weights[at] = bad[b];
			weights[4999] = NAN;
			quant_range_add(&range, QUANT_F32, weights, 5000, 1000);
			cr_assert_eq(range.bad_index, 1000 + at);
			weights[at] = 0;
		}
	}
}

/* The range as its definition has it. */
static struct quant_range naive_range(enum quant_type type, const uint8_t *values, size_t count)
{
	struct quant_range range = quant_range_none();

	for (size_t i = 0; i < count; i++) {
		double value;
		quant_load(type, values, i, 1, &value);
		if (!isfinite(value) && range.bad_index == UINT64_MAX)
			range.bad_index = i;
		range.min = value < range.min ? value : range.min;
		range.max = value > range.max ? value : range.max;
	}
	return range;
}

/* Of any bits, at any length and alignment; with and without values that are not finite. */
Test(quantizer_range, every_type_has_the_range_of_its_numbers)
{
	static const uint64_t clear[] = {0, UINT64_C(0x4000000040000000),
					 UINT64_C(0x4000400040004000)};
	static uint8_t bytes[8 * 1600 + 8];
	uint64_t state = 88172645463325252u;

	for (unsigned round = 0; round < 4000; round++) {
		enum quant_type type = (enum quant_type)(round % 4);
		size_t size = quant_type_size(type), count = 1 + state % 1500,
		       shift = state >> 9 & 7;
		for (size_t i = 0; i < sizeof bytes; i += 8) {
			state ^= state << 13;
			state ^= state >> 7;
			state ^= state << 17;
			/* With the second bit cleared, every number is finite. */
			uint64_t word = state & ~clear[size == 2 ? 2 : size == 4 ? 1 : 0];
			word = size == 8 ? word & ~(UINT64_C(1) << 62) : word;
			memcpy(bytes + i, round % 8 < 4 ? &word : &state, 8);
		}
		struct quant_range range = quant_range_none();
		struct quant_range naive = naive_range(type, bytes + shift, count);
		quant_range_add(&range, type, bytes + shift, count, 0);
		cr_assert_eq(range.bad_index, naive.bad_index, "round %u", round);
		cr_assert(range.min == naive.min && range.max == naive.max, "round %u", round);
	}
}

Test(quantizer_range, merging_keeps_the_earliest_bad_index)
{
	struct quant_range a = quant_range_none(), b = quant_range_none();
	const float nan = NAN;
	quant_range_add(&a, QUANT_F32, &nan, 1, 9);
	quant_range_add(&b, QUANT_F32, &nan, 1, 4);
	quant_range_merge(&a, &b);
	cr_assert_eq(a.bad_index, 4);
	cr_assert_eq(a.count, 2);
}

static int choose(double min, double max, struct quant_params *params)
{
	const struct quant_range range = {min, max, 2, UINT64_MAX};
	return quant_choose(&range, 8, params);
}

Test(quantizer_range, what_f32_cannot_scale_is_refused)
{
	struct quant_params p;
	cr_assert_eq(choose(-DBL_MAX, DBL_MAX, &p), -1);
	cr_assert_eq(choose(1.0, 1e300, &p), -1);
	cr_assert_eq(choose(1e39, 1e39, &p), -1);
	cr_assert_eq(choose(-1e300, -1e300, &p), -1);
	cr_assert_eq(choose(1e-60, 1e-60, &p), -1);
	cr_assert_eq(choose(-1e-60, 1e-60, &p), -1);
	cr_assert_eq(choose(-(double)FLT_MAX, (double)FLT_MAX, &p), 0);
	cr_assert_eq(choose(0, (double)FLT_TRUE_MIN, &p), 0);
	cr_assert_eq(p.scale, FLT_TRUE_MIN);
}

Test(quantizer_range, parameters_follow_the_definition)
{
	struct quant_params p;
	cr_assert_eq(choose(-1.0, 3.0, &p), 0);
	cr_assert_eq(p.scheme, QUANT_ASYMMETRIC);
	cr_assert_eq(p.scale, (float)(4.0 / 255.0));
	cr_assert_eq(p.zero_point, 64); /* 63.75 */
	cr_assert_eq(choose(-6.0, -2.0, &p), 0);
	cr_assert_eq(p.scheme, QUANT_UNSIGNED);
	cr_assert_eq(p.scale, -(float)(6.0 / 255.0));
	cr_assert_eq(choose(0.0, 2.0, &p), 0);
	cr_assert_eq(p.scheme, QUANT_UNSIGNED);
}

Test(quantizer_range, entropy_of_known_distributions)
{
	uint64_t counts[256] = {0};
	cr_assert_eq(quant_entropy(counts, 256), 0.0);
	counts[3] = 1000;
	cr_assert_eq(quant_entropy(counts, 256), 0.0);
	for (int i = 0; i < 256; i++)
		counts[i] = 7;
	cr_assert_float_eq(quant_entropy(counts, 256), 8.0, 1e-14);
	const uint64_t skewed[3] = {1, 2, 5};
	double expected = -(1 / 8. * log2(1 / 8.) + 2 / 8. * log2(2 / 8.) + 5 / 8. * log2(5 / 8.));
	cr_assert_float_eq(quant_entropy(skewed, 3), expected, 1e-14);
}

Test(quantizer_range, sqnr_in_decibels)
{
	cr_assert_float_eq(quant_sqnr(&(struct quant_error){100.0, 1.0, 0}), 20.0, 1e-12);
	cr_assert_float_eq(quant_sqnr(&(struct quant_error){1.0, 3.0, 0}), 10 * log10(1 / 3.),
			   1e-12);
	cr_assert_eq(quant_sqnr(&(struct quant_error){0.0, 0.0, 0}), (double)INFINITY);
	cr_assert_eq(quant_sqnr(&(struct quant_error){5.0, 0.0, 0}), (double)INFINITY);
}
