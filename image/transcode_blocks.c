/* SPDX-License-Identifier: MIT */
/* transcode_blocks.c - codes as blocks of ggml; see transcode_rules.h and codec/ggml_blocks.h. */
#include "image/transcode_rules.h"

#include "codec/ggml_blocks.h"

#include <string.h>

static struct ggml_blocks blocks_of(const struct image *image, const struct efs_transcode *record)
{
	const struct efs_param *param = image_params(image, image_tensor(image, record->tensor));
	struct ggml_blocks blocks;

	/* It does not fail: the catalog has been validated. */
	ggml_blocks_prepare(&blocks, record->ggml_type, param->scale, param->zero_point);
	return blocks;
}

/* A power of two blocks: so what they are made of is whole blocks of the stream's. */
static uint64_t part(const struct efs_transcode *record)
{
	uint64_t size = ggml_blocks_size(record->ggml_type);

	while (2 * size <= TRANSCODE_PART)
		size *= 2;
	return size;
}

static unsigned sources(const struct image *image, const struct efs_transcode *record,
			uint64_t offset, uint64_t size, struct transcode_source *sources)
{
	uint64_t block = ggml_blocks_size(record->ggml_type), first = offset / block;
	uint64_t end = size ? (offset + size - 1) / block + 1 : first;
	uint64_t codes = GGML_BLOCK / 8 * ggml_blocks_bits(record->ggml_type);

	*sources = (struct transcode_source){image_tensor(image, record->tensor)->first_stream,
					     first * codes, (end - first) * codes};
	return 1;
}

static void make(const struct image *image, const struct efs_transcode *record, uint64_t offset,
		 size_t size, const uint8_t *bytes, uint8_t *to)
{
	const struct ggml_blocks blocks = blocks_of(image, record);
	size_t skip = (size_t)(offset % blocks.size);

	while (size) {
		size_t count = size / blocks.size, done = count * blocks.size;
		uint8_t one[GGML_BLOCK_SIZE_MAX];

		if (skip || !count) {
			count = 1;
			done = blocks.size - skip < size ? blocks.size - skip : size;
			ggml_blocks_put(&blocks, bytes, 1, one);
			memcpy(to, one + skip, done);
			skip = 0;
		} else {
			ggml_blocks_put(&blocks, bytes, count, to);
		}
		bytes += count * blocks.codes_size;
		to += done;
		size -= done;
	}
}

const struct transcode_rule transcode_blocks = {part, sources, make};
