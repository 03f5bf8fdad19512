/* SPDX-License-Identifier: MIT */
/*
 * tree.h - all files below a folder, or one file, to be kept as they are.
 *
 * Links to files are followed; whatever is neither file nor folder is refused, so that nothing is
 * left out in silence. Files are opened one at a time: a tree may have more than a process may
 * have open. Functions that fail have printed why.
 */
#ifndef ENTROFS_TREE_H
#define ENTROFS_TREE_H

#include "mkfs/source.h"

struct tree {
	struct source_file *files; /* name: the path below the folder; sorted by it; none is open */
	size_t count;
	const char *path; /* as given to tree_scan(), whose caller keeps it */
	char **empty;     /* paths of folders without anything in them */
	size_t empty_count;
};

int tree_scan(struct tree *tree, const char *path);

/* Says which folders are empty: an image does not have them. */
void tree_note_empty(const struct tree *tree);

void tree_free(struct tree *tree);

/* Opens a file, which must be what it was; close it with tree_close_file(). */
int tree_open_file(const struct tree *tree, size_t file);
void tree_close_file(const struct tree *tree, size_t file);

/* Fails if a file is not what it was, or files came or went; but for the one that is written
 * meanwhile (-1: none), which may be within the tree. */
int tree_check_unchanged(const struct tree *tree, int written);

/* Whether the file at this path, by whatever name, is one of the tree's. */
int tree_has(const struct tree *tree, const char *path);

/* Bytes of all files. */
uint64_t tree_size(const struct tree *tree);

#endif
