/* SPDX-License-Identifier: MIT */
/*
 * folder.c - sorts the files of a model folder; see folder.h.
 *
 * The weights are those that model.safetensors.index.json names, else model.safetensors, else the
 * only *.safetensors, else the only *.gguf. The index is not a sidecar: it would name files that
 * the mounted tree does not have.
 */
#include "mkfs/folder.h"

#include "mkfs/cli.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { INDEX_MAX = 256 << 20 }; /* bytes of an index file */

static const char index_name[] = SHARD_INDEX_NAME;

int file_is_same(const struct stat *then, const struct stat *now)
{
	return then->st_dev == now->st_dev && then->st_ino == now->st_ino &&
	       then->st_size == now->st_size && then->st_mtim.tv_sec == now->st_mtim.tv_sec &&
	       then->st_mtim.tv_nsec == now->st_mtim.tv_nsec;
}

static int ends_with(const char *name, const char *end)
{
	size_t size = strlen(name), tail = strlen(end);
	return size >= tail && strcmp(name + size - tail, end) == 0;
}

static int is_other_weights(const char *name)
{
	static const char *const endings[] = {
	    ".safetensors", ".bin", ".pt",      ".pth", ".ckpt",   ".gguf",    ".ggml", ".onnx",
	    ".onnx_data",   ".h5",  ".msgpack", ".ot",  ".tflite", ".mlmodel", ".efs",
	};
	for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
		if (ends_with(name, endings[i]))
			return 1;
	}
	return ends_with(name, ".index.json");
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int add_name(char ***names, size_t *count, const char *name)
{
	char **grown = realloc(*names, (*count + 1) * sizeof *grown);
	if (!grown)
		return -1;
	*names = grown;
	grown[*count] = strdup(name);
	return grown[*count] ? (++*count, 0) : -1;
}

static void free_names(char **names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(names[i]);
	free(names);
}

/* Reads a whole small file; the caller frees. NULL with errno on failure. */
static char *read_file(int dir_fd, const char *name, size_t limit, size_t *size)
{
	struct stat st;
	char *data = NULL;
	int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) == 0) {
		if (st.st_size < 0 || (uint64_t)st.st_size > limit)
			errno = EFBIG;
		else
			data = malloc((size_t)st.st_size + 1);
	}
	*size = 0;
	while (data && *size < (size_t)st.st_size) {
		ssize_t n = read(fd, data + *size, (size_t)st.st_size - *size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			errno = n < 0 ? errno : EIO;
			free(data);
			data = NULL;
			break;
		}
		*size += (size_t)n;
	}
	close(fd);
	return data;
}

/* The index as it is now; st_ino 0 if there is none. */
static void stat_index(int dir_fd, struct stat *st)
{
	memset(st, 0, sizeof *st);
	if (fstatat(dir_fd, index_name, st, 0))
		st->st_ino = 0;
}

static int read_index(struct folder *folder, const char *path, int dir_fd)
{
	struct image_diag diag = {""};
	size_t size;
	char *text = read_file(dir_fd, index_name, INDEX_MAX, &size);
	if (!text) {
		cli_cannot("read", path, "%s: %s", index_name, strerror(errno));
		return -1;
	}
	int result = shard_index_parse(text, size, &folder->weights, &diag);
	free(text);
	if (result)
		cli_cannot("read", path, "%s: %s", index_name, diag.text);
	return result ? -1 : 0;
}

static const char *find_other_weights(char **files, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (is_other_weights(files[i]))
			return files[i];
	return NULL;
}

/* How many files are called so, or 1 if one of them is the usual; *only: that, or the last. */
static size_t find_weights(char **files, size_t count, const char *ending, const char **only)
{
	size_t found = 0;

	for (size_t i = 0; i < count; i++) {
		if (!ends_with(files[i], ending))
			continue;
		found++;
		*only = files[i];
		if (strcmp(files[i], "model.safetensors") == 0)
			return 1;
	}
	return found;
}

/* Decides which files hold the weights, given all regular files at the top of the folder. */
static int choose_weights(struct folder *folder, const char *path, int dir_fd, char **files,
			  size_t count)
{
	const char *only = NULL;

	for (size_t i = 0; i < count; i++) {
		if (strcmp(files[i], index_name) == 0)
			return read_index(folder, path, dir_fd);
	}
	size_t found = find_weights(files, count, ".safetensors", &only);
	if (found > 1) {
		cli_cannot("read", path,
			   "several .safetensors files, but neither "
			   "model.safetensors.index.json nor model.safetensors; name one "
			   "of them, or add the index");
		return -1;
	}
	if (!found)
		found = find_weights(files, count, ".gguf", &only);
	if (found > 1) {
		cli_cannot("read", path, "several .gguf files; name one of them");
		return -1;
	}
	if (!found) {
		const char *other = find_other_weights(files, count);
		cli_cannot("read", path, "no .safetensors or .gguf file in this folder%s%s%s",
			   other ? " ('" : "", other ? other : "",
			   other ? "' is of a format that is not read)" : "");
		return -1;
	}
	if (shard_index_add(&folder->weights, only)) {
		cli_cannot("read", path, "out of memory");
		return -1;
	}
	return 0;
}

