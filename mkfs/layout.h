/* SPDX-License-Identifier: MIT */
/*
 * layout.h - how the bytes of any file are best cut into records of fields, so that it can be coded
 * losslessly.
 *
 * Tensors of safetensors and GGUF files have a type, which offers one or two ways to cut; all other
 * bytes, those of files that only look like one of these included, are taken in windows, whose
 * records are found by measuring. In both cases samples decide, by the entropy of what they are cut
 * into: a layout is always worth having, or it is the plain one, of single bytes.
 */
#ifndef ENTROFS_LAYOUT_H
#define ENTROFS_LAYOUT_H

#include "codec/planes.h"
#include "mkfs/source.h"

#include <stddef.h>
#include <stdint.h>

enum {
	LAYOUT_REGION_MAX = 32 << 20, /* bytes of a region of records */
};

/* A stretch of a file. */
struct region {
	uint64_t offset, size;
	/* count 0: text, or what else is not worth a stream: to be compressed as such. Otherwise
	 * size is a whole number of records. */
	struct planes planes;
};

/* Regions cover the file from its first byte to its last, in order; none is empty. */
struct layout {
	struct region *regions;
	size_t count;
};

/* 0, or -1 after printing why; layout_free() after success only. */
int layout_of_file(const struct source_file *file, struct layout *layout);
void layout_free(struct layout *layout);

#endif
