/* SPDX-License-Identifier: MIT */
/*
 * dtype.h - the element types of safetensors: names, sizes, and which of them are weights to
 * quantize.
 */
#ifndef ENTROFS_DTYPE_H
#define ENTROFS_DTYPE_H

#include "image/format.h"

#include <stdint.h>

struct dtype {
	enum efs_dtype code;
	char name[8];      /* in safetensors headers */
	char extension[8]; /* of a kept tensor's file */
	uint8_t size;      /* bytes */
	int8_t quantizes;  /* an enum quant_type, or -1: always kept as it is */
};

/* The type called so, or NULL. */
const struct dtype *dtype_by_name(const char *name);

/* Of a valid efs_dtype; NULL otherwise. */
const struct dtype *dtype_by_code(unsigned code);

/* Whether name is a type of safetensors with less than a byte per element. */
int dtype_is_sub_byte(const char *name);

#endif
