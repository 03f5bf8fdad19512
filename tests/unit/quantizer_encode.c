/* SPDX-License-Identifier: MIT */
/*
 * quantizer_encode.c - codes and their errors against a naive reference, on tensors of every kind.
 */
#include "quantizer/quantizer.h"

#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N = 3001 }; /* odd, and not a multiple of any batch */

static uint64_t random_state = 1;

static double uniform(void)
{
	random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (double)(random_state >> 11) * 0x1p-53;
}

static float gaussian(void)
{
	double sum = 0;
	for (int i = 0; i < 12; i++)
		sum += uniform();
	return (float)(sum - 6.0);
}

static uint8_t naive_code(const struct quant_params *p, double w)
{
	double code = nearbyint(w / (double)p->scale) + p->zero_point;
	double top = p->bits == 8 ? 255.0 : 15.0;
	return (uint8_t)(code < 0 ? 0 : code > top ? top : code);
}

/* Quantizes F32 weights and checks each code, the bound on each error, and the sums. */
static struct quant_params check_tensor(const float *weights, size_t count, int bits)
{
	struct quant_range range = quant_range_none();
	struct quant_params params;
	struct quant_error error = {0, 0, 0};
	uint8_t *codes = malloc(count);
	double signal = 0, noise = 0, max = 0;

	quant_range_add(&range, QUANT_F32, weights, count, 0);
	cr_assert_eq(range.bad_index, UINT64_MAX);
	cr_assert_eq(quant_choose(&range, bits, &params), 0);
	quant_encode(&params, QUANT_F32, weights, count, codes, &error);
	for (size_t i = 0; i < count; i++) {
		double w = (double)weights[i], scale = (double)params.scale;
		double restored = scale * (codes[i] - params.zero_point);
		cr_assert_eq(codes[i], naive_code(&params, w), "weight %zu = %a", i, w);
		/* Half a step, and what rounding the step to F32 can add at the far end. */
		cr_assert_leq(fabs(restored - w), fabs(scale) * (0.5 + 256 * 0x1p-24),
			      "weight %zu = %a, code %d, scale %a, zero %d", i, w, codes[i], scale,
			      params.zero_point);
		signal += w * w;
		noise += (restored - w) * (restored - w);
		max = fmax(max, fabs(restored - w));
	}
	cr_assert_leq(fabs(error.signal - signal), 1e-9 * signal);
	cr_assert_leq(fabs(error.noise - noise), 1e-9 * noise);
	cr_assert_eq(error.max, max);
	free(codes);
	return params;
}

Test(quantizer_encode, gaussian_tensors_of_all_magnitudes)
{
	static float weights[N];
	for (int exponent = -149; exponent <= 124; exponent += 3) {
		for (size_t i = 0; i < N; i++)
			weights[i] = ldexpf(gaussian() / 8, exponent + 3);
		for (int bits = 4; bits <= 8; bits += 4)
			check_tensor(weights, N, bits);
	}
}

Test(quantizer_encode, one_signed_tensors_keep_the_sign_in_the_scale)
{
	static float weights[N];
	for (int sign = -1; sign <= 1; sign += 2) {
		for (size_t i = 0; i < N; i++)
			weights[i] = (float)sign * fabsf(gaussian());
		for (int zero = 0; zero < 3; zero++) {
			if (zero)
				weights[7] = zero == 1 ? 0.0f : -0.0f;
			struct quant_params p = check_tensor(weights, N, 8);
			cr_assert_eq(p.scheme, QUANT_UNSIGNED);
			cr_assert_eq(p.zero_point, 0);
			cr_assert(p.scale * (float)sign > 0);
		}
	}
}

Test(quantizer_encode, lopsided_tensors)
{
	static float weights[N];
	for (double shift = -3; shift <= 3; shift += 0.37) {
		for (size_t i = 0; i < N; i++)
			weights[i] = gaussian() + (float)shift;
		check_tensor(weights, N, 8);
		check_tensor(weights, N, 4);
	}
	/* One weight on the other side of zero, hardly. */
	for (size_t i = 0; i < N; i++)
		weights[i] = 1.0f + fabsf(gaussian());
	weights[0] = -1e-30f;
	struct quant_params p = check_tensor(weights, N, 8);
	cr_assert_eq(p.scheme, QUANT_ASYMMETRIC);
	cr_assert_eq(p.zero_point, 0);
}

Test(quantizer_encode, constant_tensors_are_exact)
{
	const float values[] = {1.0f,    -1.0f,    0.1f,         -3e38f,        FLT_MAX,
				FLT_MIN, -FLT_MIN, FLT_TRUE_MIN, -FLT_TRUE_MIN, 1e-40f};
	float weights[20];
	for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
		for (size_t i = 0; i < 20; i++)
			weights[i] = values[v];
		struct quant_params p = check_tensor(weights, 20, 4);
		cr_assert_eq(p.scheme, QUANT_CONSTANT);
		cr_assert_eq(p.scale, values[v]);
		uint8_t code;
		quant_encode(&p, QUANT_F32, weights, 1, &code, NULL);
		cr_assert_eq(code, 1);
	}
}

