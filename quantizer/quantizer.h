/* SPDX-License-Identifier: MIT */
/*
 * quantizer.h - float tensors to codes and back, at tensor level.
 *
 * Arithmetic on arrays: no I/O, no allocation, no state; any thread may call anything. Everything
 * is exact or computed in double with a fixed order of operations, and compiled without
 * contraction: the same input gives the same codes on every machine, however a tensor is cut
 * between threads.
 *
 * Method: EntroLLM (arXiv 2505.02380). For b bits (8 or 4), in double from the F32-rounded scale s:
 *   unsigned    all values of one sign: s = max|w| / (2^b - 1), negative for a negative tensor, z =
 * 0 asymmetric  otherwise: s = (max - min) / (2^b - 1), z = round(-min / s) constant    every value
 * c: s = c, z = 0, every q = 1; all zero: s = 1, q = 0 q = clamp(round(w / s) + z, 0, 2^b - 1),
 * rounding half to even; dequantized w' = s * (q - z)
 */
#ifndef ENTROFS_QUANTIZER_H
#define ENTROFS_QUANTIZER_H

#include <stddef.h>
#include <stdint.h>

enum quant_type { QUANT_F64, QUANT_F32, QUANT_F16, QUANT_BF16 };
size_t quant_type_size(enum quant_type type);

enum quant_scheme { QUANT_UNSIGNED = 1, QUANT_ASYMMETRIC, QUANT_CONSTANT };

/* What is known of the values seen; start from quant_range_none(). Merging is exact in any order.
 */
struct quant_range {
	double min, max;
	uint64_t count;
	uint64_t bad_index; /* of the first NaN or infinity, counted from first_index; UINT64_MAX:
			       none */
};
struct quant_range quant_range_none(void);
void quant_range_add(struct quant_range *range, enum quant_type type, const void *values,
		     size_t count, uint64_t first_index);
void quant_range_merge(struct quant_range *range, const struct quant_range *other);

struct quant_params {
	enum quant_scheme scheme;
	int bits;
	float scale;
	int32_t zero_point;
};

/*
 * Parameters for a tensor with this range (finite, count > 0). -1 if no F32 scale can represent it
 * (a range beyond what F32 holds: only F64 tensors): such a tensor is to be kept as it is.
 */
int quant_choose(const struct quant_range *range, int bits, struct quant_params *params);

/* Blocks of ggml that hold codes and can be made of ours, exactly, if all of a tensor have the same
 * scale d, and offset m, both in F16. */
enum quant_blocks {
	QUANT_Q8_0, /* 8 bits; d is the scale, the zero point 128 */
	QUANT_Q4_0, /* 4 bits; the zero point is 8 */
	QUANT_Q4_1, /* 4 bits; m is -scale * zero_point, which is 0 to 15 */
};

/*
 * Like quant_choose(), but such that those blocks are possible: of the scales and zero points that
 * they can have, those with the smallest step that brings a code within half a step of every
 * weight. The scale is negative if that is better. The scheme is asymmetric, whatever the signs of
 * weights, if the zero point is not 0. All weights equal: they get the code behind the zero point,
 * and their value rounded to F16 as scale.
 *
 * -1 if F16 holds none, or only one that is more than twice as large as the step that would do
 * without it: that is larger than 65504, or below 2^-25, half the smallest number of F16; or m is
 * too large for all zero points that would do. A step between is rounded up like any other.
 */
int quant_choose_blocks(const struct quant_range *range, enum quant_blocks blocks,
			struct quant_params *params);

/* Sums over weights, for the error figures; merge in a fixed order to keep them reproducible. */
struct quant_error {
	double signal; /* sum of w^2 */
	double noise;  /* sum of (w' - w)^2 */
	double max;    /* largest |w' - w| */
};
void quant_error_merge(struct quant_error *error, const struct quant_error *other);
double quant_sqnr(const struct quant_error *error); /* dB; INFINITY without noise */

/* One code per byte. error (may be NULL) is added to. */
void quant_encode(const struct quant_params *params, enum quant_type type, const void *values,
		  size_t count, uint8_t *codes, struct quant_error *error);

/* Packs 4-bit codes two to a byte, the first in the low nibble, a missing last one as 0. */
void quant_pack4(const uint8_t *codes, size_t count, uint8_t *packed);

/* Entropy in bits per symbol of these counts; 0 if they are all zero. */
double quant_entropy(const uint64_t *counts, size_t symbols);

#endif
