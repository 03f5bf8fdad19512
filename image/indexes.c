/* SPDX-License-Identifier: MIT */
/*
 * indexes.c - what is in memory of an image's block indexes and chunk tables; see reader.h.
 *
 * In the cache, streams come first; blob b is part stream_count + b.
 */
#include "image/internal.h"

#include <errno.h>
#include <stdlib.h>

static int load_map(const struct image *image, uint32_t blob, struct section_map **map,
		    struct image_diag *diag)
{
	int err = efs_section_map_load(map, &image->file, image_blob(image, blob), diag);

	if (err)
		return err;
	err = efs_image_check_same(image, diag);
	if (err)
		free(*map);
	return err;
}

static int load(void *context, uint32_t number, void **part, struct image_diag *diag)
{
	const struct image *image = context;
	uint32_t streams = image->catalog.header->stream_count;
	struct stream_index *index = NULL;
	struct section_map *map = NULL;
	int err;

	if (number < streams) {
		err = efs_stream_index_load(image, number, &index, diag);
		*part = index;
	} else {
		err = load_map(image, number - streams, &map, diag);
		*part = map;
	}
	return err;
}

static void free_part(void *context, uint32_t number, void *part)
{
	const struct image *image = context;

	if (number < image->catalog.header->stream_count)
		efs_stream_index_free(part);
	else
		free(part);
}

static uint64_t size_of(const void *context, uint32_t number)
{
	const struct image *image = context;
	uint32_t streams = image->catalog.header->stream_count;

	return number < streams
		   ? efs_stream_index_size(image_stream(image, number))
		   : efs_section_map_size(image_blob(image, number - streams)->raw_size);
}

int efs_image_init_indexes(struct image *image)
{
	const struct efs_catalog_header *header = image->catalog.header;
	const struct cache_owner owner = {load, free_part, size_of, image};

	/* Both counts are those of records in a catalog of 2^30 bytes at most. */
	return efs_cache_init(&image->indexes, header->stream_count + header->blob_count, &owner,
			      IMAGE_INDEX_BUDGET);
}

void image_set_index_budget(struct image *image, uint64_t bytes)
{
	efs_cache_set_budget(&image->indexes, bytes);
}

int image_hold_index(struct image *image, uint32_t stream, struct image_diag *diag)
{
	return efs_cache_hold(&image->indexes, stream, diag);
}

void image_release_index(struct image *image, uint32_t stream)
{
	efs_cache_release(&image->indexes, stream);
}

int efs_image_hold_map(struct image *image, uint32_t blob, const struct section_map **map,
		       struct image_diag *diag)
{
	uint32_t number = image->catalog.header->stream_count + blob;
	int err = efs_cache_hold(&image->indexes, number, diag);

	if (!err)
		*map = efs_cache_held(&image->indexes, number);
	return err;
}

void efs_image_release_map(struct image *image, uint32_t blob)
{
	efs_cache_release(&image->indexes, image->catalog.header->stream_count + blob);
}

uint64_t image_index_size(const struct image *image, uint32_t stream)
{
	return efs_stream_index_size(image_stream(image, stream));
}

struct image_index_use image_index_use(struct image *image)
{
	struct cache *cache = &image->indexes;
	struct image_index_use use;

	pthread_mutex_lock(&cache->lock);
	use = (struct image_index_use){.bytes = cache->bytes,
				       .budget = cache->budget,
				       .count = cache->there,
				       .loaded = cache->loaded,
				       .evicted = cache->evicted};
	pthread_mutex_unlock(&cache->lock);
	return use;
}