Test(quantizer_encode, zero_tensors_have_scale_one)
{
	const float weights[5] = {0.0f, -0.0f, 0.0f, 0.0f, -0.0f};
	struct quant_params p = check_tensor(weights, 5, 8);
	uint8_t codes[5];
	cr_assert_eq(p.scheme, QUANT_CONSTANT);
	cr_assert_eq(p.scale, 1.0f);
	quant_encode(&p, QUANT_F32, weights, 5, codes, NULL);
	for (int i = 0; i < 5; i++)
		cr_assert_eq(codes[i], 0);
}

Test(quantizer_encode, the_whole_range_of_f32)
{
	const float weights[4] = {-FLT_MAX, FLT_MAX, 0.0f, 1.0f};
	struct quant_params p = check_tensor(weights, 4, 8);
	cr_assert(isfinite(p.scale));
}

/* The smallest step is 2^-149: no code may clamp, and these weights come out exact. */
Test(quantizer_encode, denormal_tensors_are_exact)
{
	float weights[N];
	for (int i = 0; i < N; i++)
		weights[i] = FLT_TRUE_MIN * (float)(i % 256);
	struct quant_params p = check_tensor(weights, N, 8);
	cr_assert_eq(p.scale, FLT_TRUE_MIN);
	for (int i = 0; i < N; i++)
		weights[i] = FLT_TRUE_MIN * (float)(i % 200 - 100);
	p = check_tensor(weights, N, 8);
	cr_assert_eq(p.scale, FLT_TRUE_MIN);
	cr_assert_eq(p.zero_point, 100);
	/* A step of 1.2 units has to grow to 2: at 1 the largest weights would clamp. */
	for (int i = 0; i < N; i++)
		weights[i] = FLT_TRUE_MIN * (float)(i % 307);
	p = check_tensor(weights, N, 8);
	cr_assert_eq(p.scale, 2 * FLT_TRUE_MIN);
}

Test(quantizer_encode, ties_go_to_the_even_code)
{
	const float weights[6] = {0.5f, 1.5f, 2.5f, 3.5f, 254.5f, 255.0f};
	const uint8_t expected[6] = {0, 2, 2, 4, 254, 255};
	uint8_t codes[6];
	struct quant_params p = check_tensor(weights, 6, 8);
	cr_assert_eq(p.scale, 1.0f);
	quant_encode(&p, QUANT_F32, weights, 6, codes, NULL);
	cr_assert_arr_eq(codes, expected, 6);
}

Test(quantizer_encode, values_outside_the_range_clamp)
{
	const struct quant_params p = {QUANT_ASYMMETRIC, 8, 1.0f, 100};
	const float weights[5] = {3e38f, -3e38f, INFINITY, -INFINITY, NAN};
	const uint8_t expected[5] = {255, 0, 255, 0, 0};
	uint8_t codes[5];
	quant_encode(&p, QUANT_F32, weights, 5, codes, NULL);
	cr_assert_arr_eq(codes, expected, 5);
}

/* Source files place tensors at any byte: every type from an odd address, cut anywhere. */
Test(quantizer_encode, unaligned_and_in_parts)
{
	static uint8_t buffer[8 * N + 1], whole[N], parts[N];
	static const enum quant_type types[] = {QUANT_F64, QUANT_F32, QUANT_F16, QUANT_BF16};
	for (size_t t = 0; t < 4; t++) {
		size_t width = quant_type_size(types[t]);
		for (size_t i = 0; i < N; i++) {
			double wide = (double)gaussian();
			float single = (float)wide;
			uint16_t half = (uint16_t)(i * 21 % 0x7c00);
			if (width == 8)
				memcpy(buffer + 1 + 8 * i, &wide, 8);
			else if (width == 4)
				memcpy(buffer + 1 + 4 * i, &single, 4);
			else
				memcpy(buffer + 1 + 2 * i, &half, 2);
		}
		struct quant_range range = quant_range_none(), part = quant_range_none();
		struct quant_range merged = quant_range_none();
		struct quant_params p;
		quant_range_add(&range, types[t], buffer + 1, N, 0);
		quant_range_add(&part, types[t], buffer + 1, 777, 0);
		quant_range_merge(&merged, &part);
		part = quant_range_none();
		quant_range_add(&part, types[t], buffer + 1 + 777 * width, N - 777, 777);
		quant_range_merge(&merged, &part);
		cr_assert_eq(merged.min, range.min);
		cr_assert_eq(merged.max, range.max);
		cr_assert_eq(merged.count, N);
		cr_assert_eq(quant_choose(&range, 8, &p), 0);
		quant_encode(&p, types[t], buffer + 1, N, whole, NULL);
		quant_encode(&p, types[t], buffer + 1, 777, parts, NULL);
		quant_encode(&p, types[t], buffer + 1 + 777 * width, N - 777, parts + 777, NULL);
		cr_assert_arr_eq(whole, parts, N);
	}
}

Test(quantizer_encode, pack4_puts_the_first_weight_low_and_pads_with_zero)
{
	const uint8_t codes[5] = {1, 2, 15, 0, 9}, expected[3] = {0x21, 0x0f, 0x09};
	uint8_t packed[3];
	quant_pack4(codes, 5, packed);
	cr_assert_arr_eq(packed, expected, 3);
}
