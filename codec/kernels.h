/* SPDX-License-Identifier: MIT */
/* kernels.h - the kernels there are, and what they share; private to codec/. */
#ifndef ENTROFS_CODEC_KERNELS_H
#define ENTROFS_CODEC_KERNELS_H

#include "codec/dequant_kernels.h"
#include "codec/ggml_blocks_kernels.h"
#include "codec/planes_kernels.h"
#include "codec/tree.h"

extern const struct codec_kernel codec_kernel_reference;
extern const struct codec_kernel codec_kernel_scalar;
extern const struct codec_kernel codec_kernel_bmi2;   /* x86-64 only, like */
extern const struct codec_kernel codec_kernel_avx2;   /* x86-64 only */
extern const struct codec_kernel codec_kernel_avx512; /* x86-64 only */
extern const struct codec_kernel codec_kernel_neon;   /* aarch64 only */

/* A kernel's encoder, in a file of its own. */
typedef enum codec_result codec_encoder(const struct codec_tree *tree, const uint8_t *src,
					size_t size, uint8_t *dst, size_t capacity,
					size_t *coded_size, struct codec_scratch *scratch);

codec_encoder codec_encode_reference;
codec_encoder codec_encode_scalar;
codec_encoder codec_encode_bmi2;
codec_encoder codec_encode_avx2;
codec_encoder codec_encode_avx512;
codec_encoder codec_encode_neon;

/* Which elements an encoder still needs when it splits a list. */
enum { KEEP_LEFT = 1, KEEP_RIGHT = 2 };

/* In place of the length of a block's codes: a symbol has none. */
#define CODEC_NO_LENGTH UINT64_MAX

/* A block is used up to its last byte, and the bits left over there are zero. */
static inline int codec_ends_well(const uint8_t *coded, size_t coded_size, size_t bits)
{
	return (bits + 7) / 8 == coded_size &&
	       (bits % 8 == 0 || coded[coded_size - 1] >> bits % 8 == 0);
}

#endif
