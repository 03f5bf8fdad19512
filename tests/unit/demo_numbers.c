/* SPDX-License-Identifier: MIT */
/*
 * demo_numbers.c - arithmetic of the demo: the exponential against the C library's, sums in their
 * fixed order, and products that are the same whether vectors come alone, together or in threads.
 */
#include "runtime-demo/numbers.h"
#include "runtime-demo/tensor.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint32_t next_random(void)
{
	static uint64_t state = 1;

	state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (uint32_t)(state >> 33);
}

static float random_float(void)
{
	return (float)next_random() * 0x1p-30f - 1;
}

Test(demo_numbers, exponential)
{
	for (float x = -87; x <= 88; x += 0x1.1p-9f) {
		float y = x;

		numbers_exp(&y, 1);
		cr_assert_lt(fabs((double)y / exp((double)x) - 1), 2e-7,
			     "e to the power of %g is %g", (double)x, (double)y);
	}
}

Test(demo_numbers, exponential_at_its_ends)
{
	float x[] = {0, -0.0f, 89, INFINITY, -88, -INFINITY, NAN, 3e38f, -3e38f};

	numbers_exp(x, 9);
	cr_assert_eq(x[0], 1);
	cr_assert_eq(x[1], 1);
	cr_assert(x[2] > 1.6e38f && x[2] == x[3] && x[2] == x[7]);
	cr_assert(x[4] > 0 && x[4] < 1.7e-38f && x[4] == x[5] && x[4] == x[8]);
	cr_assert(isnan(x[6]));
}

/* The order of additions that the header promises, spelled out. */
Test(demo_numbers, order_of_sums)
{
	enum { MOST = 100 };
	float a[MOST], b[MOST];
	uint8_t codes[MOST];

	for (size_t n = 0; n <= MOST; n++) {
		float lanes[16] = {0}, coded[16] = {0};

		for (size_t i = 0; i < n; i++) {
			a[i] = random_float();
			b[i] = random_float();
			codes[i] = (uint8_t)next_random();
			lanes[i % 16] += a[i] * b[i];
			coded[i % 16] += (float)codes[i] * b[i];
		}
		for (size_t half = 8; half > 0; half /= 2)
			for (size_t k = 0; k < half; k++) {
				lanes[k] += lanes[k + half];
				coded[k] += coded[k + half];
			}
		cr_assert_eq(numbers_dot(a, b, n), lanes[0], "%zu numbers", n);
		cr_assert_eq(numbers_dot_codes(codes, b, n), coded[0], "%zu codes", n);
	}
}

Test(demo_numbers, softmax)
{
	float x[] = {1000, 1000, 1001, -1000};
	const double e = exp(1);

	numbers_softmax(x, 4);
	cr_assert_float_eq((double)x[0], 1 / (2 + e), 1e-7);
	cr_assert_float_eq((double)x[2], e / (2 + e), 1e-7);
	cr_assert(x[0] == x[1] && x[3] < 1e-37f);
}

/* One matrix with all kinds of contents, random but finite. */
static void fill(uint8_t *bytes, size_t size, enum tensor_kind kind)
{
	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)next_random();
	/* Exponents of 64 to 95, 0 to 15 or 0 to 31 of 256 or so: no infinities. */
	for (size_t i = 1; kind == TENSOR_F16 && i < size; i += 2)
		bytes[i] &= 0xbf;
	for (size_t i = 1; kind == TENSOR_BF16 && i < size; i += 2)
		bytes[i] = (bytes[i] & 0x80) | 0x3f;
	for (size_t i = 3; kind == TENSOR_F32 && i < size; i += 4)
		bytes[i] = (bytes[i] & 0x80) | 0x3f;
	for (size_t i = 7; kind == TENSOR_F64 && i < size; i += 8)
		bytes[i] = (bytes[i] & 0x80) | 0x3f;
}

/* Each kind of matrix, rows that begin in the middle of a byte and rows longer than a part. */
Test(demo_numbers, products_do_not_depend_on_company)
{
	static const size_t shapes[][2] = {{1, 1},     {7, 33},   {40, 64},
					   {300, 251}, {3, 1024}, {5, 2500}};
	static const size_t sizes[] = {1, 0, 8,
				       4, 2, 2}; /* bytes of a number, by kind; 0: half of one */
	struct diag diag;
	struct team *alone = team_start(1, &diag), *three = team_start(3, &diag);

	for (unsigned k = 0; k < 6 * 6; k++) {
		const size_t rows = shapes[k / 6][0], cols = shapes[k / 6][1], bytes = sizes[k % 6];
		const size_t size = bytes ? rows * cols * bytes : (rows * cols + 1) / 2;
		uint8_t *data = malloc(size);
		float *x = malloc(TENSOR_MAX_BATCH * cols * sizeof(*x));
		float *one = malloc(rows * sizeof(*one));
		float *all = malloc(TENSOR_MAX_BATCH * rows * sizeof(*all));
		const struct tensor w = {.file = {.bytes = data, .size = size},
					 .kind = (enum tensor_kind)(k % 6),
					 .rows = rows,
					 .cols = cols,
					 .scale = 0.125f,
					 .zero_point = 7};

		fill(data, size, w.kind);
		for (size_t i = 0; i < TENSOR_MAX_BATCH * cols; i++)
			x[i] = random_float();
		for (size_t count = 1; count <= TENSOR_MAX_BATCH; count += count < 3 ? 1 : 29) {
			tensor_multiply(count % 2 ? three : alone, &w, x, count, all);
			for (size_t i = 0; i < count; i++) {
				tensor_multiply(alone, &w, x + i * cols, 1, one);
				cr_assert_eq(memcmp(one, all + i * rows, rows * sizeof(*one)), 0,
					     "kind %u, %zu x %zu, %zu of %zu", k % 6, rows, cols, i,
					     count);
			}
		}
		free(data);
		free(x);
		free(one);
		free(all);
	}
	team_end(alone);
	team_end(three);
}
