/* SPDX-License-Identifier: MIT */
/*
 * entropy.c - figures in bits and decibels.
 *
 * These numbers are stored in images, which must not depend on the C library or on fused
 * operations: the logarithm is computed here, from additions, multiplications and divisions alone,
 * to within a few units of the last place.
 */
#include "quantizer/quantizer.h"

#include <math.h>
#include <string.h>

static const double log2_e = 0x1.71547652b82fep+0;
static const double sqrt_2 = 0x1.6a09e667f3bcdp+0;

/* For positive, finite, normal x. */
static double log2_exact_order(double x)
{
	uint64_t bits;
	memcpy(&bits, &x, sizeof bits);
	int exponent = (int)(bits >> 52) - 1023;
	bits = (bits & UINT64_C(0xfffffffffffff)) | UINT64_C(0x3ff) << 52;
	double mantissa;
	memcpy(&mantissa, &bits, sizeof mantissa);
	if (mantissa > sqrt_2) {
		mantissa *= 0.5;
		exponent++;
	}
	/* ln m = 2 atanh t, t = (m - 1) / (m + 1); |t| < 0.172, so twelve terms reach 2^-60. */
	double t = (mantissa - 1.0) / (mantissa + 1.0), t2 = t * t, series = 0.0;
	for (int k = 23; k >= 1; k -= 2)
		series = series * t2 + 1.0 / k;
	return (double)exponent + 2.0 * t * series * log2_e;
}

double quant_entropy(const uint64_t *counts, size_t symbols)
{
	uint64_t total = 0;
	double weighted = 0.0;

	for (size_t i = 0; i < symbols; i++)
		total += counts[i];
	if (!total)
		return 0.0;
	for (size_t i = 0; i < symbols; i++) {
		if (counts[i] && counts[i] < total)
			weighted +=
			    (double)counts[i] * log2_exact_order((double)total / (double)counts[i]);
	}
	return weighted / (double)total;
}

double quant_sqnr(const struct quant_error *error)
{
	const double db_per_bit = 0x1.8151824c7587fp+1; /* 10 log10(2) */
	double ratio = error->signal / error->noise;

	/* A ratio out of the normal range says nothing that a decibel figure could. */
	if (error->noise == 0.0 || ratio > 0x1p1000)
		return INFINITY;
	return ratio > 0x1p-1000 ? db_per_bit * log2_exact_order(ratio) : -INFINITY;
}
