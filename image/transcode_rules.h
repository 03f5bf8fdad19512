/* SPDX-License-Identifier: MIT */
/*
 * transcode_rules.h - the rules that transcode.c chooses from.
 *
 * What a rule makes is a sequence of units: numbers, blocks or records. Each is made whole, of
 * bytes that its place tells; cutting is left to transcode.c.
 */
#ifndef ENTROFS_IMAGE_TRANSCODE_RULES_H
#define ENTROFS_IMAGE_TRANSCODE_RULES_H

#include "image/transcode.h"

enum { TRANSCODE_UNIT_MAX = 1024 }; /* bytes */

/* What units [first, first + count) are made of: the bytes of their sources, one behind the other.
 */
struct transcode_units {
	uint64_t first, count;
	const uint8_t *bytes;
};

struct transcode_rule {
	unsigned (*unit)(const struct efs_transcode *record); /* bytes of one */
	/* Of units [first, first + count): as transcode_sources(). */
	unsigned (*sources)(const struct image *image, const struct efs_transcode *record,
			    uint64_t first, uint64_t count, struct transcode_source *sources);
	/* Makes `count` of the units at hand, but for the first `skip` of them; count is not 0. */
	void (*make)(const struct image *image, const struct efs_transcode *record,
		     const struct transcode_units *units, uint64_t skip, size_t count, uint8_t *to);
};

extern const struct transcode_rule transcode_dequantize, transcode_join, transcode_blocks;

#endif
