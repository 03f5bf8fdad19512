/* SPDX-License-Identifier: MIT */
/*
 * dtype.c - the table of element types; see dtype.h.
 */
#include "mkfs/dtype.h"

#include "quantizer/quantizer.h"

#include <stddef.h>
#include <string.h>

/* In the order of enum efs_dtype. FP8 is already quantized: it is kept. */
static const struct dtype types[] = {
    {EFS_BOOL, "BOOL", "bool", 1, -1},
    {EFS_U8, "U8", "u8", 1, -1},
    {EFS_I8, "I8", "i8", 1, -1},
    {EFS_F8_E5M2, "F8_E5M2", "f8_e5m2", 1, -1},
    {EFS_F8_E4M3, "F8_E4M3", "f8_e4m3", 1, -1},
    {EFS_F8_E8M0, "F8_E8M0", "f8_e8m0", 1, -1},
    {EFS_U16, "U16", "u16", 2, -1},
    {EFS_I16, "I16", "i16", 2, -1},
    {EFS_F16, "F16", "f16", 2, QUANT_F16},
    {EFS_BF16, "BF16", "bf16", 2, QUANT_BF16},
    {EFS_U32, "U32", "u32", 4, -1},
    {EFS_I32, "I32", "i32", 4, -1},
    {EFS_F32, "F32", "f32", 4, QUANT_F32},
    {EFS_U64, "U64", "u64", 8, -1},
    {EFS_I64, "I64", "i64", 8, -1},
    {EFS_F64, "F64", "f64", 8, QUANT_F64},
    {EFS_C64, "C64", "c64", 8, -1},
};
static_assert(sizeof types / sizeof *types == EFS_DTYPE_END - 1, "every efs_dtype has a row");

const struct dtype *dtype_by_name(const char *name)
{
	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		if (strcmp(types[i].name, name) == 0)
			return &types[i];
	}
	return NULL;
}

const struct dtype *dtype_by_code(unsigned code)
{
	return code >= EFS_BOOL && code < EFS_DTYPE_END ? &types[code - EFS_BOOL] : NULL;
}

int dtype_is_sub_byte(const char *name)
{
	return strcmp(name, "F4") == 0 || strcmp(name, "F6_E2M3") == 0 ||
	       strcmp(name, "F6_E3M2") == 0;
}
