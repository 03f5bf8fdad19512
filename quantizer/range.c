/* SPDX-License-Identifier: MIT */
/*
 * range.c - the range of a tensor's values, and the parameters chosen from it.
 */
#include "quantizer/load.h"

#include <float.h>
#include <math.h>

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
		size_t used = n;
		uint64_t bad = 0;
		quant_load(type, values, at, n, batch);
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
