/* SPDX-License-Identifier: MIT */
/*
 * shard_index.h - model.safetensors.index.json: which tensors lie in which weight files.
 *
 * The text is hostile: memory is bounded, and names of files are plain names, without a path.
 */
#ifndef ENTROFS_SHARD_INDEX_H
#define ENTROFS_SHARD_INDEX_H

#include "image/diag.h"

#include <stddef.h>
#include <sys/types.h>

#define SHARD_INDEX_NAME "model.safetensors.index.json"

struct shard_index_entry {
	char *tensor; /* entries are sorted by this name; names are unique */
	size_t shard; /* position in shards */
};

/* Owned by whoever starts it with all zeros; shard_index_free() in the end. */
struct shard_index {
	char **shards; /* file names, sorted, each once */
	size_t shard_count;
	struct shard_index_entry *entries;
	size_t entry_count;
};

/* 0, or a negative errno and a diag; on failure nothing is left to free. */
int shard_index_parse(const char *text, size_t size, struct shard_index *index,
		      struct image_diag *diag);
void shard_index_free(struct shard_index *index);

/* Position of the file in shards, or -1. */
ssize_t shard_index_find(const struct shard_index *index, const char *name);

/* Adds a file name at the end, whatever the order. 0, or -1 without memory. */
int shard_index_add(struct shard_index *index, const char *name);

#endif
