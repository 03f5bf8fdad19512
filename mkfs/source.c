/* SPDX-License-Identifier: MIT */
/*
 * source.c - opens the files of a model and joins their tensors; see source.h.
 */
#include "mkfs/source.h"

#include "mkfs/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int out_of_memory(const char *path)
{
	cli_cannot("read", path, "out of memory");
	return -1;
}

int source_open_regular(const char *path, struct stat *stat)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || fstat(fd, stat)) {
		cli_cannot("open", path, "%s", strerror(errno));
	} else if (!S_ISREG(stat->st_mode)) {
		cli_cannot("read", path, "not a regular file");
	} else {
		return fd;
	}
	if (fd >= 0)
		close(fd);
	return -1;
}

static int open_file(struct source_file *file, const char *folder, const char *name)
{
	file->fd = -1;
	file->name = strdup(name);
	if (folder) {
		if (asprintf(&file->path, "%s/%s", folder, name) < 0)
			file->path = NULL;
	} else {
		file->path = strdup(name);
		const char *slash = strrchr(name, '/');
		if (file->name && slash)
			memmove(file->name, file->name + (slash + 1 - name), strlen(slash));
	}
	if (!file->name || !file->path)
		return out_of_memory(name);
	file->fd = source_open_regular(file->path, &file->stat);
	return file->fd < 0 ? -1 : 0;
}

static void close_files(struct source_file *files, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (files[i].fd >= 0)
			close(files[i].fd);
		free(files[i].name);
		free(files[i].path);
	}
	free(files);
}

int source_read(const struct source_file *file, uint64_t offset, void *buffer, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t n =
		    pread(file->fd, (char *)buffer + done, size - done, (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			cli_cannot("read", file->path, "%s",
				   n < 0 ? strerror(errno) : "it has become shorter");
			return -1;
		}
		done += (size_t)n;
	}
	return 0;
}

/* Says that a file has no header, and what it is that people have in its place. */
static void refuse_file(const struct source_file *file, uint64_t header_size)
{
	static const struct {
		const char *start, *what;
	} others[] = {
	    {"version https://git-lfs", "a Git LFS pointer ('git lfs pull' fetches the file)"},
	    {"\x89"
	     "EFS\r\n\x1a\n",
	     "an entrofs image already"},
	    {"GGUF", "a GGUF file"},
	    {"PK\3\4", "a zip archive, as PyTorch makes them"},
	    {"<", "a page for a browser, or XML"},
	};
	char start[32];
	size_t size =
	    file->stat.st_size < (off_t)sizeof start ? (size_t)file->stat.st_size : sizeof start;

	if (source_read(file, 0, start, size))
		return;
	for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
		size_t length = strlen(others[i].start);
		if (size >= length && memcmp(start, others[i].start, length) == 0) {
			cli_cannot("read", file->path, "not a safetensors file, but %s",
				   others[i].what);
			return;
		}
	}
	cli_cannot("read", file->path,
		   "not a safetensors file, or truncated: a header of %llu bytes",
		   (unsigned long long)header_size);
}

/* Parses the header of a weight file; data offsets come out as file offsets. */
static int read_header(const struct source_file *file, struct safetensors *header)
{
	uint64_t file_size = (uint64_t)file->stat.st_size, size;
	struct image_diag diag = {""};

	if (file_size < SAFETENSORS_PREFIX) {
		cli_cannot("read", file->path, "too short for a safetensors file");
		return -1;
	}
	if (source_read(file, 0, &size, sizeof size))
		return -1;
	if (!size || size > SAFETENSORS_HEADER_MAX || size > file_size - SAFETENSORS_PREFIX) {
		refuse_file(file, size);
		return -1;
	}
	char *text = malloc(size);
	if (!text)
		return out_of_memory(file->path);
	if (source_read(file, SAFETENSORS_PREFIX, text, size)) {
		free(text);
		return -1;
	}
	uint64_t data = SAFETENSORS_PREFIX + size;
	int result = safetensors_parse(text, size, file_size - data, header, &diag);
	free(text);
	if (result) {
		cli_cannot("read", file->path, "%s", diag.text);
		return -1;
	}
	for (size_t i = 0; i < header->tensor_count; i++)
		header->tensors[i].offset += data;
	return 0;
}