static void notice(const char *path, const char *name, const char *reason)
{
	cli_say("skipping '%s/%s': %s", path, name, reason);
}

/* Lists the regular files (symbolic links followed) that are not hidden. */
static int list_files(const char *path, DIR *dir, int verbose, char ***files, size_t *count)
{
	struct dirent *entry;

	while (errno = 0, (entry = readdir(dir)) != NULL) {
		const char *name = entry->d_name;
		struct stat st;
		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
			continue;
		if (name[0] == '.') {
			if (verbose)
				notice(path, name, "hidden");
		} else if (fstatat(dirfd(dir), name, &st, 0)) {
			/* A link to nothing: a folder of links was copied without their targets, or
			 * the download is incomplete. */
			cli_cannot("read", path, "%s: %s", name, strerror(errno));
			return -1;
		} else if (!S_ISREG(st.st_mode) &&
			   (ends_with(name, ".safetensors") || strcmp(name, index_name) == 0)) {
			cli_cannot("read", path, "%s: not a regular file", name);
			return -1;
		} else if (!S_ISREG(st.st_mode)) {
			if (verbose)
				notice(path, name,
				       S_ISDIR(st.st_mode) ? "a folder" : "not a regular file");
		} else if (add_name(files, count, name)) {
			errno = ENOMEM;
			break;
		}
	}
	if (errno) {
		cli_cannot("read", path, "%s", strerror(errno));
		return -1;
	}
	if (*count)
		qsort(*files, *count, sizeof **files, compare_names);
	return 0;
}

static int sort_files(struct folder *folder, const char *path, char **files, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *name = files[i];
		if (shard_index_find(&folder->weights, name) >= 0 || strcmp(name, index_name) == 0)
			continue;
		if (is_other_weights(name)) {
			notice(path, name, "not the weights chosen");
			continue;
		}
		if (add_name(&folder->sidecars, &folder->sidecar_count, name)) {
			cli_cannot("read", path, "out of memory");
			return -1;
		}
	}
	return 0;
}

/* Whether a file matters: those that mkentrofs itself may be making beside the model do not. */
static int is_watched(const char *name)
{
	return ends_with(name, ".safetensors") || strcmp(name, index_name) == 0 ||
	       !is_other_weights(name);
}

/* Takes the names that are watched out of files, whose order stays. */
static int keep_watched(struct folder *folder, char **files, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (is_watched(files[i]) && add_name(&folder->files, &folder->file_count, files[i]))
			return -1;
	}
	return 0;
}

static int changed(const char *path, const char *name, const char *what)
{
	cli_cannot("pack", path, "'%s' %s while it was read", name, what);
	return -1;
}

/* The first difference between two sorted lists; 0: there is none. */
static int compare_lists(const char *path, const struct folder *then, const struct folder *now)
{
	size_t i = 0;
	while (i < then->file_count && i < now->file_count &&
	       strcmp(then->files[i], now->files[i]) == 0)
		i++;
	if (i == then->file_count && i == now->file_count)
		return 0;
	if (i == now->file_count ||
	    (i < then->file_count && strcmp(then->files[i], now->files[i]) < 0))
		return changed(path, then->files[i], "disappeared");
	return changed(path, now->files[i], "appeared");
}

int folder_check_unchanged(const struct folder *folder, const char *path)
{
	struct folder now = {0};
	char **files = NULL;
	size_t count = 0;

	DIR *dir = opendir(path);
	if (!dir) {
		cli_cannot("read", path, "%s", strerror(errno));
		return -1;
	}
	int result = list_files(path, dir, 0, &files, &count);
	if (!result && keep_watched(&now, files, count)) {
		cli_cannot("read", path, "out of memory");
		result = -1;
	}
	if (!result)
		result = compare_lists(path, folder, &now);
	stat_index(dirfd(dir), &now.index);
	if (!result && folder->index.st_ino && !file_is_same(&folder->index, &now.index))
		result = changed(path, index_name, "changed");
	folder_free(&now);
	free_names(files, count);
	closedir(dir);
	return result;
}

int folder_scan(struct folder *folder, const char *path, int verbose)
{
	char **files = NULL;
	size_t count = 0;

	memset(folder, 0, sizeof *folder);
	DIR *dir = opendir(path);
	if (!dir) {
		cli_cannot("read", path, "%s", strerror(errno));
		return -1;
	}
	int result = list_files(path, dir, verbose, &files, &count);
	/* Before it is read: what changes while it is, has changed. */
	stat_index(dirfd(dir), &folder->index);
	if (!result && keep_watched(folder, files, count)) {
		cli_cannot("read", path, "out of memory");
		result = -1;
	}
	if (!result)
		result = choose_weights(folder, path, dirfd(dir), files, count);
	if (!result)
		result = sort_files(folder, path, files, count);
	free_names(files, count);
	closedir(dir);
	if (result)
		folder_free(folder);
	return result;
}

void folder_free(struct folder *folder)
{
	shard_index_free(&folder->weights);
	free_names(folder->sidecars, folder->sidecar_count);
	free_names(folder->files, folder->file_count);
	memset(folder, 0, sizeof *folder);
}
