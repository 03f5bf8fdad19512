/* SPDX-License-Identifier: MIT */
/*
 * folder.h - sorts the files of a model folder into weights, sidecars and those left out.
 */
#ifndef ENTROFS_FOLDER_H
#define ENTROFS_FOLDER_H

#include "mkfs/shard_index.h"

#include <sys/stat.h>

/* Names in the folder, each list sorted; owned by the structure. */
struct folder {
	struct shard_index weights; /* without entries, unless the model has an index */
	char **sidecars;
	size_t sidecar_count;
	/* What decided that: files at the top (weights of other formats aside), and the index. */
	char **files;
	size_t file_count;
	struct stat index; /* st_ino 0: there is none */
};

/* Whether a file is what it was: its identity, size, and time of the last change. */
int file_is_same(const struct stat *then, const struct stat *now);

/* 0, or -1 after printing why. Prints a line per weight file that is left out; verbose: per hidden
 * file and sub-folder, too. */
int folder_scan(struct folder *folder, const char *path, int verbose);

/* Fails, after printing why, if a file came or went, or the index changed, since folder_scan(). */
int folder_check_unchanged(const struct folder *folder, const char *path);

void folder_free(struct folder *folder);

#endif
