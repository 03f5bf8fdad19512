/* SPDX-License-Identifier: MIT */
/*
 * ggml_blocks.h - codes as the blocks of ggml that stand for the same numbers.
 *
 * In ggml, and so in a GGUF file, a quantized tensor is a sequence of **blocks** of 32 elements,
 * little-endian, of which these can hold codes of ours:
 *
 *     Q8_0  34 bytes: d, 32 signed bytes q             element: d * q
 *     Q4_0  18 bytes: d, 16 bytes of two codes         element: d * (q - 8)
 *     Q4_1  20 bytes: d, m, 16 bytes of two codes      element: d * q + m
 *
 * d and m are F16. Byte j of two codes has element j in its low half and element j + 16 in the
 * high one, where ours have two neighbours.
 *
 * A tensor of ours has one scale and one zero point, so all its blocks have the same d and m:
 * d = scale, and m = -scale * zero_point. That is exact only if both are numbers of F16, and the
 * zero point is what the type implies: 128 for Q8_0, 8 for Q4_0, 0 to 15 for Q4_1. Then ggml's own
 * arithmetic in F32 is exact, too, and gives scale * (code - zero_point); but a zero has the sign
 * that the sum of Q4_1 gives it.
 *
 * Bytes in, bytes out: no I/O, no allocation, no stdio, no state of its own; every function may be
 * called from any thread at any time. The kernel is the one that goes with codec_kernel_in_use().
 */
#ifndef ENTROFS_CODEC_GGML_BLOCKS_H
#define ENTROFS_CODEC_GGML_BLOCKS_H

#include <stddef.h>
#include <stdint.h>

enum { GGML_BLOCK = 32, GGML_BLOCK_SIZE_MAX = 34 }; /* elements, bytes */

/* The numbers of ggml itself. */
enum ggml_block_type { GGML_Q4_0 = 2, GGML_Q4_1 = 3, GGML_Q8_0 = 8 };

struct ggml_blocks {
	uint8_t type;       /* an enum ggml_block_type */
	uint8_t head;       /* bytes of a block before its codes: 2 or 4 */
	uint8_t codes_size; /* bytes of its codes: 32 or 16 */
	uint8_t size;       /* bytes of a block */
	uint16_t d, m;      /* bits of F16; m is 0 without one */
};

/* Blocks of that type with these parameters. -1: not a type of the above, or not exactly. */
int ggml_blocks_prepare(struct ggml_blocks *blocks, unsigned type, float scale, int32_t zero_point);

/* Bits of a code, and bytes of a block; 0: not a type of the above. */
unsigned ggml_blocks_bits(unsigned type);
unsigned ggml_blocks_size(unsigned type);

/*
 * n blocks. Of Q8_0, codes are 32 bytes for a block, else 16, with the first of two codes in the
 * low half. Nothing needs any alignment; codes and out must not overlap. No byte is read or written
 * but those of n blocks. If n is 0, pointers may be NULL.
 */
void ggml_blocks_put(const struct ggml_blocks *blocks, const uint8_t *codes, size_t n,
		     uint8_t *out);

#endif
