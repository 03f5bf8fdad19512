/* SPDX-License-Identifier: MIT */
/*
 * section.h - bytes stored in zstd'ed chunks that can be read one by one.
 *
 * On disk: the chunks, then one efs_chunk for each. A chunk is never stored in less than 1/64 of
 * its raw size (the writer fills up with a zstd skippable frame), so that whoever allocates by raw
 * size spends at most 64 times the bytes that are really there: no image is a decompression bomb.
 * A chunk is decoded in one call into memory of its raw size, so what a frame says about windows
 * and sizes costs nothing.
 */
#ifndef ENTROFS_IMAGE_SECTION_H
#define ENTROFS_IMAGE_SECTION_H

#include "image/buffer.h"
#include "image/diag.h"
#include "image/format.h"
#include "image/io.h"

struct section_chunk {
	uint64_t offset; /* of the stored bytes, in the image */
	uint32_t stored_size;
	uint32_t checksum;
};

/* Where a section's chunks are; validated. One malloc'ed piece, freed with free(). */
struct section_map {
	uint64_t raw_size;
	uint64_t count;
	struct section_chunk chunk[];
};

/* What reading needs besides the destination; one user at a time. Zero-initialised is empty. */
struct section_work {
	void *context;   /* ZSTD_DCtx */
	uint8_t *stored; /* EFS_CHUNK_SIZE bytes */
};
void efs_section_work_free(struct section_work *work);

static inline uint64_t efs_section_chunk_count(uint64_t raw_size)
{
	return raw_size / EFS_CHUNK_SIZE + (raw_size % EFS_CHUNK_SIZE != 0);
}

/* Why this section cannot lie within bytes [begin, end) of an image, or NULL. */
const char *efs_section_fault(const struct efs_section *section, uint64_t begin, uint64_t end);

/* Bytes that a map takes. */
static inline size_t efs_section_map_size(uint64_t raw_size)
{
	return sizeof(struct section_map) +
	       (size_t)efs_section_chunk_count(raw_size) * sizeof(struct section_chunk);
}

/* Reads and validates the chunk sizes of a section without fault. */
int efs_section_map_load(struct section_map **map, const struct image_file *file,
			 const struct efs_section *section, struct image_diag *diag);

enum { SECTION_FILLER_HEADER = 8 }; /* bytes: magic number and size of the content */

/* The least that a chunk may take. */
static inline size_t efs_section_least_size(size_t raw_size)
{
	return (raw_size + EFS_CHUNK_RATIO - 1) / EFS_CHUNK_RATIO;
}

/* Bytes of the filler behind a frame of this size; 0: none. */
static inline size_t efs_section_filler_size(size_t frame, size_t raw_size)
{
	size_t least = efs_section_least_size(raw_size);

	if (frame >= least)
		return 0;
	return least - frame > SECTION_FILLER_HEADER ? least - frame : SECTION_FILLER_HEADER;
}

/* Raw bytes of chunk number index. */
size_t efs_section_chunk_raw_size(const struct section_map *map, uint64_t index);

/* Reads a chunk into raw[0..efs_section_chunk_raw_size()) and verifies it. */
int efs_section_read_chunk(const struct section_map *map, uint64_t index,
			   const struct image_file *file, uint8_t *raw, struct section_work *work,
			   struct image_diag *diag);

/* Reads all of a section without fault into raw[0..raw_size). */
int efs_section_read(const struct image_file *file, const struct efs_section *section, uint8_t *raw,
		     struct image_diag *diag);

/* The same into malloc'ed memory (of at least one byte). */
int efs_section_load(const struct image_file *file, const struct efs_section *section,
		     uint8_t **raw, struct image_diag *diag);

/*
 * Builds a section from bytes put in pieces of any size and passes its stored bytes to put().
 * Zero-initialise, begin, put, end; begin again for the next; free at last.
 */
struct section_builder {
	int (*put)(void *to, const void *data, size_t size, struct image_diag *diag);
	void *to;
	uint64_t raw_size;    /* put so far */
	uint64_t stored_size; /* passed on so far; final after end */
	struct buffer chunks; /* efs_chunk each */
	void *context;        /* ZSTD_CCtx */
	uint8_t *raw;         /* EFS_CHUNK_SIZE bytes: the chunk being filled */
	size_t filled;
	uint8_t *stored; /* a compressed chunk */
};
int efs_section_builder_begin(struct section_builder *builder,
			      int (*put)(void *to, const void *data, size_t size,
					 struct image_diag *diag),
			      void *to, struct image_diag *diag);
int efs_section_builder_put(struct section_builder *builder, const void *data, size_t size,
			    struct image_diag *diag);

/* In a rehearsal, after whole chunks: counts raw_size more bytes that are as compressible as those
 * before. */
int efs_section_builder_extend(struct section_builder *builder, uint64_t raw_size,
			       struct image_diag *diag);
int efs_section_builder_end(struct section_builder *builder, struct image_diag *diag);
void efs_section_builder_free(struct section_builder *builder);

#endif
