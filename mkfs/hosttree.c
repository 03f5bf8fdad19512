/* SPDX-License-Identifier: MIT */
/* hosttree.c - an image's tree below a folder of the host; see hosttree.h. */
#include "mkfs/hosttree.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_TEXT = EFS_NAME_MAX + 1 };

static void copy_name(const struct image *image, uint32_t node, char name[NAME_TEXT])
{
	struct image_name from = image_string(image, image_node(image, node)->name);

	memcpy(name, from.text, from.size);
	name[from.size] = 0;
}

/* The folder that a node belongs into; the caller closes it. */
static int open_parent(int root, const struct image *image, uint32_t node)
{
	uint32_t above[EFS_DEPTH_MAX];
	int depth = 0, folder = fcntl(root, F_DUPFD_CLOEXEC, 0);
	char name[NAME_TEXT];

	for (uint32_t i = image_node(image, node)->parent; i; i = image_node(image, i)->parent)
		above[depth++] = i;
	while (folder >= 0 && depth--) {
		int next, error;

		copy_name(image, above[depth], name);
		next = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		error = errno;
		close(folder);
		folder = next;
		errno = error;
	}
	return folder;
}

/* Removes what an extraction that was killed left in a folder that it had made. */
static void sweep(int parent, const char *name)
{
	int folder = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (folder < 0)
		return;
	newfile_sweep(folder, NULL);
	close(folder);
}

int hosttree_make_folder(int root, const struct image *image, uint32_t node, int again)
{
	int parent = open_parent(root, image, node), result, error;
	char name[NAME_TEXT];
	struct stat st;

	if (parent < 0)
		return -1;
	copy_name(image, node, name);
	result = mkdirat(parent, name, 0777);
	error = errno;
	if (result && error == EEXIST && again &&
	    fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		result = S_ISDIR(st.st_mode) ? 0 : -1;
		error = S_ISLNK(st.st_mode) ? ELOOP : ENOTDIR;
		if (!result)
			sweep(parent, name);
	}
	close(parent);
	errno = error;
	return result;
}

int hosttree_open_file(int root, const struct image *image, uint32_t node, struct hostfile *file)
{
	int error;

	file->folder = open_parent(root, image, node);
	if (file->folder < 0)
		return -1;
	copy_name(image, node, file->name);
	if (newfile_open(&file->file, file->folder, file->name) == 0)
		return 0;
	error = errno;
	close(file->folder);
	errno = error;
	return -1;
}

int hosttree_publish_file(struct hostfile *file, int again)
{
	int folder = file->folder, result = newfile_publish(&file->file, again), error = errno;

	/* Remote file systems tell here that what was written is lost. */
	if (newfile_close(&file->file) && !result) {
		result = -1;
		error = errno;
		unlinkat(folder, file->name, 0);
	}
	close(folder);
	errno = error;
	return result;
}

void hosttree_discard_file(struct hostfile *file)
{
	newfile_close(&file->file);
	close(file->folder);
}