/* Moves the tensors and metadata of a shard's header into the source. */
static int append_shard(struct source *source, uint32_t shard, struct safetensors *header)
{
	struct source_tensor *tensors = realloc(
	    source->tensors, (source->tensor_count + header->tensor_count + 1) * sizeof *tensors);
	if (!tensors)
		return -1;
	source->tensors = tensors;
	for (size_t i = 0; i < header->tensor_count; i++) {
		tensors[source->tensor_count++] =
		    (struct source_tensor){header->tensors[i], shard, (uint32_t)i, 0};
	}
	header->tensor_count = 0;

	size_t total = source->metadata_count + header->metadata_count;
	struct safetensors_pair *pairs = realloc(source->metadata, (total + 1) * sizeof *pairs);
	if (!pairs)
		return -1;
	source->metadata = pairs;
	for (size_t i = 0; i < header->metadata_count; i++)
		pairs[source->metadata_count++] = header->metadata[i];
	header->metadata_count = 0;
	return 0;
}

static int compare_by_name(const void *a, const void *b)
{
	const struct source_tensor *left = *(const struct source_tensor *const *)a;
	const struct source_tensor *right = *(const struct source_tensor *const *)b;
	int order = strcmp(left->info.name, right->info.name);
	return order ? order : (left->shard > right->shard) - (left->shard < right->shard);
}

static int compare_entry(const void *key, const void *entry)
{
	return strcmp(key, ((const struct shard_index_entry *)entry)->tensor);
}

/* Names are unique, and those in the index are where it says. by_name is sorted. */
static int check_names(const struct source *source, const struct source_tensor **by_name,
		       const struct shard_index *index, const char *path)
{
	size_t found = 0;
	for (size_t i = 0; i < source->tensor_count; i++) {
		const struct source_tensor *tensor = by_name[i];
		const char *name = tensor->info.name;
		if (i && strcmp(name, by_name[i - 1]->info.name) == 0) {
			cli_cannot("pack", path, "tensor '%s' is in both '%s' and '%s'", name,
				   source->shards[by_name[i - 1]->shard].name,
				   source->shards[tensor->shard].name);
			return -1;
		}
		const struct shard_index_entry *entry = NULL;
		if (index && index->entry_count)
			entry = bsearch(name, index->entries, index->entry_count, sizeof *entry,
					compare_entry);
		if (entry && entry->shard != tensor->shard) {
			cli_cannot("pack", path,
				   "tensor '%s' is in '%s' and not where the index says", name,
				   source->shards[tensor->shard].name);
			return -1;
		}
		found += entry != NULL;
	}
	for (size_t i = 0; index && found < index->entry_count && i < index->entry_count; i++) {
		struct source_tensor wanted = {.info.name = index->entries[i].tensor,
					       .shard = (uint32_t)index->entries[i].shard};
		const struct source_tensor *key = &wanted;
		if (!bsearch(&key, by_name, source->tensor_count,
			     sizeof(const struct source_tensor *), compare_by_name)) {
			cli_cannot("pack", path, "tensor '%s' of the index is missing from '%s'",
				   wanted.info.name, source->shards[wanted.shard].name);
			return -1;
		}
	}
	return 0;
}

static int compare_pairs(const void *a, const void *b)
{
	const struct safetensors_pair *left = a, *right = b;
	int order = strcmp(left->key, right->key);
	return order ? order : strcmp(left->value, right->value);
}

/* Sorts by key and keeps one of each; among shards that disagree, the smallest value. */
static void merge_metadata(struct source *source)
{
	struct safetensors_pair *pairs = source->metadata;
	size_t kept = 0;

	if (source->metadata_count)
		qsort(pairs, source->metadata_count, sizeof *pairs, compare_pairs);
	for (size_t i = 0; i < source->metadata_count; i++) {
		if (kept && strcmp(pairs[kept - 1].key, pairs[i].key) == 0) {
			free(pairs[i].key);
			free(pairs[i].value);
		} else {
			pairs[kept++] = pairs[i];
		}
	}
	source->metadata_count = kept;
}

static int read_shards(struct source *source, const struct shard_index *index, const char *path)
{
	for (size_t i = 0; i < source->shard_count; i++) {
		struct safetensors header;
		if (read_header(&source->shards[i], &header))
			return -1;
		int result = append_shard(source, (uint32_t)i, &header);
		safetensors_free(&header);
		if (result)
			return out_of_memory(path);
	}
	/* Parsed JSON is many small allocations, whose memory the C library would keep. */
	malloc_trim(0);
	merge_metadata(source);
	if (!source->tensor_count) {
		cli_cannot("pack", path, "it has no tensors");
		return -1;
	}
	const struct source_tensor **by_name =
	    malloc(source->tensor_count * sizeof(const struct source_tensor *));
	if (!by_name)
		return out_of_memory(path);
	for (size_t i = 0; i < source->tensor_count; i++)
		by_name[i] = &source->tensors[i];
	qsort(by_name, source->tensor_count, sizeof(const struct source_tensor *), compare_by_name);
	int result = check_names(source, by_name, index, path);
	free(by_name);
	return result;
}

