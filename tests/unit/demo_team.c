/* SPDX-License-Identifier: MIT */
/* demo_team.c - threads of entrofs-run that share a product: they start, work and end. */
#include "runtime-demo/tensor.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* Long enough for a thread to be late when its team ends: it once left alone, and all waited. */
Test(demo_team, a_team_without_work_ends, .timeout = 120)
{
	for (unsigned round = 0; round < 1000; round++) {
		struct diag diag;
		struct team *team = team_start(1 + round % 8, &diag);

		cr_assert_not_null(team);
		team_end(team);
	}
}

Test(demo_team, a_product_does_not_depend_on_the_team, .timeout = 120)
{
	enum { ROWS = 301, COLS = 517, COUNT = 3 };
	uint8_t *codes = malloc(ROWS * COLS);
	float *x = malloc(COUNT * COLS * sizeof(float)), *y[2];
	struct tensor w = {
	    .kind = TENSOR_U8, .rows = ROWS, .cols = COLS, .scale = 0.25f, .zero_point = 120.0f};

	for (size_t i = 0; i < ROWS * COLS; i++)
		codes[i] = (uint8_t)(i * 2654435761u >> 13);
	for (size_t i = 0; i < COUNT * COLS; i++)
		x[i] = (float)(i % 29) - 14.5f;
	w.file = (struct file_data){.bytes = codes, .size = ROWS * COLS};
	for (size_t i = 0; i < 2; i++) {
		struct diag diag;
		struct team *team = team_start(1 + 4 * i, &diag);

		cr_assert_not_null(team);
		y[i] = malloc(COUNT * ROWS * sizeof(float));
		for (unsigned round = 0; round < 20; round++)
			tensor_multiply(team, &w, x, COUNT, y[i]);
		team_end(team);
	}
	cr_assert_eq(memcmp(y[0], y[1], COUNT * ROWS * sizeof(float)), 0);

	/* Some rows of the matrix are those rows of the product, in any place. */
	for (size_t first = 0; first < ROWS; first += 37) {
		const size_t rows = ROWS - first < 50 ? ROWS - first : 50;
		const struct tensor part = tensor_part(&w, first, rows);
		struct diag diag;
		struct team *team = team_start(1, &diag);

		cr_assert_not_null(team);
		tensor_multiply(team, &part, x, COUNT, y[1]);
		team_end(team);
		for (size_t i = 0; i < COUNT; i++)
			cr_assert_eq(
			    memcmp(y[0] + i * ROWS + first, y[1] + i * rows, rows * sizeof(float)),
			    0);
	}
	free(y[0]);
	free(y[1]);
	free(x);
	free(codes);
}
