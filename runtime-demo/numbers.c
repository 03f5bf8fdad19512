/* SPDX-License-Identifier: MIT */
/* numbers.c - arithmetic with the same result on every machine. */
#include "runtime-demo/numbers.h"

#include <string.h>

enum { LANES = 16, QUARTER = LANES / 4 };

/* Four lanes in a register, as every machine of today has them. Left to themselves, compilers keep
   an array of lanes in memory. */
typedef float quarter __attribute__((vector_size(QUARTER * sizeof(float))));

static quarter load(const float *from)
{
	quarter q;

	memcpy(&q, from, sizeof(q));
	return q;
}

/* The adding and the totalling below are inlined where a sum can stay in registers in between. */
static inline void add(struct lanes *lanes, const float *a, const float *b, size_t n)
{
	quarter sum[4];
	size_t i = 0;

	memcpy(sum, lanes->at, sizeof(sum));
	for (; i + LANES <= n; i += LANES)
		for (size_t k = 0; k < 4; k++)
			sum[k] += load(a + i + k * QUARTER) * load(b + i + k * QUARTER);
	memcpy(lanes->at, sum, sizeof(sum));
	for (size_t k = 0; i < n; i++, k++)
		lanes->at[k] += a[i] * b[i];
}

static inline void add_codes(struct lanes *lanes, const uint8_t *a, const float *b, size_t n)
{
	quarter sum[4];
	size_t i = 0;

	memcpy(sum, lanes->at, sizeof(sum));
	for (; i + LANES <= n; i += LANES) {
		float values[LANES];

		for (size_t k = 0; k < LANES; k++)
			values[k] = (float)a[i + k];
		for (size_t k = 0; k < 4; k++)
			sum[k] += load(values + k * QUARTER) * load(b + i + k * QUARTER);
	}
	memcpy(lanes->at, sum, sizeof(sum));
	for (size_t k = 0; i < n; i++, k++)
		lanes->at[k] += (float)a[i] * b[i];
}

static inline float total(const struct lanes *lanes)
{
	quarter sum[4];

	memcpy(sum, lanes->at, sizeof(sum));
	sum[0] = (sum[0] + sum[2]) + (sum[1] + sum[3]);
	return (sum[0][0] + sum[0][2]) + (sum[0][1] + sum[0][3]);
}

void lanes_add(struct lanes *lanes, const float *a, const float *b, size_t n)
{
	add(lanes, a, b, n);
}

float lanes_total(const struct lanes *lanes)
{
	return total(lanes);
}

float numbers_dot(const float *a, const float *b, size_t n)
{
	struct lanes sum = {{0}};

	add(&sum, a, b, n);
	return total(&sum);
}

float numbers_dot_codes(const uint8_t *a, const float *b, size_t n)
{
	struct lanes sum = {{0}};

	add_codes(&sum, a, b, n);
	return total(&sum);
}

float numbers_sum(const float *a, size_t n)
{
	struct lanes sum = {{0}};
	size_t i = 0;

	for (; i + LANES <= n; i += LANES)
		for (size_t k = 0; k < LANES; k++)
			sum.at[k] += a[i + k];
	for (size_t k = 0; i < n; i++, k++)
		sum.at[k] += a[i];
	return lanes_total(&sum);
}

float numbers_max(const float *x, size_t n)
{
	float max = x[0];

	for (size_t i = 1; i < n; i++)
		max = x[i] > max ? x[i] : max;
	return max;
}

/* x = k ln 2 + r with |r| <= ln 2 / 2: e^r by its Taylor series up to r^7 / 7!, of which the next
   term is below 6e-9; 2^k by writing k into an exponent. Adding 1.5 * 2^23 rounds to a whole number
   and leaves it in the low bits. */
static float exponential(float x)
{
	const float shift = 0x1.8p23f, ln2_high = 0x1.62e4p-1f, ln2_low = 0x1.7f7d1cp-20f;
	float shifted, k, r, sum, scale;
	uint32_t bits;

	x = x < -87.0f ? -87.0f : x;
	x = x > 88.0f ? 88.0f : x;
	shifted = x * 0x1.715476p0f + shift;
	k = shifted - shift;
	r = x - k * ln2_high - k * ln2_low;
	sum = 1.0f / 5040;
	sum = sum * r + 1.0f / 720;
	sum = sum * r + 1.0f / 120;
	sum = sum * r + 1.0f / 24;
	sum = sum * r + 1.0f / 6;
	sum = sum * r + 0.5f;
	sum = sum * r + 1.0f;
	sum = sum * r + 1.0f;
	memcpy(&bits, &shifted, sizeof(bits));
	bits = (bits - 0x4b400000u + 127) << 23;
	memcpy(&scale, &bits, sizeof(scale));
	return sum * scale;
}

void numbers_exp(float *x, size_t n)
{
	for (size_t i = 0; i < n; i++)
		x[i] = exponential(x[i]);
}

void numbers_silu(float *x, size_t n)
{
	for (size_t i = 0; i < n; i++)
		x[i] = x[i] / (1.0f + exponential(-x[i]));
}

void numbers_softmax(float *x, size_t n)
{
	const float max = numbers_max(x, n);
	float sum;

	for (size_t i = 0; i < n; i++)
		x[i] = exponential(x[i] - max);
	sum = numbers_sum(x, n);
	for (size_t i = 0; i < n; i++)
		x[i] /= sum;
}
