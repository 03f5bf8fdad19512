/* SPDX-License-Identifier: MIT */
/* transcode_join.c - records of byte planes; see transcode_rules.h and codec/planes.h. */
#include "image/transcode_rules.h"

#include "image/catalog.h"

#include <assert.h>

static_assert((int)PLANES_UNIT_MAX <= (int)TRANSCODE_UNIT_MAX, "a record is a unit");

static unsigned unit(const struct efs_transcode *record)
{
	return efs_transcode_planes(record).unit;
}

static unsigned sources(const struct image *image, const struct efs_transcode *record,
			uint64_t first, uint64_t count, struct transcode_source *sources)
{
	struct planes planes = efs_transcode_planes(record);

	(void)image;
	for (unsigned k = 0; k < planes.count; k++)
		sources[k] = (struct transcode_source){
		    record->first_stream + k, first * planes.size[k], count * planes.size[k]};
	return planes.count;
}

static void make(const struct image *image, const struct efs_transcode *record,
		 const struct transcode_units *units, uint64_t skip, size_t count, uint8_t *to)
{
	struct planes planes = efs_transcode_planes(record);
	const uint8_t *parts[PLANES_COUNT_MAX], *plane = units->bytes;

	(void)image;
	for (unsigned k = 0; k < planes.count; k++) {
		parts[k] = plane + skip * planes.size[k];
		plane += units->count * planes.size[k];
	}
	planes_join(&planes, parts, count, to);
}

const struct transcode_rule transcode_join = {unit, sources, make};
