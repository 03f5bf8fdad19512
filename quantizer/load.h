/* SPDX-License-Identifier: MIT */
/*
 * load.h - float values of any type as doubles, exactly.
 */
#ifndef ENTROFS_QUANTIZER_LOAD_H
#define ENTROFS_QUANTIZER_LOAD_H

#include "quantizer/quantizer.h"

/* Weights handled at once: their doubles stay in the first-level cache. A multiple of 8. */
enum { QUANT_BATCH = 512 };

/* Converts values[first .. first + count) of a little-endian array that may be unaligned. */
void quant_load(enum quant_type type, const void *values, size_t first, size_t count, double *out);

#endif
