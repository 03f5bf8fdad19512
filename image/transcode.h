/* SPDX-License-Identifier: MIT */
/*
 * transcode.h - bytes that are made of others when they are read; the rules alone, whoever obtains
 * the others.
 *
 * Every byte of a transcode is made of bytes at a place that its own place tells, so that any range
 * of it can be made of a range of a stream. Pure: any thread may call.
 */
#ifndef ENTROFS_IMAGE_TRANSCODE_H
#define ENTROFS_IMAGE_TRANSCODE_H

#include "image/reader.h"

enum {
	/* Whoever makes these many bytes at once, from a multiple of it on, reads whole blocks, and
	 * needs no more bytes of the stream than ... */
	TRANSCODE_PART = 128 << 10,
	TRANSCODE_SOURCE_MAX = 64 << 10,
};

/* Decoded bytes of a stream. */
struct transcode_source {
	uint32_t stream;
	uint64_t offset, size;
};

/* What bytes [offset, offset + size) of a transcode, which has them, are made of. */
struct transcode_source transcode_source(const struct image *image, uint32_t transcode,
					 uint64_t offset, uint64_t size);

/* Makes them of those, which must not overlap `to`. */
void transcode(const struct image *image, uint32_t transcode, uint64_t offset, size_t size,
	       const uint8_t *source, uint8_t *to);

#endif
