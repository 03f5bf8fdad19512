/* SPDX-License-Identifier: MIT */
/* preload.c - a thread that reads at leisure; see preload.h. */
#include "fs/preload.h"

#include "fs/pages.h"
#include "fs/stats.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum {
	STEP = 1 << 20,     /* bytes at once */
	SPARE_PART = 8,     /* stop when less than this part of memory is available */
	NAP = 50 * 1000000, /* nanoseconds; at most, between looks at whether to stop */
};

struct preload {
	struct preload_source source;
	pthread_t thread;
	atomic_bool stopping;
	uint64_t started; /* nanoseconds */
	uint64_t done;    /* bytes */
};

static bool memory_is_short(void)
{
	unsigned long long total = 0, available = 0;
	char line[128];
	FILE *file = fopen("/proc/meminfo", "re");
	if (!file)
		return true;
	while (fgets(line, sizeof(line), file)) {
		sscanf(line, "MemTotal: %llu", &total);
		sscanf(line, "MemAvailable: %llu", &available);
	}
	fclose(file);
	return available < total / SPARE_PART;
}

/* Waits until so many bytes are due; false: stop. */
static bool pace(struct preload *preload, uint64_t bytes)
{
	uint64_t rate = preload->source.rate;
	preload->done += bytes;
	for (;;) {
		uint64_t elapsed = stats_now() - preload->started;
		double due = rate ? (double)preload->done / (double)rate * 1e9 : 0;
		if (atomic_load(&preload->stopping) || memory_is_short())
			return false;
		if ((double)elapsed >= due)
			return true;
		double rest = due - (double)elapsed;
		struct timespec nap = {0, rest < NAP ? (long)rest : NAP};
		nanosleep(&nap, NULL);
	}
}

/* The kernel takes pages only of files that it knows: a look at its name makes it ask for it. The
 * requests this takes are answered by other threads. */
static bool introduce(const struct preload *preload, uint32_t node)
{
	char path[PATH_MAX];
	struct stat stat;
	size_t used = (size_t)snprintf(path, sizeof(path), "%s/", preload->source.mountpoint);
	if (used >= sizeof(path) || image_path(preload->source.image, node, path + used,
					       sizeof(path) - used) >= sizeof(path) - used)
		return false;
	return lstat(path, &stat) == 0;
}

static bool preload_file(struct preload *preload, uint32_t node)
{
	uint64_t size = image_node(preload->source.image, node)->size;
	for (uint64_t at = 0; at < size; at += STEP) {
		struct read_lease lease;
		if (!introduce(preload, node))
			return true;
		if (reader_read(preload->source.reader, node, at, STEP, NULL, &lease))
			continue; /* it has been logged; its neighbours may be well */
		pages_store(preload->source.session, (fuse_ino_t)node + 1, at, lease.data,
			    lease.size);
		uint64_t got = lease.size;
		reader_release(preload->source.reader, &lease);
		if (!pace(preload, got))
			return false;
	}
	return true;
}

/* The file that loaders of whole models open; a negative errno if the image has none. */
static int64_t weights_file(const struct image *image)
{
	static const char *const path[] = {"quantized", "model.safetensors"};
	int64_t node = 0;
	for (size_t i = 0; i < sizeof(path) / sizeof(*path) && node >= 0; i++)
		node = image_lookup(image, (uint32_t)node, path[i], strlen(path[i]));
	return node;
}

static bool has_weights(const struct image *image, uint32_t node)
{
	const struct efs_node *file = image_node(image, node);
	for (uint32_t i = 0; file->type == EFS_FILE && i < file->count; i++)
		if (image_piece(image, file->first + i)->kind != EFS_PIECE_BLOB)
			return true;
	return false;
}

/* Of the nodes [first, end) the files with weights. Their number; -1: it was stopped. */
static int64_t preload_range(struct preload *preload, uint32_t first, uint32_t end)
{
	int64_t count = 0;
	for (uint32_t i = first; i < end; i++) {
		if (!has_weights(preload->source.image, i))
			continue;
		if (!preload_file(preload, i))
			return -1;
		count++;
	}
	return count;
}

/* The file with all codes; if there is none, the weight files in the root; or else all files with
 * weights. Whichever a program opens, the others show the same weights; but each has its own in an
 * image that knows no tensors, but only files. */
static void preload_files(struct preload *preload)
{
	struct image *image = preload->source.image;
	const struct efs_node *root = image_node(image, 0);
	int64_t node = weights_file(image);
	if (node > 0 && image_node(image, (uint32_t)node)->type == EFS_FILE)
		preload_file(preload, (uint32_t)node);
	else if (!image_catalog(image)->tensor_count ||
		 preload_range(preload, root->first, root->first + root->count) == 0)
		preload_range(preload, 0, image_catalog(image)->node_count);
}

static void preload_image(struct preload *preload)
{
	uint64_t size = image_superblock(preload->source.image)->image_size;
	for (uint64_t at = 0; at < size; at += STEP) {
		posix_fadvise(preload->source.fd, (off_t)(preload->source.offset + at), STEP,
			      POSIX_FADV_WILLNEED);
		if (!pace(preload, STEP))
			return;
	}
}

static void *run(void *argument)
{
	struct preload *preload = argument;
	preload->started = stats_now();
	if (preload->source.compressed)
		preload_image(preload);
	else
		preload_files(preload);
	return NULL;
}

int preload_start(struct preload **preload, const struct preload_source *source)
{
	struct preload *new = calloc(1, sizeof(*new));
	if (!new)
		return -ENOMEM;
	new->source = *source;
	int error = pthread_create(&new->thread, NULL, run, new);
	if (error) {
		free(new);
		return -error;
	}
	*preload = new;
	return 0;
}

void preload_stop(struct preload *preload)
{
	if (!preload)
		return;
	atomic_store(&preload->stopping, true);
	pthread_join(preload->thread, NULL);
	free(preload);
}
