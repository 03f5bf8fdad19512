/* SPDX-License-Identifier: MIT */
/* extract.h - writes an image's tree into a folder of the host. */
#ifndef ENTROFS_EXTRACT_H
#define ENTROFS_EXTRACT_H

#include "image/reader.h"
#include "mkfs/pool.h"

/*
 * Extracts every file of the image into the folder target, which is made, or is there and empty.
 * Nothing is ever overwritten, and nothing written outside it. Prints what fails, and stops there.
 * Returns check_result bits.
 */
unsigned extract_image(struct image *image, const char *path, const char *target,
		       struct pool *pool);

#endif
