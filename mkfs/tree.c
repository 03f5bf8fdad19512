/* SPDX-License-Identifier: MIT */
/* tree.c - finds all files below a folder; see tree.h. */
#include "mkfs/tree.h"

#include "mkfs/cli.h"

#include <errno.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int out_of_memory(const struct tree *tree)
{
	cli_cannot("read", tree->path, "out of memory");
	return -1;
}

/* Room for one more; the lists are as large as the power of two that holds them. */
static void *grow(void *list, size_t count, size_t size)
{
	return count & (count - 1) ? list : realloc(list, (count ? 2 * count : 1) * size);
}

static int add_file(struct tree *tree, const char *path, const char *name, const struct stat *stat)
{
	struct source_file *files = grow(tree->files, tree->count, sizeof *files);

	if (!files)
		return out_of_memory(tree);
	tree->files = files;
	struct source_file *file = &tree->files[tree->count];
	*file = (struct source_file){.fd = -1, .stat = *stat};
	file->name = strdup(name);
	file->path = strdup(path);
	tree->count++;
	return file->name && file->path ? 0 : out_of_memory(tree);
}

static int add_empty(struct tree *tree, const char *path)
{
	char **empty = grow(tree->empty, tree->empty_count, sizeof *empty);

	if (!empty)
		return out_of_memory(tree);
	tree->empty = empty;
	empty[tree->empty_count] = strdup(path);
	return empty[tree->empty_count++] ? 0 : out_of_memory(tree);
}

/* What a link leads to has to be a file. */
static int add_link(struct tree *tree, const char *path, const char *name)
{
	struct stat st;

	if (stat(path, &st)) {
		cli_cannot("read", path, "a link that leads nowhere: %s", strerror(errno));
		return -1;
	}
	if (!S_ISREG(st.st_mode)) {
		cli_cannot("pack", path, "a link to something else than a file");
		return -1;
	}
	return add_file(tree, path, name, &st);
}

/* Takes in one entry of the walk; name: its path below the folder. */
static int take_entry(struct tree *tree, const FTSENT *entry, const char *name)
{
	switch (entry->fts_info) {
	case FTS_D:
		return 0;
	case FTS_DP:
		return entry->fts_number ? 0 : add_empty(tree, entry->fts_path);
	case FTS_F:
		return add_file(tree, entry->fts_path, name, entry->fts_statp);
	case FTS_SL:
		return add_link(tree, entry->fts_path, name);
	case FTS_DNR:
	case FTS_ERR:
	case FTS_NS:
		cli_cannot("read", entry->fts_path, "%s", strerror(entry->fts_errno));
		return -1;
	default:
		cli_cannot("pack", entry->fts_path, "neither a file nor a folder");
		return -1;
	}
}

static int compare_files(const void *a, const void *b)
{
	return strcmp(((const struct source_file *)a)->name, ((const struct source_file *)b)->name);
}

static int walk_folder(struct tree *tree)
{
	char *const roots[] = {(char *)tree->path, NULL};
	FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_COMFOLLOW, NULL);
	size_t prefix = strlen(tree->path);
	int result = 0;
	FTSENT *entry;

	if (!walk) {
		cli_cannot("read", tree->path, "%s", strerror(errno));
		return -1;
	}
	while (prefix > 1 && tree->path[prefix - 1] == '/')
		prefix--;
	while (!result && (errno = 0, entry = fts_read(walk))) {
		const char *name = entry->fts_path + prefix;

		while (*name == '/')
			name++;
		if (entry->fts_info != FTS_DP && entry->fts_level > 0)
			entry->fts_parent->fts_number = 1; /* it has something in it */
		result = take_entry(tree, entry, name);
	}
	if (!result && errno) {
		cli_cannot("read", tree->path, "%s", strerror(errno));
		result = -1;
	}
	fts_close(walk);
	if (!result && tree->count)
		qsort(tree->files, tree->count, sizeof *tree->files, compare_files);
	return result;
}

