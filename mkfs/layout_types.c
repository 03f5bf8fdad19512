/* SPDX-License-Identifier: MIT */
/*
 * layout_types.c - tables of types; see layout_types.h.
 *
 * What the blocks of GGUF types consist of is said by the structures of ggml's ggml-common.h: an
 * F16 scale is two fields of a byte, as its halves differ most.
 */
#include "mkfs/layout_types.h"

#include <stddef.h>

/* clang-format off */
#define WAYS_OF_2 {                                                                                \
	{.unit = 2, .word = 2, .count = 2, .size = {1, 1}},                                        \
	{.unit = 2, .count = 2, .size = {1, 1}}}
#define WAYS_OF_4 {                                                                                \
	{.unit = 4, .word = 4, .count = 4, .size = {1, 1, 1, 1}},                                  \
	{.unit = 4, .word = 4, .count = 3, .size = {2, 1, 1}},                                     \
	{.unit = 4, .count = 4, .size = {1, 1, 1, 1}}}
#define WAYS_OF_8 {                                                                                \
	{.unit = 8, .count = 8, .size = {1, 1, 1, 1, 1, 1, 1, 1}},                                 \
	{.unit = 8, .count = 3, .size = {6, 1, 1}}}
#define BLOCK(bytes, fields, ...) {{.unit = (bytes), .count = (fields), .size = {__VA_ARGS__}}}

static const struct layout_type dtypes[] = {
    {EFS_U16, WAYS_OF_2}, {EFS_I16, WAYS_OF_2}, {EFS_F16, WAYS_OF_2}, {EFS_BF16, WAYS_OF_2},
    {EFS_U32, WAYS_OF_4}, {EFS_I32, WAYS_OF_4}, {EFS_F32, WAYS_OF_4}, {EFS_C64, WAYS_OF_4},
    {EFS_U64, WAYS_OF_8}, {EFS_I64, WAYS_OF_8}, {EFS_F64, WAYS_OF_8},
};

static const struct layout_type gguf_types[] = {
    {GGUF_TYPE_F32, WAYS_OF_4},
    {GGUF_TYPE_F16, WAYS_OF_2},
    {GGUF_TYPE_BF16, WAYS_OF_2},
    {GGUF_TYPE_F64, WAYS_OF_8},
    {GGUF_TYPE_I16, WAYS_OF_2},
    {GGUF_TYPE_I32, WAYS_OF_4},
    {GGUF_TYPE_I64, WAYS_OF_8},
    {GGUF_TYPE_Q4_0, BLOCK(18, 3, 1, 1, 16)},              /* scale, codes */
    {GGUF_TYPE_Q4_1, BLOCK(20, 5, 1, 1, 1, 1, 16)},        /* scale, minimum, codes */
    {GGUF_TYPE_Q5_0, BLOCK(22, 4, 1, 1, 4, 16)},           /* scale, fifth bits, codes */
    {GGUF_TYPE_Q5_1, BLOCK(24, 6, 1, 1, 1, 1, 4, 16)},     /* ... with a minimum */
    {GGUF_TYPE_Q8_0, BLOCK(34, 3, 1, 1, 32)},              /* scale, codes */
    {GGUF_TYPE_Q8_1, BLOCK(36, 5, 1, 1, 1, 1, 32)},        /* scale, sum, codes */
    {GGUF_TYPE_Q2_K, BLOCK(84, 6, 16, 64, 1, 1, 1, 1)},    /* scales, codes, scale, minimum */
    {GGUF_TYPE_Q3_K, BLOCK(110, 5, 32, 64, 12, 1, 1)},     /* third bits, codes, scales, scale */
    {GGUF_TYPE_Q4_K, BLOCK(144, 8, 1, 1, 1, 1, 4, 4, 4, 128)}, /* scale, minimum, scales, codes */
    {GGUF_TYPE_Q5_K, BLOCK(176, 7, 1, 1, 1, 1, 12, 32, 128)},  /* ... fifth bits before codes */
    {GGUF_TYPE_Q6_K, BLOCK(210, 5, 128, 64, 16, 1, 1)},    /* low, high bits, scales, scale */
    {GGUF_TYPE_Q8_K, BLOCK(292, 6, 1, 1, 1, 1, 256, 32)},  /* scale (F32), codes, sums */
    {GGUF_TYPE_IQ2_XXS, BLOCK(66, 3, 1, 1, 64)},
    {GGUF_TYPE_IQ2_XS, BLOCK(74, 4, 1, 1, 64, 8)},
    {GGUF_TYPE_IQ2_S, BLOCK(82, 6, 1, 1, 32, 32, 8, 8)},
    {GGUF_TYPE_IQ3_XXS, BLOCK(98, 4, 1, 1, 64, 32)},
    {GGUF_TYPE_IQ3_S, BLOCK(110, 6, 1, 1, 64, 8, 32, 4)},
    {GGUF_TYPE_IQ1_S, BLOCK(50, 4, 1, 1, 32, 16)},
    {GGUF_TYPE_IQ1_M, BLOCK(56, 3, 32, 16, 8)},
    {GGUF_TYPE_IQ4_NL, BLOCK(18, 3, 1, 1, 16)},
    {GGUF_TYPE_IQ4_XS, BLOCK(136, 5, 1, 1, 2, 4, 128)},
    {GGUF_TYPE_TQ1_0, BLOCK(54, 4, 48, 4, 1, 1)},
    {GGUF_TYPE_TQ2_0, BLOCK(66, 3, 64, 1, 1)},
    {GGUF_TYPE_MXFP4, BLOCK(17, 2, 1, 16)},                /* exponent, codes */
    {GGUF_TYPE_NVFP4, BLOCK(36, 2, 4, 32)},                /* scales, codes */
    {GGUF_TYPE_Q1_0, BLOCK(18, 3, 1, 1, 16)},
    {GGUF_TYPE_Q2_0, BLOCK(18, 3, 1, 1, 16)},
};
/* clang-format on */

static const struct layout_type *find(const struct layout_type *types, size_t count, uint32_t id)
{
	for (size_t i = 0; i < count; i++) {
		if (types[i].id == id)
			return &types[i];
	}
	return NULL;
}

const struct layout_type *layout_of_dtype(enum efs_dtype dtype)
{
	return find(dtypes, sizeof dtypes / sizeof *dtypes, dtype);
}

const struct layout_type *layout_of_gguf_type(uint32_t id)
{
	return find(gguf_types, sizeof gguf_types / sizeof *gguf_types, id);
}
