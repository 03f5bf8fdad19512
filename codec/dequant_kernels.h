/* SPDX-License-Identifier: MIT */
/*
 * dequant_kernels.h - what a dequantizing kernel is, and what kernels share; private to codec/.
 *
 * A plan for 4 bits always has a table: 16 entries cost next to nothing. With 8 bits there are two
 * ways. `direct` computes every number from the parameters. If the row is long enough to pay for
 * 256 entries, they are computed first, by `direct` as well, and `settle` then chooses what
 * expands codes fastest and gives exactly these entries.
 */
#ifndef ENTROFS_CODEC_DEQUANT_KERNELS_H
#define ENTROFS_CODEC_DEQUANT_KERNELS_H

#include "codec/dequant.h"

#include <string.h>

typedef void dequant_expand(const struct dequant_plan *plan, const uint8_t *codes, size_t count,
			    uint8_t *out);

struct dequant_kernel {
	/* Codes of 8 bits to exact numbers from plan->params alone, for |zero_point| up to
	 * DEQUANT_ZERO_MAX. */
	dequant_expand *direct[DEQUANT_TYPES];
	/* With more elements, a table of 256 entries pays. */
	size_t direct_up_to[DEQUANT_TYPES];
	/* Sets plan->expand, and plan->layout if it wants to, from the table and all else. With 8
	 * bits, the zero point is as for `direct`, and count more than direct_up_to. */
	void (*settle)(struct dequant_plan *plan, size_t count);
};

extern const struct dequant_kernel dequant_kernel_reference;
extern const struct dequant_kernel dequant_kernel_scalar;
extern const struct dequant_kernel dequant_kernel_avx2;   /* x86-64 only */
extern const struct dequant_kernel dequant_kernel_avx512; /* x86-64 only */
extern const struct dequant_kernel dequant_kernel_neon;   /* aarch64 only */

/* With such a zero point, and any code, q - zero_point is exact in F32 as in int32_t. */
enum { DEQUANT_ZERO_MAX = (1 << 24) - 256 };

/* 0 to 255. */
extern const uint8_t dequant_all_codes[256];

/* The bits of one number, by integer arithmetic, for any parameters. */
uint32_t dequant_number(const struct dequant_params *params, unsigned code, enum dequant_type type);

/* Expand by plan->table, codes of 8 bits. */
void dequant_by_table16(const struct dequant_plan *plan, const uint8_t *codes, size_t count,
			uint8_t *out);
void dequant_by_table32(const struct dequant_plan *plan, const uint8_t *codes, size_t count,
			uint8_t *out);

/*
 * For codes of 8 bits and numbers of 2 bytes: arithmetic in F32, with a second rounding, is not
 * always right, but it is known to be if it gives the table for all 256 codes. Sets expand, factor
 * (from its bits) and bias of the plan; returns whether they do that.
 */
int dequant_gives_table(struct dequant_plan *plan, dequant_expand *expand, uint32_t factor,
			uint32_t bias);

/*
 * Tries `rounding`, which rounds the product of code and plan->factor to the nearest, halves to
 * even, with the scale and its neighbours, and settles on the table if none of them will do.
 */
void dequant_settle_rounding(struct dequant_plan *plan, dequant_expand *rounding);

/* Added to the bits of an F32 of which the upper half is kept: halves go up, or down. */
enum { DEQUANT_HALF_UP = 0x8000, DEQUANT_HALF_DOWN = 0x7fff };

/* plan->layout becomes the table's 16 entries as one plane of 16 for each of their bytes. */
void dequant_split_table(struct dequant_plan *plan);

/* Not memcpy(): where that is a checked one, clang vectorises no loop around it. */
static inline uint32_t dequant_bits_of(float number)
{
	uint32_t bits;

	__builtin_memcpy(&bits, &number, sizeof(bits));
	return bits;
}

static inline float dequant_float_of(uint32_t bits)
{
	float number;

	__builtin_memcpy(&number, &bits, sizeof(number));
	return number;
}

/*
 * Defines a dequant_expand function NAME. `group`(const context *, codes, out) turns exactly
 * CODES codes of BITS bits into as many numbers of SIZE bytes; `context` `load`(plan) has what it
 * needs in registers. What is left over at the end passes through buffers of a group's size.
 */
#define DEQUANT_EXPAND(NAME, BITS, SIZE, CODES, context, load, group)                              \
	static void NAME(const struct dequant_plan *plan, const uint8_t *codes, size_t count,      \
			 uint8_t *out)                                                             \
	{                                                                                          \
		const context loaded = load(plan);                                                 \
		for (; count >= (CODES); count -= (CODES)) {                                       \
			group(&loaded, codes, out);                                                \
			codes += (CODES) * (BITS) / 8;                                             \
			out += (CODES) * (SIZE);                                                   \
		}                                                                                  \
		if (count > 0) {                                                                   \
			uint8_t last_codes[(CODES) * (BITS) / 8] = {0}, last[(CODES) * (SIZE)];    \
			memcpy(last_codes, codes, (count * (BITS) + 7) / 8);                       \
			group(&loaded, last_codes, last);                                          \
			memcpy(out, last, count *(SIZE));                                          \
		}                                                                                  \
	}

#endif
