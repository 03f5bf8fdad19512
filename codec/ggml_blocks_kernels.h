/* SPDX-License-Identifier: MIT */
/* ggml_blocks_kernels.h - what a kernel for ggml's blocks is; private to codec/. */
#ifndef ENTROFS_CODEC_GGML_BLOCKS_KERNELS_H
#define ENTROFS_CODEC_GGML_BLOCKS_KERNELS_H

#include "codec/ggml_blocks.h"

typedef void ggml_blocks_putter(const struct ggml_blocks *blocks, const uint8_t *codes, size_t n,
				uint8_t *out);

/* Each like ggml_blocks_put(). */
struct ggml_blocks_kernel {
	ggml_blocks_putter *bytes;   /* Q8_0 */
	ggml_blocks_putter *nibbles; /* Q4_0, Q4_1 */
};

extern const struct ggml_blocks_kernel ggml_blocks_kernel_reference;
extern const struct ggml_blocks_kernel ggml_blocks_kernel_scalar;
extern const struct ggml_blocks_kernel ggml_blocks_kernel_avx2;   /* x86-64 only */
extern const struct ggml_blocks_kernel ggml_blocks_kernel_avx512; /* x86-64 only */
extern const struct ggml_blocks_kernel ggml_blocks_kernel_neon;   /* aarch64 only */

/* What a block of 4 bits starts with, as one number: its upper half is for four bytes only. */
static inline uint32_t ggml_blocks_head(const struct ggml_blocks *blocks)
{
	return blocks->d | (uint32_t)blocks->m << 16;
}

#endif
