/* SPDX-License-Identifier: MIT */
/*
 * source.h - what a model is made of before it is packed: weight files, their tensors, sidecars.
 *
 * Opened files stay open, so that a model whose folder changes meanwhile is still one model; and
 * they are compared with what they were at the end, so that a file written to meanwhile is refused.
 * Functions that fail have printed why.
 */
#ifndef ENTROFS_SOURCE_H
#define ENTROFS_SOURCE_H

#include "mkfs/folder.h"
#include "mkfs/gguf.h"
#include "mkfs/safetensors.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

/* An open file of the model. */
struct source_file {
	char *name; /* in its folder */
	char *path;
	int fd;
	struct stat stat; /* when it was opened */
};

struct source_tensor {
	struct safetensor info; /* info.offset counts from the start of the file here */
	uint32_t shard;
	uint32_t order; /* place among the shard's tensors, in data order */
	uint32_t place; /* ... and in that of the header of a GGUF file */
};

struct source {
	struct source_file *shards; /* weight files, sorted by name */
	size_t shard_count;
	struct source_tensor *tensors; /* shard by shard, in data order; names are unique */
	size_t tensor_count;
	struct safetensors_pair *metadata; /* of all shards, sorted by key, one of each */
	size_t metadata_count;
	struct source_file *sidecars; /* sorted by name */
	size_t sidecar_count;
	struct source_file *index; /* SHARD_INDEX_NAME, if the weights were found by it */
	size_t index_count;        /* 0 or 1 */
	struct gguf *gguf;         /* the header, if the only weight file is a GGUF file */
	uint8_t *gguf_bytes;       /* what it was parsed from, at least */
	const char *path;          /* as given to source_open(), whose caller keeps it */
	struct folder folder;      /* if that is one; else all zeros */
};

/* Opens a file for reading, which has to be a regular one: its descriptor, or -1. */
int source_open_regular(const char *path, struct stat *stat);

/* Opens a model folder or a single .safetensors or .gguf file. verbose: tells of unimportant skips,
 * too. */
int source_open(struct source *source, const char *path, int verbose);
void source_close(struct source *source);

/* source_gguf.c. Whether the only weight file is a GGUF file, and its tensors: 0, or -1. */
int source_is_gguf(const struct source *source);
int source_read_gguf(struct source *source);

/* Reads exactly size bytes at offset. */
int source_read(const struct source_file *file, uint64_t offset, void *buffer, size_t size);

/* Fails if any file is not what it was when opened, or files came or went. */
int source_check_unchanged(const struct source *source);

/* Whether the file at this path, by whatever name, is one of the source's. */
int source_has(const struct source *source, const char *path);

/* Bytes of all files. */
uint64_t source_size(const struct source *source);

#endif
