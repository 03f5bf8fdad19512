/* SPDX-License-Identifier: MIT */
/* transcode_join.c - records of byte planes; see transcode_rules.h and codec/planes.h. */
#include "image/transcode_rules.h"

#include "image/catalog.h"

#include <string.h>

/* A power of two records, and as most fields have a power of two bytes, whole blocks of them. */
static uint64_t part(const struct efs_transcode *record)
{
	struct planes planes = efs_transcode_planes(record);
	uint64_t records = 1;

	while (2 * records * planes.unit <= TRANSCODE_PART)
		records *= 2;
	return records * planes.unit;
}

static unsigned sources(const struct image *image, const struct efs_transcode *record,
			uint64_t offset, uint64_t size, struct transcode_source *sources)
{
	struct planes planes = efs_transcode_planes(record);
	uint64_t first = offset / planes.unit;
	uint64_t end = size ? (offset + size - 1) / planes.unit + 1 : first;

	(void)image;
	for (unsigned k = 0; k < planes.count; k++)
		sources[k] =
		    (struct transcode_source){record->first_stream + k, first * planes.size[k],
					      (end - first) * planes.size[k]};
	return planes.count;
}

/* The planes of records. */
struct parts {
	struct planes planes;
	const uint8_t *at[PLANES_COUNT_MAX];
};

static void advance(struct parts *parts, size_t records)
{
	for (unsigned k = 0; k < parts->planes.count; k++)
		parts->at[k] += records * parts->planes.size[k];
}

static void make(const struct image *image, const struct efs_transcode *record, uint64_t offset,
		 size_t size, const uint8_t *bytes, uint8_t *to)
{
	struct parts parts = {.planes = efs_transcode_planes(record)};
	size_t unit = parts.planes.unit, skip = (size_t)(offset % unit);
	size_t records = (skip + size + unit - 1) / unit;

	(void)image;
	for (unsigned k = 0; k < parts.planes.count; k++) {
		parts.at[k] = bytes;
		bytes += records * parts.planes.size[k];
	}
	while (size) {
		size_t count = size / unit, done = count * unit;
		uint8_t one[PLANES_UNIT_MAX];

		if (skip || !count) {
			count = 1;
			done = unit - skip < size ? unit - skip : size;
			planes_join(&parts.planes, parts.at, 1, one);
			memcpy(to, one + skip, done);
			skip = 0;
		} else {
			planes_join(&parts.planes, parts.at, count, to);
		}
		advance(&parts, count);
		to += done;
		size -= done;
	}
}

const struct transcode_rule transcode_join = {part, sources, make};
