/* SPDX-License-Identifier: MIT */
/* section.c - reads sections; see section.h. */
#include "image/section.h"

#include "image/checksum.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

void efs_section_work_free(struct section_work *work)
{
	ZSTD_freeDCtx(work->context);
	free(work->stored);
	*work = (struct section_work){0};
}

const char *efs_section_fault(const struct efs_section *section, uint64_t begin, uint64_t end)
{
	uint64_t chunks = efs_section_chunk_count(section->raw_size);

	if (section->offset % EFS_SECTION_ALIGN)
		return "it is not aligned";
	if (section->offset < begin || section->offset > end ||
	    section->stored_size > end - section->offset)
		return "it lies outside the image's data";
	if (section->raw_size > INT64_MAX)
		return "it is too large";
	if (section->stored_size / sizeof(struct efs_chunk) < chunks ||
	    (section->stored_size != 0) != (chunks != 0))
		return "its sizes contradict each other";
	if (section->raw_size / EFS_CHUNK_RATIO > section->stored_size)
		return "its stored size is too small for its raw size";
	return NULL;
}

size_t efs_section_chunk_raw_size(const struct section_map *map, uint64_t index)
{
	uint64_t rest = map->raw_size - index * EFS_CHUNK_SIZE;

	return rest < EFS_CHUNK_SIZE ? (size_t)rest : EFS_CHUNK_SIZE;
}

static int check_chunks(struct section_map *map, const struct efs_section *section,
			const struct efs_chunk *table, struct image_diag *diag)
{
	uint64_t offset = section->offset;
	uint64_t left = section->stored_size - map->count * sizeof(*table);

	for (uint64_t i = 0; i < map->count; i++) {
		size_t raw_size = efs_section_chunk_raw_size(map, i);
		uint32_t size = table[i].stored_size;

		if (size > raw_size || size < efs_section_least_size(raw_size) || size > left)
			return image_fail(diag, -EUCLEAN,
					  "section at byte %llu: chunk %llu has an impossible size",
					  (unsigned long long)section->offset,
					  (unsigned long long)i);
		map->chunk[i].offset = offset;
		map->chunk[i].stored_size = size;
		map->chunk[i].checksum = table[i].checksum;
		offset += size;
		left -= size;
	}
	if (left)
		return image_fail(diag, -EUCLEAN,
				  "section at byte %llu: chunks do not add up to its stored size",
				  (unsigned long long)section->offset);
	return 0;
}

int efs_section_map_load(struct section_map **map, const struct image_file *file,
			 const struct efs_section *section, struct image_diag *diag)
{
	uint64_t count = efs_section_chunk_count(section->raw_size);
	size_t table_size = (size_t)count * sizeof(struct efs_chunk);
	struct efs_chunk *table = malloc(table_size ? table_size : 1);
	struct section_map *made = malloc(efs_section_map_size(section->raw_size));
	int err;

	if (!table || !made) {
		err = image_fail(diag, -ENOMEM, "out of memory");
		goto out;
	}
	made->raw_size = section->raw_size;
	made->count = count;
	err = efs_io_read(file, section->offset + section->stored_size - table_size, table,
			  table_size, diag);
	if (!err)
		err = check_chunks(made, section, table, diag);
	if (!err) {
		*map = made;
		made = NULL;
	}
out:
	free(made);
	free(table);
	return err;
}

static int prepare(struct section_work *work)
{
	if (!work->stored)
		work->stored = malloc(EFS_CHUNK_SIZE);
	if (!work->context)
		work->context = ZSTD_createDCtx();
	return work->stored && work->context ? 0 : -ENOMEM;
}

static int filler_ok(const uint8_t *filler, size_t size)
{
	const uint32_t header[] = {ZSTD_MAGIC_SKIPPABLE_START,
				   (uint32_t)size - SECTION_FILLER_HEADER};

	static_assert(sizeof(header) == SECTION_FILLER_HEADER, "header of a skippable frame");
	if (memcmp(filler, header, sizeof(header)) != 0)
		return 0;
	for (size_t i = sizeof(header); i < size; i++)
		if (filler[i])
			return 0;
	return 1;
}

