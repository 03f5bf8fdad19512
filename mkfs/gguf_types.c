/* SPDX-License-Identifier: MIT */
/*
 * gguf_types.c - the tables of types; see gguf_types.h.
 *
 * Ids are those of enum ggml_type in ggml's public ggml.h, elements and bytes of a block those of
 * its ggml-common.h.
 */
#include "mkfs/gguf_types.h"

#include <assert.h>
#include <stddef.h>

static const struct gguf_type types[] = {
    {GGUF_TYPE_F32, "F32", 1, 4},
    {GGUF_TYPE_F16, "F16", 1, 2},
    {GGUF_TYPE_Q4_0, "Q4_0", 32, 18},
    {GGUF_TYPE_Q4_1, "Q4_1", 32, 20},
    {GGUF_TYPE_Q5_0, "Q5_0", 32, 22},
    {GGUF_TYPE_Q5_1, "Q5_1", 32, 24},
    {GGUF_TYPE_Q8_0, "Q8_0", 32, 34},
    {GGUF_TYPE_Q8_1, "Q8_1", 32, 36},
    {GGUF_TYPE_Q2_K, "Q2_K", 256, 84},
    {GGUF_TYPE_Q3_K, "Q3_K", 256, 110},
    {GGUF_TYPE_Q4_K, "Q4_K", 256, 144},
    {GGUF_TYPE_Q5_K, "Q5_K", 256, 176},
    {GGUF_TYPE_Q6_K, "Q6_K", 256, 210},
    {GGUF_TYPE_Q8_K, "Q8_K", 256, 292},
    {GGUF_TYPE_IQ2_XXS, "IQ2_XXS", 256, 66},
    {GGUF_TYPE_IQ2_XS, "IQ2_XS", 256, 74},
    {GGUF_TYPE_IQ3_XXS, "IQ3_XXS", 256, 98},
    {GGUF_TYPE_IQ1_S, "IQ1_S", 256, 50},
    {GGUF_TYPE_IQ4_NL, "IQ4_NL", 32, 18},
    {GGUF_TYPE_IQ3_S, "IQ3_S", 256, 110},
    {GGUF_TYPE_IQ2_S, "IQ2_S", 256, 82},
    {GGUF_TYPE_IQ4_XS, "IQ4_XS", 256, 136},
    {GGUF_TYPE_I8, "I8", 1, 1},
    {GGUF_TYPE_I16, "I16", 1, 2},
    {GGUF_TYPE_I32, "I32", 1, 4},
    {GGUF_TYPE_I64, "I64", 1, 8},
    {GGUF_TYPE_F64, "F64", 1, 8},
    {GGUF_TYPE_IQ1_M, "IQ1_M", 256, 56},
    {GGUF_TYPE_BF16, "BF16", 1, 2},
    {GGUF_TYPE_TQ1_0, "TQ1_0", 256, 54},
    {GGUF_TYPE_TQ2_0, "TQ2_0", 256, 66},
    {GGUF_TYPE_MXFP4, "MXFP4", 32, 17},
    {GGUF_TYPE_NVFP4, "NVFP4", 64, 36},
    {GGUF_TYPE_Q1_0, "Q1_0", 128, 18},
    {GGUF_TYPE_Q2_0, "Q2_0", 64, 18},
};

const struct gguf_type *gguf_type_by_id(uint32_t id)
{
	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		if (types[i].id == id)
			return &types[i];
	}
	return NULL;
}

unsigned gguf_value_size(enum gguf_value type)
{
	static const uint8_t sizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

	static_assert(sizeof sizes == GGUF_VALUE_END, "every type of values has a size");
	return type < GGUF_VALUE_END ? sizes[type] : 0;
}
