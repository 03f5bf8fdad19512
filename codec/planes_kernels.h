/* SPDX-License-Identifier: MIT */
/*
 * planes_kernels.h - what a kernel for planes is, and what kernels share; private to codec/.
 *
 * A kernel has functions for the shapes of numbers. All other records have long fields, mostly, and
 * one way for all instruction sets: copying.
 */
#ifndef ENTROFS_CODEC_PLANES_KERNELS_H
#define ENTROFS_CODEC_PLANES_KERNELS_H

#include "codec/planes.h"

enum planes_shape {
	PLANES_ANY,
	PLANES_PAIRS,          /* 2 = 1 + 1 */
	PLANES_ROTATED_PAIRS,  /* ... words of 2 */
	PLANES_FOURS,          /* 4 = 1 + 1 + 1 + 1 */
	PLANES_ROTATED_FOURS,  /* ... words of 4 */
	PLANES_HALVES,         /* 4 = 2 + 1 + 1 */
	PLANES_ROTATED_HALVES, /* ... words of 4 */
	PLANES_SHAPES
};

typedef void planes_splitter(const struct planes *planes, const uint8_t *records, size_t n,
			     uint8_t *const parts[]);
typedef void planes_joiner(const struct planes *planes, const uint8_t *const parts[], size_t n,
			   uint8_t *records);

/* By shape, each like planes_split() or planes_join(). NULL: the scalar kernel's is as good. */
struct planes_kernel {
	planes_splitter *split[PLANES_SHAPES];
	planes_joiner *join[PLANES_SHAPES];
};

/* That of an instruction set with vectors, whose file has these functions. */
#define PLANES_VECTOR_KERNEL                                                                       \
	{                                                                                          \
		.split = {[PLANES_PAIRS] = split_pairs,                                            \
			  [PLANES_ROTATED_PAIRS] = split_rotated_pairs,                            \
			  [PLANES_FOURS] = split_fours,                                            \
			  [PLANES_ROTATED_FOURS] = split_rotated_fours},                           \
		.join = {                                                                          \
		    [PLANES_PAIRS] = join_pairs,   [PLANES_ROTATED_PAIRS] = join_rotated_pairs,    \
		    [PLANES_FOURS] = join_fours,   [PLANES_ROTATED_FOURS] = join_rotated_fours,    \
		    [PLANES_HALVES] = join_halves, [PLANES_ROTATED_HALVES] = join_rotated_halves}, \
	}

extern const struct planes_kernel planes_kernel_reference;
extern const struct planes_kernel planes_kernel_scalar; /* has no NULL */
extern const struct planes_kernel planes_kernel_avx2;   /* x86-64 only */
extern const struct planes_kernel planes_kernel_avx512; /* x86-64 only */
extern const struct planes_kernel planes_kernel_neon;   /* aarch64 only */

/* What a vector kernel leaves: of n records all but the first `done`, by the scalar kernel. */
void planes_split_rest(const struct planes *planes, const uint8_t *records, size_t done, size_t n,
		       uint8_t *const parts[]);
void planes_join_rest(const struct planes *planes, const uint8_t *const parts[], size_t done,
		      size_t n, uint8_t *records);

/* A copy of pointers that no store through one of them can change, as far as compilers know. */
struct planes_parts {
	uint8_t *of[4];
};
struct planes_sources {
	const uint8_t *of[4];
};

#define PLANES_POINTERS(COUNT)                                                                     \
	{                                                                                          \
		parts[0], parts[1], parts[(COUNT) > 2 ? 2 : 0], parts[(COUNT) > 3 ? 3 : 0]         \
	}

/*
 * Define a planes_splitter and a planes_joiner NAME for records of UNIT bytes and COUNT planes, 2
 * to 4. `group`(records, planes, first, rotated) splits or joins exactly GROUP records; in the
 * planes they begin at record `first`.
 */
#define PLANES_SPLIT(NAME, COUNT, UNIT, GROUP, group, rotated)                                     \
	static void NAME(const struct planes *planes, const uint8_t *records, size_t n,            \
			 uint8_t *const parts[])                                                   \
	{                                                                                          \
		const struct planes_parts out = {PLANES_POINTERS(COUNT)};                          \
		size_t first = 0;                                                                  \
		for (; n - first >= (GROUP); first += (GROUP))                                     \
			group(records + (UNIT)*first, &out, first, rotated);                       \
		if (first < n)                                                                     \
			planes_split_rest(planes, records, first, n, parts);                       \
	}

#define PLANES_JOIN(NAME, COUNT, UNIT, GROUP, group, rotated)                                      \
	static void NAME(const struct planes *planes, const uint8_t *const parts[], size_t n,      \
			 uint8_t *records)                                                         \
	{                                                                                          \
		const struct planes_sources in = {PLANES_POINTERS(COUNT)};                         \
		size_t first = 0;                                                                  \
		for (; n - first >= (GROUP); first += (GROUP))                                     \
			group(records + (UNIT)*first, &in, first, rotated);                        \
		if (first < n)                                                                     \
			planes_join_rest(planes, parts, first, n, records);                        \
	}

#endif
