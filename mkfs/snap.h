/* SPDX-License-Identifier: MIT */
/*
 * snap.h - parameters of a tensor that blocks of ggml can have, too, chosen by the error they make.
 *
 * What they cost is known, since the parameters that would be chosen freely are among those tried.
 */
#ifndef ENTROFS_SNAP_H
#define ENTROFS_SNAP_H

#include "mkfs/codes.h"

enum { SNAP_TRIED = 3 };

struct snap {
	struct quant_params params[SNAP_TRIED]; /* the first: chosen freely */
	uint8_t types[SNAP_TRIED];              /* of ggml's blocks; 0 */
	unsigned count; /* 0 or 1: F16 holds none, the tensor is to be kept */
};

/* What to try for a tensor of that range. Fails, after printing why, if a value is not finite. */
int snap_begin(struct snap *snap, const struct codes *codes, const struct quant_range *range);

/* Adds the errors that each makes in size decoded bytes, at most a chunk, from offset on; raw has
 * room for them. Fails after printing why. */
int snap_measure(const struct snap *snap, const struct codes *codes, struct codes_buffer *buffer,
		 uint64_t offset, size_t size, uint8_t *raw, struct quant_error errors[SNAP_TRIED]);

/* Sets the codes' parameters to those that make the least noise in all, the first of equals, or
 * makes the tensor one to keep. The type of the blocks; 0: kept. */
unsigned snap_end(const struct snap *snap, const struct quant_error errors[SNAP_TRIED],
		  struct codes *codes);

/* How many sets of parameters are tried for so many bits, at most. */
unsigned snap_tried(int bits);

#endif
