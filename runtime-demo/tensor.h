/* SPDX-License-Identifier: MIT */
/*
 * tensor.h - a matrix in a file, and vectors times it.
 *
 * Matrices stay as they are on disk, uint8 or packed uint4 codes: a weight is
 * scale * (code - zero_point), so a row times a vector is
 *
 *     scale * (sum(code * x) - zero_point * sum(x))
 *
 * and only the codes are multiplied. No float copy of a matrix ever exists.
 */
#ifndef ENTROFS_RUN_TENSOR_H
#define ENTROFS_RUN_TENSOR_H

#include "runtime-demo/diag.h"
#include "runtime-demo/file.h"

enum tensor_kind {
	TENSOR_U8,
	TENSOR_U4, /* two to a byte, the first in the low nibble; rows follow without a gap */
	TENSOR_F64,
	TENSOR_F32,
	TENSOR_F16,
	TENSOR_BF16
};

/* rows * cols numbers, row after row. */
struct tensor {
	struct file_data file; /* as long as the numbers ask for */
	enum tensor_kind kind;
	size_t start; /* of its numbers in the file: more than 0 in a part of a matrix */
	size_t rows, cols;
	float scale, zero_point; /* of TENSOR_U8 and TENSOR_U4 */
};

/* Some rows of a matrix, as a matrix. It uses the file of the whole, which must outlive it and is
   alone to be unmapped. */
struct tensor tensor_part(const struct tensor *whole, size_t first_row, size_t rows);

/* The values of count numbers from the given one on: a row to embed, a norm, a piece of a matrix
   that was kept in its own dtype. */
void tensor_values(const struct tensor *tensor, size_t first, size_t count, float *out);

/* Threads that share the rows of one product at a time. The result does not depend on their number:
   a row is always one thread's. Used by one caller at a time. */
struct team;

/* NULL on failure. members counts the caller, at least 1; end with team_end(). */
struct team *team_start(size_t members, struct diag *diag);
void team_end(struct team *team); /* NULL is fine */

enum { TENSOR_MAX_BATCH = 32 };

/* y[i] = W x[i] for each of count vectors, at most TENSOR_MAX_BATCH; x is [count, cols] and y is
   [count, rows]. A vector's product does not depend on those it is computed with. */
void tensor_multiply(struct team *team, const struct tensor *w, const float *x, size_t count,
		     float *y);

#endif
