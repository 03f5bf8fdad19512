/* SPDX-License-Identifier: MIT */
/* kernels.h - the kernels there are, and what they share; private to codec/. */
#ifndef ENTROFS_CODEC_KERNELS_H
#define ENTROFS_CODEC_KERNELS_H

#include "codec/dequant_kernels.h"
#include "codec/tree.h"

extern const struct codec_kernel codec_kernel_reference;
extern const struct codec_kernel codec_kernel_scalar;
extern const struct codec_kernel codec_kernel_bmi2;   /* x86-64 only, like */
extern const struct codec_kernel codec_kernel_avx2;   /* x86-64 only */
extern const struct codec_kernel codec_kernel_avx512; /* x86-64 only */
extern const struct codec_kernel codec_kernel_neon;   /* aarch64 only */

/* A block is used up to its last byte, and the bits left over there are zero. */
static inline int codec_ends_well(const uint8_t *coded, size_t coded_size, size_t bits)
{
	return (bits + 7) / 8 == coded_size &&
	       (bits % 8 == 0 || coded[coded_size - 1] >> bits % 8 == 0);
}

#endif
