/* SPDX-License-Identifier: MIT */
/*
 * folder.h - sorts the files of a model folder into weights, sidecars and those left out.
 */
#ifndef ENTROFS_FOLDER_H
#define ENTROFS_FOLDER_H

#include <stddef.h>

/* Names in the folder, each list sorted; owned by the structure. */
struct folder {
	char **shards, **sidecars;
	size_t shard_count, sidecar_count;
	/* From the index, if the model is sharded: tensor names and where each must be. */
	struct folder_entry *index;
	size_t index_count;
};

struct folder_entry {
	char *tensor; /* sorted by this name */
	size_t shard; /* position in shards */
};

/* 0, or -1 after printing why. Prints a line per weight file that is left out; verbose: per hidden
 * file and sub-folder, too. */
int folder_scan(struct folder *folder, const char *path, int verbose);
void folder_free(struct folder *folder);

#endif
