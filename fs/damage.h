/* SPDX-License-Identifier: MIT */
/* damage.h - tells of reads that failed: one log line with image, file, tensor and block. */
#ifndef ENTROFS_DAMAGE_H
#define ENTROFS_DAMAGE_H

#include "image/reader.h"

/* A piece of file `node` that could not be read. */
struct damage {
	const struct image *image;
	const char *image_name;
	uint32_t node;
	const struct efs_piece *piece;
	int error;              /* what the image's reader returned, */
	struct image_diag diag; /* and what it said */
};

/* Logs it; the negative errno for whoever reads the file: -EIO, but for lack of memory. */
int damage_report(const struct damage *damage);

#endif
