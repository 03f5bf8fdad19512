/* SPDX-License-Identifier: MIT */
/*
 * hosttree.h - folders and files of an image's tree, made below a folder of the host.
 *
 * Whoever may write to that folder may put symbolic links where folders of the tree belong, at any
 * time. So each path is walked from the open folder, one name at a time, without following a link,
 * and everything is made in the folder that the walk ended in. That is what openat2(2) does with
 * RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS (a validated image holds no "..", and no name with a
 * slash), on every kernel, under seccomp and under emulation. Results: 0 or a file descriptor, or
 * -1 and errno.
 */
#ifndef ENTROFS_HOSTTREE_H
#define ENTROFS_HOSTTREE_H

#include "image/reader.h"
#include "mkfs/newfile.h"

/* Makes the folder of a directory node, whose parent is there. again: it may be there, too. */
int hosttree_make_folder(int root, const struct image *image, uint32_t node, int again);

/* A file under construction, for a file node. */
struct hostfile {
	struct newfile file;
	int folder;
	char name[EFS_NAME_MAX + 1];
};
int hosttree_open_file(int root, const struct image *image, uint32_t node, struct hostfile *file);

/* Gives the file its name; again: in place of a file that has it. It is closed in any case. */
int hosttree_publish_file(struct hostfile *file, int again);
void hosttree_discard_file(struct hostfile *file);

#endif
