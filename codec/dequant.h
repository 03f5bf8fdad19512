/* SPDX-License-Identifier: MIT */
/*
 * dequant.h - codes to numbers: what a quantized tensor's codes stand for, in F32, F16 or BF16.
 *
 * A code q of 8 or 4 bits stands for the real number scale * (q - zero_point). What is written is
 * that number rounded once to the type asked for: to the nearest, halves to even, with subnormal
 * numbers and, beyond the largest finite number, infinity. Its sign, that of a zero included, is
 * the product of the signs of scale and q - zero_point, 0 counting as positive: what IEEE
 * multiplication gives. docs/design.md shows how the kernels get there.
 *
 * Bytes in, bytes out: no I/O, no allocation, no stdio, no state of its own; every function may be
 * called from any thread at any time. The kernel is the one that goes with codec_kernel_in_use().
 * Kernels other than the reference compute with the floating-point environment that C programs
 * start with: round to nearest, subnormals not flushed.
 *
 * Codes are packed as in an image: with 8 bits a byte each, with 4 bits two to a byte, the first
 * in the low half. Numbers are little-endian. Neither needs any alignment; codes and output must
 * not overlap, and nothing outside of them is read or written.
 */
#ifndef ENTROFS_CODEC_DEQUANT_H
#define ENTROFS_CODEC_DEQUANT_H

#include <stddef.h>
#include <stdint.h>

enum dequant_type { DEQUANT_F32, DEQUANT_F16, DEQUANT_BF16, DEQUANT_TYPES };

/* Bytes of one number. */
size_t dequant_size(enum dequant_type type);

struct dequant_params {
	float scale;        /* finite */
	int32_t zero_point; /* any */
};

/*
 * Parameters made ready, in memory of the caller's, who may copy it. The fields are for the
 * kernels. Immutable once prepared: threads may share it.
 */
struct dequant_plan {
	/* Fills out[0..count) from the lower half of codes[0] on. */
	void (*expand)(const struct dequant_plan *, const uint8_t *codes, size_t count,
		       uint8_t *out);
	struct dequant_params params;
	enum dequant_type type;
	int bits;
	float factor;  /* a kernel that found a shorter way to the numbers of the table */
	uint32_t bias; /* multiplies by the one and adds the other to the product's bits */
	_Alignas(64) uint8_t table[256 * 4]; /* the numbers of all codes, where `expand` wants it */
	_Alignas(64) uint8_t layout[256 * 8]; /* the same in a kernel's own order */
};

/*
 * Prepares a plan for codes of 8 or 4 bits with the kernel in use. Returns -1, and leaves the plan
 * unusable, if the scale is not finite.
 */
int dequant_prepare(struct dequant_plan *plan, int bits, enum dequant_type type,
		    const struct dequant_params *params);

/*
 * Writes the numbers of the elements [first, first + count) of a tensor. codes points at the byte
 * that holds element `first`, of which only the parity matters, and only with 4 bits: that of an
 * odd one is the upper half of its byte.
 */
void dequant(const struct dequant_plan *plan, const uint8_t *codes, uint64_t first, size_t count,
	     void *out);

/* A tensor with parameters for each row. */
struct dequant_rows {
	int bits;
	enum dequant_type type;
	uint64_t row_length;                 /* elements; a row may begin in the middle of a byte */
	const struct dequant_params *params; /* of all rows */
};

/*
 * The same for a tensor with parameters for each row. Returns -1, and writes nothing, if the scale
 * of a row concerned is not finite. row_length may be 0 if count is.
 */
int dequant_rows(const struct dequant_rows *rows, const uint8_t *codes, uint64_t first,
		 size_t count, void *out);

#endif
