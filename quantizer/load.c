/* SPDX-License-Identifier: MIT */
/*
 * load.c - float values of any type as doubles, exactly.
 *
 * The 16-bit types are widened to F32 by integer operations, denormals included, so that loops
 * vectorise on the baseline instruction set and no operand is a denormal float, which costs x86
 * over a hundred cycles.
 */
#include "quantizer/load.h"

#include <string.h>

size_t quant_type_size(enum quant_type type)
{
	switch (type) {
	case QUANT_F64:
		return 8;
	case QUANT_F32:
		return 4;
	case QUANT_F16:
	case QUANT_BF16:
		return 2;
	}
	return 0;
}

static float float_of_bits(uint32_t bits)
{
	float value;
	memcpy(&value, &bits, sizeof value);
	return value;
}

static double double_of_half(uint16_t half)
{
	uint32_t sign = (uint32_t)(half & 0x8000) << 16;
	uint32_t magnitude = half & 0x7fff;
	/* An exponent field of 31 means infinity or NaN in F16, of 255 in F32. */
	uint32_t rebias = magnitude >= 0x7c00 ? (uint32_t)(255 - 31) << 23 : (127 - 15) << 23;
	float normal = float_of_bits(sign | ((magnitude << 13) + rebias));
	/* A denormal counts units of 2^-24. */
	float tiny = (float)(int32_t)magnitude * 0x1p-24f;
	tiny = sign ? -tiny : tiny;
	return (double)(magnitude < 0x400 ? tiny : normal);
}

void quant_load(enum quant_type type, const void *values, size_t first, size_t count, double *out)
{
	const uint8_t *at = (const uint8_t *)values + first * quant_type_size(type);

	switch (type) {
	case QUANT_F64:
		memcpy(out, at, count * sizeof *out);
		break;
	case QUANT_F32:
		for (size_t i = 0; i < count; i++) {
			float value;
			memcpy(&value, at + 4 * i, sizeof value);
			out[i] = (double)value;
		}
		break;
	case QUANT_F16:
		for (size_t i = 0; i < count; i++) {
			uint16_t half;
			memcpy(&half, at + 2 * i, sizeof half);
			out[i] = double_of_half(half);
		}
		break;
	case QUANT_BF16:
		for (size_t i = 0; i < count; i++) {
			uint16_t upper;
			memcpy(&upper, at + 2 * i, sizeof upper);
			out[i] = (double)float_of_bits((uint32_t)upper << 16);
		}
		break;
	}
}
