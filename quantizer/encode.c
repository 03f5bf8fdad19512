/* SPDX-License-Identifier: MIT */
/*
 * encode.c - weights to codes, with the error made.
 *
 * Loops over a batch of doubles, free of branches, so that the compiler vectorises them. Sums run
 * in eight lanes by index: the order of additions is part of the contract, not of the machine.
 */
#include "quantizer/load.h"

#include <math.h>

enum { LANES = 8 };

/* Adding 1.5 * 2^52 leaves no fraction bits in a double: the addition itself rounds half to even.
 * Exact for magnitudes up to 2^51. */
static const double round_magic = 0x1.8p52;

static void encode_batch(const struct quant_params *params, const double *weights, size_t count,
			 double *codes)
{
	const double scale = (double)params->scale, zero = (double)params->zero_point;
	const double top = (double)((1 << params->bits) - 1);

	for (size_t i = 0; i < count; i++) {
		/* Beyond 2^51 the rounding is off, but then the code clamps anyway; so does what is
		 * not finite, NaN to 0: a file may change under its reader. */
		double code = (weights[i] / scale + round_magic) - round_magic + zero;
		code = code > 0.0 ? code : 0.0;
		codes[i] = code < top ? code : top;
	}
}

struct lanes {
	double signal[LANES], noise[LANES], max[LANES];
};

/* count is a multiple of LANES. */
static void add_errors(const struct quant_params *params, const double *weights,
		       const double *codes, size_t count, struct lanes *sums)
{
	const double scale = (double)params->scale, zero = (double)params->zero_point;
	struct lanes sum = *sums;

	for (size_t i = 0; i < count; i += LANES) {
		for (size_t lane = 0; lane < LANES; lane++) {
			double weight = weights[i + lane];
			double error = fabs(scale * (codes[i + lane] - zero) - weight);
			sum.signal[lane] += weight * weight;
			sum.noise[lane] += error * error;
			sum.max[lane] = error > sum.max[lane] ? error : sum.max[lane];
		}
	}
	*sums = sum;
}

static double sum_lanes(const double lane[LANES])
{
	return ((lane[0] + lane[1]) + (lane[2] + lane[3])) +
	       ((lane[4] + lane[5]) + (lane[6] + lane[7]));
}

void quant_encode(const struct quant_params *params, enum quant_type type, const void *values,
		  size_t count, uint8_t *codes, struct quant_error *error)
{
	double weights[QUANT_BATCH], numbers[QUANT_BATCH];
	struct lanes sums = {{0}, {0}, {0}};

	for (size_t at = 0; at < count; at += QUANT_BATCH) {
		size_t n = count - at < QUANT_BATCH ? count - at : QUANT_BATCH;
		quant_load(type, values, at, n, weights);
		encode_batch(params, weights, n, numbers);
		for (size_t i = 0; i < n; i++)
			codes[at + i] = (uint8_t)(int32_t)numbers[i];
		if (!error)
			continue;
		/* A weight equal to its dequantized value adds nothing. */
		for (; n % LANES; n++) {
			weights[n] = 0.0;
			numbers[n] = (double)params->zero_point;
		}
		add_errors(params, weights, numbers, n, &sums);
	}
	if (error) {
		struct quant_error total = {sum_lanes(sums.signal), sum_lanes(sums.noise), 0.0};
		for (size_t lane = 0; lane < LANES; lane++)
			total.max = sums.max[lane] > total.max ? sums.max[lane] : total.max;
		quant_error_merge(error, &total);
	}
}

void quant_error_merge(struct quant_error *error, const struct quant_error *other)
{
	error->signal += other->signal;
	error->noise += other->noise;
	if (other->max > error->max)
		error->max = other->max;
}

void quant_pack4(const uint8_t *codes, size_t count, uint8_t *packed)
{
	for (size_t i = 0; i < count / 2; i++)
		packed[i] = (uint8_t)(codes[2 * i] | codes[2 * i + 1] << 4);
	if (count % 2)
		packed[count / 2] = codes[count - 1];
}
