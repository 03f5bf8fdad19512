/* SPDX-License-Identifier: MIT */
/*
 * gguf_types.h - the types of GGUF files: of tensors, and of values in the metadata.
 *
 * A tensor's rows are divided into blocks of as many elements as its type says; a block of a
 * quantized type holds scales beside the codes.
 */
#ifndef ENTROFS_GGUF_TYPES_H
#define ENTROFS_GGUF_TYPES_H

#include <stdint.h>

/* Of tensors. The ids left out are of types that ggml has given up. */
enum gguf_type_id {
	GGUF_TYPE_F32 = 0,
	GGUF_TYPE_F16 = 1,
	GGUF_TYPE_Q4_0 = 2,
	GGUF_TYPE_Q4_1 = 3,
	GGUF_TYPE_Q5_0 = 6,
	GGUF_TYPE_Q5_1 = 7,
	GGUF_TYPE_Q8_0 = 8,
	GGUF_TYPE_Q8_1 = 9,
	GGUF_TYPE_Q2_K = 10,
	GGUF_TYPE_Q3_K = 11,
	GGUF_TYPE_Q4_K = 12,
	GGUF_TYPE_Q5_K = 13,
	GGUF_TYPE_Q6_K = 14,
	GGUF_TYPE_Q8_K = 15,
	GGUF_TYPE_IQ2_XXS = 16,
	GGUF_TYPE_IQ2_XS = 17,
	GGUF_TYPE_IQ3_XXS = 18,
	GGUF_TYPE_IQ1_S = 19,
	GGUF_TYPE_IQ4_NL = 20,
	GGUF_TYPE_IQ3_S = 21,
	GGUF_TYPE_IQ2_S = 22,
	GGUF_TYPE_IQ4_XS = 23,
	GGUF_TYPE_I8 = 24,
	GGUF_TYPE_I16 = 25,
	GGUF_TYPE_I32 = 26,
	GGUF_TYPE_I64 = 27,
	GGUF_TYPE_F64 = 28,
	GGUF_TYPE_IQ1_M = 29,
	GGUF_TYPE_BF16 = 30,
	GGUF_TYPE_TQ1_0 = 34,
	GGUF_TYPE_TQ2_0 = 35,
	GGUF_TYPE_MXFP4 = 39,
	GGUF_TYPE_NVFP4 = 40,
	GGUF_TYPE_Q1_0 = 41,
	GGUF_TYPE_Q2_0 = 42,
};

struct gguf_type {
	uint32_t id; /* an enum gguf_type_id */
	char name[8];
	uint16_t block; /* elements of a block; 1: not divided */
	uint16_t bytes; /* of a block */
};

/* The type of that id, or NULL. */
const struct gguf_type *gguf_type_by_id(uint32_t id);

/* Of values in the metadata. */
enum gguf_value {
	GGUF_VALUE_U8,
	GGUF_VALUE_I8,
	GGUF_VALUE_U16,
	GGUF_VALUE_I16,
	GGUF_VALUE_U32,
	GGUF_VALUE_I32,
	GGUF_VALUE_F32,
	GGUF_VALUE_BOOL,   /* a byte */
	GGUF_VALUE_STRING, /* bytes: u64, then they */
	GGUF_VALUE_ARRAY,  /* type of the elements: u32, how many: u64, then they */
	GGUF_VALUE_U64,
	GGUF_VALUE_I64,
	GGUF_VALUE_F64,
	GGUF_VALUE_END, /* behind the last */
};

/* Bytes of a value; 0: of a string or an array, which differ in size. */
unsigned gguf_value_size(enum gguf_value type);

#endif
