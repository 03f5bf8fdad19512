/* SPDX-License-Identifier: MIT */
/*
 * quantizer_blocks.c - parameters for blocks of ggml: possible by the codec's own word, and the
 * best of those that are.
 */
#include "codec/ggml_blocks.h"
#include "quantizer/quantizer.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

static const struct {
	enum quant_blocks blocks;
	unsigned type;
} kinds[] = {{QUANT_Q8_0, GGML_Q8_0}, {QUANT_Q4_0, GGML_Q4_0}, {QUANT_Q4_1, GGML_Q4_1}};

enum { KINDS = 3 };

static double random_between(double low, double high)
{
	return low + (high - low) * (rand() / (RAND_MAX + 1.0));
}

static struct quant_range range_of(double min, double max)
{
	return (struct quant_range){.min = min, .max = max, .count = 2, .bad_index = UINT64_MAX};
}

static int is_possible(unsigned type, const struct quant_params *params)
{
	struct ggml_blocks blocks;

	return ggml_blocks_prepare(&blocks, type, params->scale, params->zero_point) == 0;
}

/* Whether every number from min to max is within half a step of a code's, but for rounding. */
static int covers(const struct quant_params *params, double min, double max)
{
	double scale = (double)params->scale, top = (1 << params->bits) - 1;
	double ends[2] = {scale * (-0.5 - params->zero_point),
			  scale * (top + 0.5 - params->zero_point)};
	double slack = 1e-12 * fabs(scale);

	return fmin(ends[0], ends[1]) <= min + slack && fmax(ends[0], ends[1]) >= max - slack;
}

/* No other possible parameters with a smaller step cover the range. */
static int is_best(unsigned type, const struct quant_params *params, double min, double max)
{
	struct quant_params other = *params;
	int first = type == GGML_Q4_1 ? 0 : params->zero_point;
	int last = type == GGML_Q4_1 ? 15 : params->zero_point;

	for (int sign = -1; sign <= 1; sign += 2) {
		for (int zero = first; zero <= last; zero++) {
			/* The next scales below, of all digits that there are. */
			double step = fabs((double)params->scale);
			int exponent;
			frexp(step, &exponent);
			double unit = ldexp(1.0, exponent - 12 > -24 ? exponent - 12 : -24);
			for (int k = 1; k <= 80 && step - k * unit > 0; k++) {
				other.scale = (float)(sign * (step - k * unit));
				other.zero_point = zero;
				if (is_possible(type, &other) && covers(&other, min, max))
					return 0;
			}
		}
	}
	return 1;
}

static void check_range(double min, double max, int exhaustively)
{
	struct quant_range range = range_of(min, max);

	for (unsigned k = 0; k < KINDS; k++) {
		struct quant_params params;
		cr_assert_eq(quant_choose_blocks(&range, kinds[k].blocks, &params), 0, "%a %a", min,
			     max);
		cr_assert(is_possible(kinds[k].type, &params), "%u: %a, %d", kinds[k].type,
			  (double)params.scale, params.zero_point);
		cr_assert(covers(&params, min, max), "%u: %a to %a: %a, %d", kinds[k].type, min,
			  max, (double)params.scale, params.zero_point);
		cr_assert(!exhaustively || is_best(kinds[k].type, &params, min, max),
			  "%u: %a to %a: %a, %d", kinds[k].type, min, max, (double)params.scale,
			  params.zero_point);
		cr_assert_eq(params.scheme, params.zero_point || (min < 0 && max > 0)
						? QUANT_ASYMMETRIC
						: QUANT_UNSIGNED);
	}
}

Test(quantizer_blocks, of_random_ranges)
{
	srand(1);
	for (unsigned i = 0; i < 400; i++) {
		double size = ldexp(random_between(1, 2), rand() % 26 - 13);
		check_range(-size * random_between(0, 1), size, i < 100);
		check_range(-size, size * random_between(0, 1), i < 100);
		check_range(size * random_between(0, 1), size, i < 40);
		check_range(-size, -size * random_between(0, 1), i < 40);
	}
}