static int open_list(struct source_file **files, size_t *count, const char *folder, char **names,
		     size_t name_count)
{
	*files = calloc(name_count ? name_count : 1, sizeof **files);
	if (!*files)
		return out_of_memory(folder);
	while (*count < name_count) {
		size_t i = (*count)++;
		if (open_file(&(*files)[i], folder, names[i]))
			return -1;
	}
	return 0;
}

static int open_folder(struct source *source, const char *path, int verbose)
{
	const struct folder *folder = &source->folder;

	if (folder_scan(&source->folder, path, verbose))
		return -1;
	int result = open_list(&source->shards, &source->shard_count, path, folder->weights.shards,
			       folder->weights.shard_count);
	if (!result)
		result = open_list(&source->sidecars, &source->sidecar_count, path,
				   folder->sidecars, folder->sidecar_count);
	char *index = SHARD_INDEX_NAME;
	if (!result && folder->index.st_ino)
		result = open_list(&source->index, &source->index_count, path, &index, 1);
	if (!result && !folder->index.st_ino && source_is_gguf(source))
		return source_read_gguf(source);
	if (!result)
		result = read_shards(source, &folder->weights, path);
	return result;
}

int source_open(struct source *source, const char *path, int verbose)
{
	struct stat st;

	memset(source, 0, sizeof *source);
	source->path = path;
	if (stat(path, &st)) {
		cli_cannot("open", path, "%s", strerror(errno));
		return -1;
	}
	int result;
	if (S_ISDIR(st.st_mode)) {
		result = open_folder(source, path, verbose);
	} else {
		char *name = (char *)path;
		result = open_list(&source->shards, &source->shard_count, NULL, &name, 1);
		if (!result)
			result = source_is_gguf(source) ? source_read_gguf(source)
							: read_shards(source, NULL, path);
	}
	if (result)
		source_close(source);
	return result;
}

void source_close(struct source *source)
{
	close_files(source->shards, source->shard_count);
	close_files(source->sidecars, source->sidecar_count);
	close_files(source->index, source->index_count);
	for (size_t i = 0; i < source->tensor_count; i++) {
		free(source->tensors[i].info.name);
		free(source->tensors[i].info.dims);
	}
	free(source->tensors);
	for (size_t i = 0; i < source->metadata_count; i++) {
		free(source->metadata[i].key);
		free(source->metadata[i].value);
	}
	free(source->metadata);
	if (source->gguf)
		gguf_free(source->gguf);
	free(source->gguf);
	free(source->gguf_bytes);
	folder_free(&source->folder);
	memset(source, 0, sizeof *source);
}

static int check_file(const struct source_file *file)
{
	struct stat open, there;

	/* The file that is open, and the one that has its name by now. */
	if (fstat(file->fd, &open) || !file_is_same(&file->stat, &open)) {
		cli_cannot("pack", file->path, "it changed while it was read");
		return -1;
	}
	if (stat(file->path, &there) || !file_is_same(&file->stat, &there)) {
		cli_cannot("pack", file->path, "it was replaced or removed while it was read");
		return -1;
	}
	return 0;
}

static int check_files(const struct source_file *files, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (check_file(&files[i]))
			return -1;
	}
	return 0;
}

int source_check_unchanged(const struct source *source)
{
	if (check_files(source->shards, source->shard_count) ||
	    check_files(source->sidecars, source->sidecar_count) ||
	    check_files(source->index, source->index_count))
		return -1;
	return source->folder.file_count ? folder_check_unchanged(&source->folder, source->path)
					 : 0;
}

static int is_among(const struct source_file *files, size_t count, const struct stat *st)
{
	for (size_t i = 0; i < count; i++) {
		if (files[i].stat.st_dev == st->st_dev && files[i].stat.st_ino == st->st_ino)
			return 1;
	}
	return 0;
}

int source_has(const struct source *source, const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && (is_among(source->shards, source->shard_count, &st) ||
					is_among(source->sidecars, source->sidecar_count, &st) ||
					is_among(source->index, source->index_count, &st));
}

uint64_t source_size(const struct source *source)
{
	uint64_t size = 0;
	for (size_t i = 0; i < source->shard_count; i++)
		size += (uint64_t)source->shards[i].stat.st_size;
	for (size_t i = 0; i < source->sidecar_count; i++)
		size += (uint64_t)source->sidecars[i].stat.st_size;
	return size;
}
