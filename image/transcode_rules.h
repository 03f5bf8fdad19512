/* SPDX-License-Identifier: MIT */
/* transcode_rules.h - the rules that transcode.c chooses from; what each does says transcode.h. */
#ifndef ENTROFS_IMAGE_TRANSCODE_RULES_H
#define ENTROFS_IMAGE_TRANSCODE_RULES_H

#include "image/transcode.h"

struct transcode_rule {
	uint64_t (*part)(const struct efs_transcode *record); /* bytes of every part but the last */
	unsigned (*sources)(const struct image *image, const struct efs_transcode *record,
			    uint64_t offset, uint64_t size, struct transcode_source *sources);
	/* size is not 0 */
	void (*make)(const struct image *image, const struct efs_transcode *record, uint64_t offset,
		     size_t size, const uint8_t *bytes, uint8_t *to);
};

extern const struct transcode_rule transcode_dequantize, transcode_join, transcode_blocks;

#endif