Test(quantizer_blocks, of_round_ranges)
{
	struct quant_params params;
	struct quant_range range;

	for (int i = 1; i < 40; i++) {
		check_range(-i, i, 1);
		check_range(0, i, 1);
		check_range(-i, 0, 1);
	}
	range = range_of(-128.5, 127.5);
	cr_assert_eq(quant_choose_blocks(&range, QUANT_Q8_0, &params), 0);
	cr_assert(params.scale == 1.0f && params.zero_point == 128);
	range = range_of(-127.5, 128.5);
	cr_assert_eq(quant_choose_blocks(&range, QUANT_Q8_0, &params), 0);
	cr_assert(params.scale == -1.0f && params.zero_point == 128);
	range = range_of(-3.5, 12.5);
	cr_assert_eq(quant_choose_blocks(&range, QUANT_Q4_1, &params), 0);
	cr_assert(params.scale == 1.0f && params.zero_point == 3);
}

static void check_equal(double value, double scale)
{
	struct quant_range range = range_of(value, value);

	for (unsigned k = 0; k < KINDS; k++) {
		struct quant_params params;
		float weights[3] = {(float)value, (float)value, (float)value};
		uint8_t codes[3];
		cr_assert_eq(quant_choose_blocks(&range, kinds[k].blocks, &params), 0);
		cr_assert(is_possible(kinds[k].type, &params));
		cr_assert((double)params.scale == scale, "%a: %a", value, (double)params.scale);
		quant_encode(&params, QUANT_F32, weights, 3, codes, NULL);
		cr_assert_eq(codes[1], params.zero_point + (value != 0));
		cr_assert_eq(params.scheme, params.zero_point ? QUANT_ASYMMETRIC : QUANT_CONSTANT);
	}
}

Test(quantizer_blocks, of_equal_weights)
{
	check_equal(0, 1);
	check_equal(1.5, 1.5);
	check_equal(-0.1, -0x1.998p-4); /* the nearest number of F16 */
	check_equal(65504, 65504);
	check_equal(0x1.8p-24, 0x1p-23);
	check_equal(-0x1.1p-25, -0x1p-24);
}

Test(quantizer_blocks, subnormal_scales)
{
	/* Steps down to 2^-25 are rounded up to a multiple of 2^-24. */
	for (int exponent = -14; exponent >= -24; exponent--) {
		check_range(-128 * ldexp(1.1, exponent), 127 * ldexp(1.1, exponent), 0);
		check_range(-7 * ldexp(1.9, exponent), 128 * ldexp(1.3, exponent), 0);
	}
}

Test(quantizer_blocks, refused)
{
	/* The last row: a scale of 2^-24 would do, if most codes were left unused. */
	const double ends[][2] = {{-1e-9, 1e-9},      {0, 1e-300},  {-1e-310, 0},
				  {-1e7, 1.7e7},      {0, 1.0e300}, {-1e300, -1e299},
				  {0x1p-26, 0x1p-26}, {1e6, 1e6},   {-66000, -66000},
				  {-4e-8, 4e-8},      {-2e-7, 2e-7}};

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		struct quant_range range = range_of(ends[i][0], ends[i][1]);
		struct quant_params params;
		for (unsigned k = 0; k < KINDS; k++)
			cr_assert_eq(quant_choose_blocks(&range, kinds[k].blocks, &params), -1,
				     "%zu", i);
	}
}

/* What m cannot hold, Q4_1 does without. */
Test(quantizer_blocks, large_minima)
{
	for (double size = 60000; size < 900000; size += 7000) {
		struct quant_range range = range_of(-size, size / 40);
		struct quant_params params;
		if (quant_choose_blocks(&range, QUANT_Q4_1, &params))
			continue;
		cr_assert(is_possible(GGML_Q4_1, &params), "%g", size);
		cr_assert(covers(&params, range.min, range.max), "%g", size);
	}
}
