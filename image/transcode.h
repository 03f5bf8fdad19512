/* SPDX-License-Identifier: MIT */
/*
 * transcode.h - bytes that are made of others when they are read; the rules alone, whoever obtains
 * the others.
 *
 * Every byte of a transcode is made of bytes at places that its own place tells, so that any range
 * of it can be made of ranges of streams. It is made in parts, whose bounds are such that what a
 * part is made of is whole blocks where that can be. Pure: any thread may call.
 */
#ifndef ENTROFS_IMAGE_TRANSCODE_H
#define ENTROFS_IMAGE_TRANSCODE_H

#include "image/reader.h"

enum {
	TRANSCODE_PART = 128 << 10,       /* bytes of a part, at most */
	TRANSCODE_SOURCE_MAX = 128 << 10, /* of all streams together that a part is made of */
	TRANSCODE_SOURCES_MAX = EFS_PLANES_MAX,
};

/* Decoded bytes of a stream. */
struct transcode_source {
	uint32_t stream;
	uint64_t offset, size;
};

/* Bytes from this offset to the end of its part, which the end of the transcode does not cut. */
uint64_t transcode_part(const struct image *image, uint32_t transcode, uint64_t offset);

/* What bytes [offset, offset + size) of a transcode, which has them, are made of: how many ranges,
 * in sources[0..TRANSCODE_SOURCES_MAX). Each is of another stream. */
unsigned transcode_sources(const struct image *image, uint32_t transcode, uint64_t offset,
			   uint64_t size, struct transcode_source *sources);

/* Makes them of those, one behind the other in bytes, which must not overlap `to`. */
void transcode(const struct image *image, uint32_t transcode, uint64_t offset, size_t size,
	       const uint8_t *bytes, uint8_t *to);

#endif