int tree_scan(struct tree *tree, const char *path)
{
	struct stat st;

	*tree = (struct tree){.path = path};
	if (stat(path, &st)) {
		cli_cannot("open", path, "%s", strerror(errno));
		return -1;
	}
	const char *slash = strrchr(path, '/');
	int result = S_ISDIR(st.st_mode)   ? walk_folder(tree)
		     : S_ISREG(st.st_mode) ? add_file(tree, path, slash ? slash + 1 : path, &st)
					   : -2;
	if (result == -2)
		cli_cannot("read", path, "neither a file nor a folder");
	if (!result && !tree->count) {
		cli_cannot("pack", path, "it has no files");
		result = -1;
	}
	if (result)
		tree_free(tree);
	return result ? -1 : 0;
}

void tree_free(struct tree *tree)
{
	for (size_t i = 0; i < tree->count; i++) {
		free(tree->files[i].name);
		free(tree->files[i].path);
	}
	for (size_t i = 0; i < tree->empty_count; i++)
		free(tree->empty[i]);
	free(tree->files);
	free(tree->empty);
	*tree = (struct tree){.path = tree->path};
}

void tree_note_empty(const struct tree *tree)
{
	for (size_t i = 0; i < tree->empty_count; i++)
		cli_say("note: '%s' is an empty folder, which an image does not have",
			tree->empty[i]);
}

static int changed(const struct source_file *file, const char *what)
{
	cli_cannot("pack", file->path, "it %s while it was read", what);
	return -1;
}

int tree_open_file(const struct tree *tree, size_t number)
{
	struct source_file *file = &tree->files[number];
	struct stat now;

	file->fd = source_open_regular(file->path, &now);
	if (file->fd < 0)
		return -1;
	if (file_is_same(&file->stat, &now))
		return 0;
	tree_close_file(tree, number);
	return changed(file, "changed");
}

void tree_close_file(const struct tree *tree, size_t number)
{
	struct source_file *file = &tree->files[number];

	close(file->fd);
	file->fd = -1;
}

/* Takes a file off the list, which has it at most once: links to it are not made meanwhile. */
static void drop(struct tree *tree, int fd)
{
	struct stat st;
	size_t at = 0;

	if (fd < 0 || fstat(fd, &st))
		return;
	while (at < tree->count && (tree->files[at].stat.st_dev != st.st_dev ||
				    tree->files[at].stat.st_ino != st.st_ino))
		at++;
	if (at == tree->count)
		return;
	free(tree->files[at].name);
	free(tree->files[at].path);
	tree->count--;
	memmove(&tree->files[at], &tree->files[at + 1], (tree->count - at) * sizeof *tree->files);
}

/* The first difference between two sorted lists; 0: there is none. */
static int compare_trees(const struct tree *then, const struct tree *now)
{
	for (size_t i = 0; i < then->count || i < now->count; i++) {
		int order = i == then->count  ? 1
			    : i == now->count ? -1
					      : compare_files(&then->files[i], &now->files[i]);

		if (order > 0)
			return changed(&now->files[i], "appeared");
		if (order < 0)
			return changed(&then->files[i], "disappeared");
		if (!file_is_same(&then->files[i].stat, &now->files[i].stat))
			return changed(&then->files[i], "changed");
	}
	return 0;
}

int tree_check_unchanged(const struct tree *tree, int written)
{
	struct tree now;

	if (tree_scan(&now, tree->path))
		return -1;
	drop(&now, written);
	int result = compare_trees(tree, &now);
	tree_free(&now);
	return result;
}

int tree_has(const struct tree *tree, const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return 0;
	for (size_t i = 0; i < tree->count; i++) {
		if (tree->files[i].stat.st_dev == st.st_dev &&
		    tree->files[i].stat.st_ino == st.st_ino)
			return 1;
	}
	return 0;
}

uint64_t tree_size(const struct tree *tree)
{
	uint64_t size = 0;

	for (size_t i = 0; i < tree->count; i++)
		size += (uint64_t)tree->files[i].stat.st_size;
	return size;
}