/*
 * Whether a frame begins like one that is written here: by RFC 8878, with a window of a chunk's
 * size at most (a single segment has none but itself). Decoding in one call needs no window, but
 * others decode in pieces.
 */
static int frame_ok(const uint8_t *stored, size_t size)
{
	enum { DESCRIPTOR = 4, SINGLE_SEGMENT = 0x20, WINDOW = 5, WINDOW_128K = 7 << 3 };
	const uint32_t magic = ZSTD_MAGICNUMBER;

	return size > WINDOW && memcmp(stored, &magic, sizeof(magic)) == 0 &&
	       (stored[DESCRIPTOR] & SINGLE_SEGMENT || stored[WINDOW] <= WINDOW_128K);
}

/*
 * Decodes a chunk of one frame and perhaps a filler. zstd alone would take several frames, skip
 * what is between them, and know formats older than the standard.
 */
static int decode_chunk(struct section_work *work, size_t stored_size, uint8_t *raw,
			size_t raw_size)
{
	const uint8_t *stored = work->stored;
	size_t frame;

	if (!frame_ok(stored, stored_size))
		return -1;
	frame = ZSTD_findFrameCompressedSize(stored, stored_size);
	if (ZSTD_isError(frame) ||
	    stored_size - frame != efs_section_filler_size(frame, raw_size) ||
	    (frame < stored_size && !filler_ok(stored + frame, stored_size - frame)))
		return -1;
	return ZSTD_decompressDCtx(work->context, raw, raw_size, stored, frame) == raw_size ? 0
											    : -1;
}

int efs_section_read_chunk(const struct section_map *map, uint64_t index,
			   const struct image_file *file, uint8_t *raw, struct section_work *work,
			   struct image_diag *diag)
{
	const struct section_chunk *chunk = &map->chunk[index];
	size_t raw_size = efs_section_chunk_raw_size(map, index);
	int err;

	if (chunk->stored_size == raw_size) {
		err = efs_io_read(file, chunk->offset, raw, raw_size, diag);
		if (err)
			return err;
	} else {
		err = prepare(work);
		if (err)
			return image_fail(diag, err, "out of memory");
		err = efs_io_read(file, chunk->offset, work->stored, chunk->stored_size, diag);
		if (err)
			return err;
		if (decode_chunk(work, chunk->stored_size, raw, raw_size))
			return image_fail(diag, -EUCLEAN, "chunk at byte %llu: not valid zstd data",
					  (unsigned long long)chunk->offset);
	}
	if (checksum_of(raw, raw_size) != chunk->checksum)
		return image_fail(diag, -EUCLEAN, "chunk at byte %llu: wrong checksum",
				  (unsigned long long)chunk->offset);
	return 0;
}

int efs_section_read(const struct image_file *file, const struct efs_section *section, uint8_t *raw,
		     struct image_diag *diag)
{
	struct section_work work = {0};
	struct section_map *map = NULL;
	int err = efs_section_map_load(&map, file, section, diag);

	if (err)
		return err;
	for (uint64_t i = 0; !err && i < map->count; i++)
		err = efs_section_read_chunk(map, i, file, raw + i * EFS_CHUNK_SIZE, &work, diag);
	free(map);
	efs_section_work_free(&work);
	return err;
}

int efs_section_load(const struct image_file *file, const struct efs_section *section,
		     uint8_t **raw, struct image_diag *diag)
{
	uint8_t *made = malloc(section->raw_size ? (size_t)section->raw_size : 1);
	int err = made ? efs_section_read(file, section, made, diag)
		       : image_fail(diag, -ENOMEM, "out of memory");

	if (err)
		free(made);
	else
		*raw = made;
	return err;
}
