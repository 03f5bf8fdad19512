/* SPDX-License-Identifier: MIT */
/*
 * range.c - the range of a tensor's values, and the parameters chosen from it.
 *
 * Floats of 16 and 32 bits are compared as integers: with all bits but the sign inverted where that
 * is set, two's complement orders them as the numbers that they are, infinities and NaNs at the
 * ends. Their conversion to double would take ten times as long as the comparison.
 */
#include "quantizer/load.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { LANES = 8 }; /* independent minima and maxima: no chain of dependent compares */

struct quant_range quant_range_none(void)
{
	return (struct quant_range){
	    .min = INFINITY,
	    .max = -INFINITY,
	    .count = 0,
	    .bad_index = UINT64_MAX,
	};
}

static size_t first_not_finite(const double *values, size_t count)
{
	size_t i = 0;
	while (i < count && fabs(values[i]) <= DBL_MAX)
		i++;
	return i;
}

/* An ordered integer for a float's bits, and back. */
static int16_t order16(int16_t bits)
{
	return (int16_t)(bits < 0 ? bits ^ 0x7fff : bits);
}

static int32_t order32(int32_t bits)
{
	return bits < 0 ? bits ^ 0x7fffffff : bits;
}

/* The smallest and the largest of n values, or -1: one is not finite. infinity: its bits. */
static int extremes16(const uint8_t *at, size_t n, int16_t infinity, int16_t extremes[2])
{
	int16_t batch[QUANT_BATCH], low = INT16_MAX, high = INT16_MIN;

	memcpy(batch, at, n * sizeof *batch);
	for (size_t i = 0; i < n; i++) {
		int16_t key = order16(batch[i]);
		low = key < low ? key : low;
		high = key > high ? key : high;
	}
	extremes[0] = order16(low);
	extremes[1] = order16(high);
	/* ~infinity is the order of minus infinity. */
	return low > (int16_t)~infinity && high < infinity ? 0 : -1;
}

static int extremes32(const uint8_t *at, size_t n, int32_t infinity, int32_t extremes[2])
{
	int32_t batch[QUANT_BATCH], low = INT32_MAX, high = INT32_MIN;

	memcpy(batch, at, n * sizeof *batch);
	for (size_t i = 0; i < n; i++) {
		int32_t key = order32(batch[i]);
		low = key < low ? key : low;
		high = key > high ? key : high;
	}
	extremes[0] = order32(low);
	extremes[1] = order32(high);
	return low > ~infinity && high < infinity ? 0 : -1;
}

/* Loads what decides about the range of a batch, its two extremes if that can be: how many. */
static size_t load_decisive(enum quant_type type, const void *values, size_t at, size_t n,
			    double *batch)
{
	const uint8_t *from = (const uint8_t *)values + at * quant_type_size(type);
	int16_t pair16[2];
	int32_t pair32[2];

	if (type == QUANT_F32 && extremes32(from, n, 0x7f800000, pair32) == 0) {
		quant_load(type, pair32, 0, 2, batch);
		return 2;
	}
	if ((type == QUANT_BF16 && extremes16(from, n, 0x7f80, pair16) == 0) ||
	    (type == QUANT_F16 && extremes16(from, n, 0x7c00, pair16) == 0)) {
		quant_load(type, pair16, 0, 2, batch);
		return 2;
	}
	quant_load(type, values, at, n, batch);
	return n;
}

void quant_range_add(struct quant_range *range, enum quant_type type, const void *values,
		     size_t count, uint64_t first_index)
{
	double batch[QUANT_BATCH];
	double low[LANES], high[LANES];
	for (size_t lane = 0; lane < LANES; lane++) {
		low[lane] = range->min;
		high[lane] = range->max;
	}

	for (size_t at = 0; at < count; at += QUANT_BATCH) {
		size_t n = count - at < QUANT_BATCH ? count - at : QUANT_BATCH;
		n = load_decisive(type, values, at, n, batch);
		size_t used = n;
		uint64_t bad = 0;
		while (n % LANES)
			batch[n++] = batch[0];
		for (size_t i = 0; i < n; i += LANES) {
			for (size_t lane = 0; lane < LANES; lane++) {
				double w = batch[i + lane];
				/* Zero, unless w is infinite or NaN. */
				double probe = w * 0.0;
				bad |= probe != 0.0;
				low[lane] = w < low[lane] ? w : low[lane];
				high[lane] = w > high[lane] ? w : high[lane];
			}
		}
		if (bad) {
			uint64_t index = first_index + at + first_not_finite(batch, used);
			if (index < range->bad_index)
				range->bad_index = index;
		}
	}
	for (size_t lane = 0; lane < LANES; lane++) {
		range->min = low[lane] < range->min ? low[lane] : range->min;
		range->max = high[lane] > range->max ? high[lane] : range->max;
	}
	/* -0.0 becomes 0.0, lest the order of merging show. */
	range->min += 0.0;
	range->max += 0.0;
	range->count += count;
}

void quant_range_merge(struct quant_range *range, const struct quant_range *other)
{
	if (other->min < range->min)
		range->min = other->min;
	if (other->max > range->max)
		range->max = other->max;
	if (other->bad_index < range->bad_index)
		range->bad_index = other->bad_index;
	range->count += other->count;
}

/*
 * Rounds a positive step to F32. A step that falls among the denormals, where rounding may lose
 * most of it, is rounded up: a step too small would clamp the largest weights. 0: out of F32.
 */
static float step_to_float(double step, double span)
{
	if (span < (double)FLT_TRUE_MIN)
		return 0.0f; /* one step would cover the tensor whole */
	float rounded = step <= (double)FLT_MAX ? (float)step : 0.0f;
	if (step < (double)FLT_MIN && (double)rounded < step)
		rounded = nextafterf(rounded, INFINITY);
	return rounded;
}

static int choose_constant(double value, struct quant_params *params)
{
	float rounded = fabs(value) <= (double)FLT_MAX ? (float)value : 0.0f;

	if (value == 0.0)
		rounded = 1.0f;
	params->scheme = QUANT_CONSTANT;
	params->scale = rounded;
	params->zero_point = 0;
	return rounded == 0.0f ? -1 : 0;
}

int quant_choose(const struct quant_range *range, int bits, struct quant_params *params)
{
	double levels = (double)((1 << bits) - 1);
	double min = range->min, max = range->max;

	params->bits = bits;
	if (min == max)
		return choose_constant(min, params);
	double span = min >= 0.0 ? max : max <= 0.0 ? -min : max - min;
	float step = step_to_float(span / levels, span);
	if (step == 0.0f)
		return -1;
	if (min >= 0.0 || max <= 0.0) {
		params->scheme = QUANT_UNSIGNED;
		params->scale = min >= 0.0 ? step : -step;
		params->zero_point = 0;
	} else {
		params->scheme = QUANT_ASYMMETRIC;
		params->scale = step;
		params->zero_point = (int32_t)nearbyint(-min / (double)step);
	}
	return 0;
}
