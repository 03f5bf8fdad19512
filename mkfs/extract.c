/* SPDX-License-Identifier: MIT */
/*
 * extract.c - writes an image's tree into a folder of the host; see extract.h.
 *
 * Names in a validated image hold no slash and are neither "." nor "..", files are made with O_EXCL
 * in a folder that was empty, and no symbolic link is ever made: so no path can lead out of it.
 */
#include "mkfs/extract.h"

#include "mkfs/check.h"
#include "mkfs/cli.h"
#include "mkfs/names.h"
#include "mkfs/progress.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUFFER = 1 << 20 };

struct extract {
	struct image *image;
	const char *target;
	int root; /* fd of the target folder */
	struct progress progress;
	struct extract_worker {
		struct image_scratch *scratch;
		uint8_t *buffer;
	} * workers;
	_Atomic unsigned result;
};

/* Prints why a node could not be extracted. */
static int fail(struct extract *extract, uint32_t node, unsigned kind, const char *reason)
{
	char *path = names_show_path(extract->image, node, NAMES_FOR_TERMINAL);

	cli_cannot("extract", path ? path : "?", "%s", reason);
	free(path);
	atomic_fetch_or(&extract->result, kind);
	return -1;
}

static int fail_errno(struct extract *extract, uint32_t node)
{
	return fail(extract, node, CHECK_FAILED, strerror(errno));
}

static int is_empty(int folder)
{
	int copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), empty = 1;
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *entry;

	if (!dir) {
		if (copy >= 0)
			close(copy);
		return 0;
	}
	while ((entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			empty = 0;
	closedir(dir);
	return empty;
}

static int open_target(struct extract *extract)
{
	if (mkdir(extract->target, 0777) < 0 && errno != EEXIST) {
		cli_cannot("create", extract->target, "%s", strerror(errno));
		return -1;
	}
	extract->root = open(extract->target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (extract->root < 0) {
		cli_cannot("open", extract->target, "%s", strerror(errno));
		return -1;
	}
	if (!is_empty(extract->root)) {
		cli_cannot("extract to", extract->target, "the folder is not empty");
		return -1;
	}
	return 0;
}

static int get_path(struct extract *extract, uint32_t node, char path[PATH_MAX])
{
	if (image_path(extract->image, node, path, PATH_MAX) < PATH_MAX)
		return 0;
	errno = ENAMETOOLONG;
	return fail_errno(extract, node);
}

/* Parents have lower numbers than their children, so they are there in time. */
static int make_folders(struct extract *extract)
{
	uint32_t count = image_catalog(extract->image)->node_count;
	char path[PATH_MAX];

	for (uint32_t i = 1; i < count; i++) {
		if (image_node(extract->image, i)->type != EFS_DIRECTORY)
			continue;
		if (get_path(extract, i, path))
			return -1;
		if (mkdirat(extract->root, path, 0777) < 0)
			return fail_errno(extract, i);
	}
	return 0;
}

static int write_all(int fd, const uint8_t *data, size_t size)
{
	while (size) {
		ssize_t put = write(fd, data, size);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return -1;
		data += put;
		size -= (size_t)put;
	}
	return 0;
}

/* What copy_file() returns if the image, not the target, is at fault. */
enum { UNREADABLE = 1 };

static int copy_file(struct extract *extract, uint32_t node, int fd, struct extract_worker *worker)
{
	uint64_t size = image_node(extract->image, node)->size;
	struct image_diag diag;

	for (uint64_t at = 0; at < size; at += BUFFER) {
		ssize_t got = image_read_file(extract->image, node, at, worker->buffer, BUFFER,
					      worker->scratch, &diag);

		if (got < 0) {
			fail(extract, node, check_kind((int)got), diag.text);
			return UNREADABLE;
		}
		if (write_all(fd, worker->buffer, (size_t)got))
			return fail_errno(extract, node);
		progress_add(&extract->progress, (uint64_t)got);
	}
	return 0;
}

static int extract_node(void *context, unsigned worker, uint64_t item)
{
	struct extract *extract = context;
	uint32_t node = (uint32_t)item;
	char path[PATH_MAX];
	int fd, err;

	if (image_node(extract->image, node)->type != EFS_FILE)
		return 0;
	if (get_path(extract, node, path))
		return -1;
	fd =
	    openat(extract->root, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
	if (fd < 0)
		return fail_errno(extract, node);
	err = copy_file(extract, node, fd, &extract->workers[worker]);
	if (close(fd) < 0 && !err)
		err = fail_errno(extract, node);
	if (err)
		unlinkat(extract->root, path, 0); /* half a file is worse than none */
	return err == UNREADABLE ? 0 : err;       /* the other files can still be saved */
}

static int prepare(struct extract *extract, unsigned jobs)
{
	extract->workers = calloc(jobs, sizeof(*extract->workers));
	if (!extract->workers)
		return -1;
	for (unsigned i = 0; i < jobs; i++) {
		extract->workers[i].buffer = malloc(BUFFER);
		if (!extract->workers[i].buffer ||
		    image_scratch_create(&extract->workers[i].scratch))
			return -1;
	}
	return 0;
}

static void run(struct extract *extract, struct pool *pool)
{
	uint32_t count = image_catalog(extract->image)->node_count;
	uint64_t total = 0;

	for (uint32_t i = 0; i < count; i++)
		if (__builtin_add_overflow(total, image_node(extract->image, i)->size, &total))
			total = UINT64_MAX;
	if (open_target(extract)) {
		extract->result = CHECK_FAILED;
		return;
	}
	if (make_folders(extract))
		return;
	progress_start(&extract->progress, "extracting", total);
	pool_run(pool, count, extract_node, extract);
	progress_end(&extract->progress);
}

unsigned extract_image(struct image *image, const char *path, const char *target, struct pool *pool)
{
	struct extract extract = {.image = image, .target = target, .root = -1};

	if (prepare(&extract, pool_jobs(pool))) {
		cli_cannot("extract", path, "out of memory");
		extract.result = CHECK_FAILED;
	} else {
		run(&extract, pool);
	}
	if (extract.root >= 0)
		close(extract.root);
	for (unsigned i = 0; extract.workers && i < pool_jobs(pool); i++) {
		image_scratch_destroy(extract.workers[i].scratch);
		free(extract.workers[i].buffer);
	}
	free(extract.workers);
	return extract.result;
}
