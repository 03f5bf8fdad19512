/* SPDX-License-Identifier: MIT */
/*
 * view_npy.h - the header of an .npy file (NumPy's format, version 1.0).
 */
#ifndef ENTROFS_VIEW_NPY_H
#define ENTROFS_VIEW_NPY_H

#include "mkfs/json.h"
#include "mkfs/safetensors.h"

enum {
	NPY_HEADER_ALIGN = 64, /* the data begins at a multiple of it */
};

/*
 * Adds a header, as long as a multiple of NPY_HEADER_ALIGN. bits: of the tensor's codes, which are
 * what the file holds, packed ones as bytes; 0: numbers of this dtype. NumPy does not know BF16 and
 * FP8: they are unsigned integers of their size. Check text->failed.
 */
void view_npy_header(struct text *text, const struct safetensor *tensor, int bits,
		     enum efs_dtype dtype);

#endif
