/* SPDX-License-Identifier: MIT */
/* ggml_blocks_reference.c - element by element, by the definition. */
#include "codec/ggml_blocks_kernels.h"

static void put_number(uint16_t number, uint8_t *out)
{
	out[0] = (uint8_t)number;
	out[1] = (uint8_t)(number >> 8);
}

static unsigned code_of(const uint8_t *codes, unsigned element)
{
	return element % 2 ? codes[element / 2] >> 4 : codes[element / 2] & 15;
}

static void put(const struct ggml_blocks *blocks, const uint8_t *codes, size_t n, uint8_t *out)
{
	for (size_t i = 0; i < n; i++, codes += blocks->codes_size, out += blocks->size) {
		put_number(blocks->d, out);
		if (blocks->type == GGML_Q4_1)
			put_number(blocks->m, out + 2);
		for (unsigned j = 0; j < blocks->codes_size; j++)
			out[blocks->head + j] =
			    blocks->type == GGML_Q8_0
				? (uint8_t)(codes[j] - 128)
				: (uint8_t)(code_of(codes, j) | code_of(codes, j + 16) << 4);
	}
}

const struct ggml_blocks_kernel ggml_blocks_kernel_reference = {put, put};
