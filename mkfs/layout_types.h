/* SPDX-License-Identifier: MIT */
/*
 * layout_types.h - the ways to cut the tensors of a known type.
 */
#ifndef ENTROFS_LAYOUT_TYPES_H
#define ENTROFS_LAYOUT_TYPES_H

#include "codec/planes.h"
#include "image/format.h"
#include "mkfs/gguf_types.h"

/* Ways to cut a type, single bytes aside, which are always one; all have the same unit. */
enum { LAYOUT_WAYS = 3 };
struct layout_type {
	uint32_t id;                     /* an enum efs_dtype, or gguf_type_id */
	struct planes ways[LAYOUT_WAYS]; /* up to the first with count 0 */
};

/* NULL: single bytes are the only way. */
const struct layout_type *layout_of_dtype(enum efs_dtype dtype);
const struct layout_type *layout_of_gguf_type(uint32_t id);

#endif
