/* SPDX-License-Identifier: MIT */
/* transcode_blocks.c - codes as blocks of ggml; see transcode_rules.h and codec/ggml_blocks.h. */
#include "image/transcode_rules.h"

#include "codec/ggml_blocks.h"

#include <assert.h>

static struct ggml_blocks blocks_of(const struct image *image, const struct efs_transcode *record)
{
	const struct efs_param *param = image_params(image, image_tensor(image, record->tensor));
	struct ggml_blocks blocks;

	/* It does not fail: the catalog has been validated. */
	ggml_blocks_prepare(&blocks, record->ggml_type, param->scale, param->zero_point);
	return blocks;
}

static_assert((int)GGML_BLOCK_SIZE_MAX <= (int)TRANSCODE_UNIT_MAX, "a block is a unit");

static unsigned unit(const struct efs_transcode *record)
{
	return (unsigned)ggml_blocks_size(record->ggml_type);
}

static unsigned sources(const struct image *image, const struct efs_transcode *record,
			uint64_t first, uint64_t count, struct transcode_source *sources)
{
	uint64_t codes = GGML_BLOCK / 8 * ggml_blocks_bits(record->ggml_type);

	*sources = (struct transcode_source){image_tensor(image, record->tensor)->first_stream,
					     first * codes, count * codes};
	return 1;
}

static void make(const struct image *image, const struct efs_transcode *record,
		 const struct transcode_units *units, uint64_t skip, size_t count, uint8_t *to)
{
	const struct ggml_blocks blocks = blocks_of(image, record);

	ggml_blocks_put(&blocks, units->bytes + skip * blocks.codes_size, count, to);
}

const struct transcode_rule transcode_blocks = {unit, sources, make};
