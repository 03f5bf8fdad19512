/* SPDX-License-Identifier: MIT */
/* transcode.c - a transcode by its rule; see transcode.h. */
#include "image/transcode.h"

#include "image/transcode_rules.h"

#include <string.h>

/* The catalog has been validated: there is no other. */
static const struct transcode_rule *rule_of(const struct efs_transcode *record)
{
	return record->rule == EFS_JOIN          ? &transcode_join
	       : record->rule == EFS_GGML_BLOCKS ? &transcode_blocks
						 : &transcode_dequantize;
}

/* Bytes of every part but the last: a power of two units, so that what they are made of is whole
 * blocks as far as it can be. */
static uint64_t part_size(unsigned unit)
{
	uint64_t size = unit;

	while (2 * size <= TRANSCODE_PART)
		size *= 2;
	return size;
}

uint64_t transcode_part(const struct image *image, uint32_t transcode, uint64_t offset)
{
	const struct efs_transcode *record = image_transcode(image, transcode);
	uint64_t size = part_size(rule_of(record)->unit(record));

	return size - offset % size;
}

/* The units of bytes [offset, offset + size). */
static struct transcode_units units_of(unsigned unit, uint64_t offset, uint64_t size)
{
	uint64_t first = offset / unit;
	uint64_t end = size ? (offset + size - 1) / unit + 1 : first;

	return (struct transcode_units){first, end - first, NULL};
}

unsigned transcode_sources(const struct image *image, uint32_t transcode, uint64_t offset,
			   uint64_t size, struct transcode_source *sources)
{
	const struct efs_transcode *record = image_transcode(image, transcode);
	const struct transcode_rule *rule = rule_of(record);
	struct transcode_units units = units_of(rule->unit(record), offset, size);

	return rule->sources(image, record, units.first, units.count, sources);
}

void transcode(const struct image *image, uint32_t transcode, uint64_t offset, size_t size,
	       const uint8_t *bytes, uint8_t *to)
{
	const struct efs_transcode *record = image_transcode(image, transcode);
	const struct transcode_rule *rule = rule_of(record);
	const unsigned unit = rule->unit(record);
	struct transcode_units units = units_of(unit, offset, size);
	size_t cut = (size_t)(offset % unit); /* bytes of the first unit that are not wanted */

	units.bytes = bytes;
	for (uint64_t done = 0; size;) {
		size_t count = size / unit, part = count * unit;
		uint8_t one[TRANSCODE_UNIT_MAX];

		if (cut || !count) {
			count = 1;
			part = unit - cut < size ? unit - cut : size;
			rule->make(image, record, &units, done, 1, one);
			memcpy(to, one + cut, part);
			cut = 0;
		} else {
			rule->make(image, record, &units, done, count, to);
		}
		done += count;
		to += part;
		size -= part;
	}
}
