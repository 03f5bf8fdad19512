/* SPDX-License-Identifier: MIT */
/*
 * layout_build.h - a layout under construction; shared by the files of mkfs/ that find one.
 *
 * Regions are added in order. Functions that fail have printed why.
 */
#ifndef ENTROFS_LAYOUT_BUILD_H
#define ENTROFS_LAYOUT_BUILD_H

#include "mkfs/layout.h"
#include "mkfs/layout_types.h"

struct layout_build {
	const struct source_file *file;
	struct layout layout;
	size_t capacity;
	uint64_t end;    /* of the regions added so far */
	uint8_t *sample; /* LAYOUT_SAMPLE bytes */
	uint8_t *work;   /* ... and PLANES_UNIT_MAX */
};

/* Text up to here. */
int layout_add_text(struct layout_build *build, uint64_t end);

/* Records up to here, as far as they are whole, and text. */
int layout_add_records(struct layout_build *build, const struct planes *planes, uint64_t end);

/* layout_tensors.c: numbers of one type up to here, cut in the best way. NULL: single bytes. */
int layout_add_type(struct layout_build *build, const struct layout_type *type, uint64_t end);

/* layout_windows.c: whatever there is up to here. */
int layout_add_unknown(struct layout_build *build, uint64_t end);

/* layout_tensors.c: the whole file, by its header; 1: it has none of a known format. */
int layout_add_tensors(struct layout_build *build);

#endif
