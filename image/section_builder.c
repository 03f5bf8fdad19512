/* SPDX-License-Identifier: MIT */
/*
 * section_builder.c - writes sections; see section.h.
 *
 * Level and parameters are fixed and each chunk is compressed alone, by one thread: the stored
 * bytes depend on the raw ones only (and on the release of zstd).
 */
#include "image/section.h"
#include "image/writer.h"

#include "image/checksum.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

enum { LEVEL = 19 };

static int prepare(struct section_builder *builder)
{
	if (!builder->raw)
		builder->raw = malloc(EFS_CHUNK_SIZE);
	if (!builder->stored)
		builder->stored = malloc(ZSTD_COMPRESSBOUND(EFS_CHUNK_SIZE));
	if (!builder->context) {
		builder->context = ZSTD_createCCtx();
		if (builder->context && ZSTD_isError(ZSTD_CCtx_setParameter(
					    builder->context, ZSTD_c_compressionLevel, LEVEL)))
			return -EINVAL;
	}
	return builder->raw && builder->stored && builder->context ? 0 : -ENOMEM;
}

int efs_section_builder_begin(struct section_builder *builder,
			      int (*put)(void *to, const void *data, size_t size,
					 struct image_diag *diag),
			      void *to, struct image_diag *diag)
{
	int err = prepare(builder);

	if (err)
		return image_fail(diag, err, "cannot set up zstd");
	builder->put = put;
	builder->to = to;
	builder->raw_size = 0;
	builder->stored_size = 0;
	builder->chunks.size = 0;
	builder->filled = 0;
	return 0;
}

static void store_le32(uint8_t *to, uint32_t value)
{
	memcpy(to, &value, sizeof(value));
}

/* Fills a frame of size bytes up to the least that a chunk may take; returns the new size. */
static size_t fill_up(uint8_t *stored, size_t size, size_t raw_size)
{
	size_t filler = efs_section_filler_size(size, raw_size);

	if (!filler)
		return size;
	memset(stored + size, 0, filler);
	store_le32(stored + size, ZSTD_MAGIC_SKIPPABLE_START);
	store_le32(stored + size + 4, (uint32_t)(filler - SECTION_FILLER_HEADER));
	return size + filler;
}

static int flush_chunk(struct section_builder *builder, struct image_diag *diag)
{
	const uint8_t *from = builder->stored;
	size_t raw_size = builder->filled;
	size_t size = ZSTD_compress2(builder->context, builder->stored,
				     ZSTD_COMPRESSBOUND(EFS_CHUNK_SIZE), builder->raw, raw_size);
	struct efs_chunk chunk;

	if (ZSTD_isError(size))
		return image_fail(diag, -ENOMEM, "zstd: %s", ZSTD_getErrorName(size));
	size = fill_up(builder->stored, size, raw_size);
	if (size >= raw_size) {
		from = builder->raw;
		size = raw_size;
	}
	chunk.stored_size = (uint32_t)size;
	chunk.checksum = checksum_of(builder->raw, raw_size);
	if (efs_buffer_add(&builder->chunks, &chunk, sizeof(chunk)))
		return image_fail(diag, -ENOMEM, "out of memory");
	builder->filled = 0;
	builder->stored_size += size;
	return builder->put(builder->to, from, size, diag);
}

int efs_section_builder_put(struct section_builder *builder, const void *data, size_t size,
			    struct image_diag *diag)
{
	const uint8_t *from = data;

	if (size > INT64_MAX - builder->raw_size)
		return image_fail(diag, -EFBIG, "a section is too large");
	builder->raw_size += size;
	while (size) {
		size_t room = EFS_CHUNK_SIZE - builder->filled;
		size_t part = size < room ? size : room;

		memcpy(builder->raw + builder->filled, from, part);
		builder->filled += part;
		from += part;
		size -= part;
		if (builder->filled == EFS_CHUNK_SIZE) {
			int err = flush_chunk(builder, diag);

			if (err)
				return err;
		}
	}
	return 0;
}

int efs_section_builder_extend(struct section_builder *builder, uint64_t raw_size,
			       struct image_diag *diag)
{
	uint64_t chunks = raw_size / EFS_CHUNK_SIZE + (raw_size % EFS_CHUNK_SIZE != 0);
	double ratio = (double)builder->stored_size / (double)builder->raw_size;
	uint64_t stored = (uint64_t)((double)raw_size * ratio) + 1;
	size_t records = (size_t)chunks * sizeof(struct efs_chunk);
	uint8_t *record = efs_buffer_extend(&builder->chunks, records);

	if (!record)
		return image_fail(diag, -ENOMEM, "out of memory");
	memset(record, 0, records);
	builder->raw_size += raw_size;
	builder->stored_size += stored;
	return builder->put(builder->to, NULL, (size_t)stored, diag);
}

size_t image_blob_estimate(const void *bytes, size_t size, void *work)
{
	enum { QUICK_LEVEL = 3 };
	static_assert(IMAGE_BLOB_WORK >= ZSTD_COMPRESSBOUND(EFS_CHUNK_SIZE), "any chunk fits");
	size_t stored = ZSTD_compress(work, IMAGE_BLOB_WORK, bytes, size, QUICK_LEVEL);

	return ZSTD_isError(stored) || stored > size ? size : stored;
}

int efs_section_builder_end(struct section_builder *builder, struct image_diag *diag)
{
	int err = builder->filled ? flush_chunk(builder, diag) : 0;

	if (err || !builder->chunks.size)
		return err;
	builder->stored_size += builder->chunks.size;
	return builder->put(builder->to, builder->chunks.data, builder->chunks.size, diag);
}

void efs_section_builder_free(struct section_builder *builder)
{
	ZSTD_freeCCtx(builder->context);
	free(builder->raw);
	free(builder->stored);
	efs_buffer_free(&builder->chunks);
	*builder = (struct section_builder){0};
}
