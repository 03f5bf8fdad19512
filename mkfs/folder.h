/* SPDX-License-Identifier: MIT */
/*
 * folder.h - sorts the files of a model folder into weights, sidecars and those left out.
 */
#ifndef ENTROFS_FOLDER_H
#define ENTROFS_FOLDER_H

#include "mkfs/shard_index.h"

/* Names in the folder, each list sorted; owned by the structure. */
struct folder {
	struct shard_index weights; /* without entries, unless the model has an index */
	char **sidecars;
	size_t sidecar_count;
};

/* 0, or -1 after printing why. Prints a line per weight file that is left out; verbose: per hidden
 * file and sub-folder, too. */
int folder_scan(struct folder *folder, const char *path, int verbose);
void folder_free(struct folder *folder);

#endif
