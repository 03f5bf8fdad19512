/* SPDX-License-Identifier: MIT */
/*
 * blocks.c - parameters that blocks of ggml can have, too.
 *
 * A scale has to be a number of F16, and for Q4_1 its product with the zero point, too: of the 11
 * digits that F16 has, that may leave 7. Rounding a step up to 11 digits costs at most 0.009 dB, to
 * 7 digits 0.14. Rounded down, it would put the ends of the range out of reach.
 */
#include "quantizer/quantizer.h"

#include <math.h>

enum {
	DIGITS = 11,    /* of F16 */
	LOWEST = -24,   /* the exponent of its smallest number */
	IMPLIED8 = 128, /* the zero point of Q8_0, and ... */
	IMPLIED4 = 8,   /* ... of Q4_0 */
};

static const double largest_half = 65504.0;

/* The distance of numbers of F16 around this one, which is positive. */
static double spacing(double number)
{
	int exponent;

	frexp(number, &exponent);
	return ldexp(1.0, exponent - DIGITS > LOWEST ? exponent - DIGITS : LOWEST);
}

/* Whether a number, 0 or positive, is one of F16. */
static int is_half(double number)
{
	if (number == 0.0)
		return 1;
	double multiple = number / spacing(number);
	return number <= largest_half && multiple == ceil(multiple);
}

/* The least number of F16 that is no less than a step, which is positive, and gives another one
 * when multiplied; 0: there is none. */
static double round_up(double step, int factor)
{
	double unit = spacing(step), up = ceil(step / unit) * unit;

	/* Sixteen times, at most: then a scale's last four digits are 0. */
	while (up <= largest_half && up * factor <= largest_half && !is_half(up * factor))
		up += unit;
	return is_half(up) && is_half(up * factor) ? up : 0.0;
}

/* The least scale by which every number from min to max is within half a step of a code's. */
static double step_for(double min, double max, int top, int zero_point)
{
	double above = max / ((double)(top - zero_point) + 0.5);
	double below = -min / ((double)zero_point + 0.5);

	return above > below ? above : below;
}

/* The best of these zero points, with a scale of either sign: codes may go up or down. If there are
 * several, products with them are to be numbers of F16, too: a zero point that leaves most codes
 * unused may be the only one left, so it is compared with what any of them would need. */
static int choose_best(double min, double max, int first, int last, struct quant_params *params)
{
	const int top = (1 << params->bits) - 1;
	double best = 0.0, least = INFINITY;

	for (int sign = 1; sign >= -1; sign -= 2) {
		double low = sign > 0 ? min : -max, high = sign > 0 ? max : -min;
		for (int zero_point = first; zero_point <= last; zero_point++) {
			double step = step_for(low, high, top, zero_point);
			double scale = round_up(step, first < last ? zero_point : 0);
			least = step < least ? step : least;
			if (scale == 0.0 || (best != 0.0 && scale >= best))
				continue;
			best = scale;
			params->scale = (float)(sign * scale);
			params->zero_point = zero_point;
		}
	}
	return best == 0.0 || best > 2.0 * least ? -1 : 0;
}

/* One step above zero is all that is needed, so it can be the value itself, rounded to F16. */
static int choose_value(double value, struct quant_params *params)
{
	double size = fabs(value);

	if (value == 0.0) {
		params->scale = 1.0f;
		return 0;
	}
	double unit = spacing(size), rounded = nearbyint(size / unit) * unit;
	params->scale = (float)(value < 0.0 ? -rounded : rounded);
	return rounded == 0.0 || rounded > largest_half ? -1 : 0;
}

int quant_choose_blocks(const struct quant_range *range, enum quant_blocks blocks,
			struct quant_params *params)
{
	const double min = range->min, max = range->max;
	int result;

	params->bits = blocks == QUANT_Q8_0 ? 8 : 4;
	params->zero_point = blocks == QUANT_Q8_0 ? IMPLIED8 : blocks == QUANT_Q4_0 ? IMPLIED4 : 0;
	if (min == max)
		result = choose_value(min, params);
	else if (blocks == QUANT_Q4_1)
		result = choose_best(min, max, 0, (1 << params->bits) - 1, params);
	else
		result = choose_best(min, max, params->zero_point, params->zero_point, params);
	if (params->zero_point != 0 || (min < 0.0 && max > 0.0))
		params->scheme = QUANT_ASYMMETRIC;
	else
		params->scheme = min == max ? QUANT_CONSTANT : QUANT_UNSIGNED;
	return result;
}
