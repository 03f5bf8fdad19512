/* SPDX-License-Identifier: MIT */
/*
 * shard_index.c - the index of a sharded model; see shard_index.h.
 */
#include "mkfs/shard_index.h"

#include "mkfs/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PARSE_BUDGET = 256 << 20 }; /* bytes for the parsed JSON */

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int compare_entries(const void *a, const void *b)
{
	return strcmp(((const struct shard_index_entry *)a)->tensor,
		      ((const struct shard_index_entry *)b)->tensor);
}

ssize_t shard_index_find(const struct shard_index *index, const char *name)
{
	char **found = index->shard_count ? bsearch(&name, index->shards, index->shard_count,
						    sizeof *index->shards, compare_names)
					  : NULL;
	return found ? found - index->shards : -1;
}

int shard_index_add(struct shard_index *index, const char *name)
{
	char **grown = realloc(index->shards, (index->shard_count + 1) * sizeof *grown);
	if (!grown)
		return -1;
	index->shards = grown;
	grown[index->shard_count] = strdup(name);
	return grown[index->shard_count] ? (index->shard_count++, 0) : -1;
}

static int collect_shards(struct shard_index *index, json_t *map, struct image_diag *diag)
{
	const char *tensor;
	json_t *value;

	json_object_foreach(map, tensor, value)
	{
		const char *name = json_string_value(value);
		if (!name)
			return image_fail(diag, -EINVAL, "tensor '%.200s': its file is no string",
					  tensor);
		if (!*name || strchr(name, '/') || strcmp(name, ".") == 0 ||
		    strcmp(name, "..") == 0)
			return image_fail(diag, -EINVAL,
					  "tensor '%.200s': '%.100s' is no name of a file", tensor,
					  name);
		/* Tensors of a shard mostly follow each other. */
		if (index->shard_count && strcmp(index->shards[index->shard_count - 1], name) == 0)
			continue;
		if (shard_index_add(index, name))
			return image_fail(diag, -ENOMEM, "out of memory");
	}
	if (!index->shard_count)
		return image_fail(diag, -EINVAL, "it names no tensor");
	qsort(index->shards, index->shard_count, sizeof *index->shards, compare_names);
	size_t kept = 1;
	for (size_t i = 1; i < index->shard_count; i++) {
		if (strcmp(index->shards[i], index->shards[kept - 1]) == 0)
			free(index->shards[i]);
		else
			index->shards[kept++] = index->shards[i];
	}
	index->shard_count = kept;
	return 0;
}

static int collect_entries(struct shard_index *index, json_t *map, struct image_diag *diag)
{
	const char *tensor;
	json_t *value;

	index->entries = calloc(json_object_size(map), sizeof *index->entries);
	if (!index->entries)
		return image_fail(diag, -ENOMEM, "out of memory");
	json_object_foreach(map, tensor, value)
	{
		struct shard_index_entry *entry = &index->entries[index->entry_count];
		entry->shard = (size_t)shard_index_find(index, json_string_value(value));
		entry->tensor = strdup(tensor);
		if (!entry->tensor)
			return image_fail(diag, -ENOMEM, "out of memory");
		index->entry_count++;
	}
	qsort(index->entries, index->entry_count, sizeof *index->entries, compare_entries);
	return 0;
}

int shard_index_parse(const char *text, size_t size, struct shard_index *index,
		      struct image_diag *diag)
{
	memset(index, 0, sizeof *index);
	json_t *root = json_parse(text, size, PARSE_BUDGET, diag);
	if (!root)
		return -EINVAL;
	json_t *map = json_object_get(root, "weight_map");
	int result = json_is_object(map) ? 0 : image_fail(diag, -EINVAL, "no weight_map");
	if (!result)
		result = collect_shards(index, map, diag);
	if (!result)
		result = collect_entries(index, map, diag);
	json_decref(root);
	if (result)
		shard_index_free(index);
	return result;
}

void shard_index_free(struct shard_index *index)
{
	for (size_t i = 0; i < index->shard_count; i++)
		free(index->shards[i]);
	free(index->shards);
	for (size_t i = 0; i < index->entry_count; i++)
		free(index->entries[i].tensor);
	free(index->entries);
	memset(index, 0, sizeof *index);
}
