/* SPDX-License-Identifier: MIT */
/* space.c - where an image's bytes go; see reader.h. */
#include "image/internal.h"

void image_space(const struct image *image, struct image_space *space, uint64_t *before_stream)
{
	struct extent_walk walk = {.catalog = &image->catalog, .super = &image->super};
	uint64_t end = EFS_SUPERBLOCK_SIZE;
	struct extent extent;

	*space = (struct image_space){.superblock = EFS_SUPERBLOCK_SIZE,
				      .hash_tree = image->super.hash_size};
	while (efs_extent_next(&walk, &extent)) {
		uint64_t gap = extent.offset - end;

		switch (extent.kind) {
		case EXTENT_STREAM:
			space->payload += extent.size;
			if (before_stream)
				before_stream[extent.number] = gap;
			break;
		case EXTENT_BLOB:
			space->blobs += extent.size;
			break;
		case EXTENT_INDEX:
			space->index += extent.size;
			break;
		case EXTENT_CATALOG:
			space->catalog += extent.size;
			break;
		}
		space->padding += gap;
		end = extent.offset + extent.size;
	}
	space->padding += image->super.hash_offset - end;
}
