/* SPDX-License-Identifier: MIT */
/* transcode.c - a transcode by its rule; see transcode.h. */
#include "image/transcode.h"

#include "image/transcode_rules.h"

/* The catalog has been validated: there is no other. */
static const struct transcode_rule *rule_of(const struct efs_transcode *record)
{
	return record->rule == EFS_JOIN          ? &transcode_join
	       : record->rule == EFS_GGML_BLOCKS ? &transcode_blocks
						 : &transcode_dequantize;
}

uint64_t transcode_part(const struct image *image, uint32_t transcode, uint64_t offset)
{
	const struct efs_transcode *record = image_transcode(image, transcode);
	uint64_t part = rule_of(record)->part(record);

	return part - offset % part;
}

unsigned transcode_sources(const struct image *image, uint32_t transcode, uint64_t offset,
			   uint64_t size, struct transcode_source *sources)
{
	const struct efs_transcode *record = image_transcode(image, transcode);

	return rule_of(record)->sources(image, record, offset, size, sources);
}

void transcode(const struct image *image, uint32_t transcode, uint64_t offset, size_t size,
	       const uint8_t *bytes, uint8_t *to)
{
	const struct efs_transcode *record = image_transcode(image, transcode);

	if (size)
		rule_of(record)->make(image, record, offset, size, bytes, to);
}
