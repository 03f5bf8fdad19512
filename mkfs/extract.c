/* SPDX-License-Identifier: MIT */
/* extract.c - writes an image's tree into a folder of the host; see extract.h. */
#include "mkfs/extract.h"

#include "mkfs/check.h"
#include "mkfs/cli.h"
#include "mkfs/glob.h"
#include "mkfs/hosttree.h"
#include "mkfs/interrupts.h"
#include "mkfs/progress.h"
#include "mkfs/span.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What is done with a node. */
enum choice { LEFT_OUT, NEEDED /* a folder on the way to something chosen */, CHOSEN };

struct extract {
	struct image *image;
	const struct extract_plan *plan;
	struct findings *findings;
	int root;        /* fd of the target folder */
	uint8_t *choice; /* per node */
	struct span_reader *readers;
	struct interrupts interrupts;
	struct progress progress;
	_Atomic uint64_t files, bytes;
};

static void fail(struct extract *extract, enum finding_kind kind, int64_t node, const char *reason)
{
	struct finding finding = {.phase = CHECK_EXTRACTING,
				  .item = node == NOWHERE ? 0 : (uint64_t)node,
				  .severity = CHECK_FAILED,
				  .kind = kind,
				  .place = FINDING_NOWHERE,
				  .message = reason};

	finding.place.node = node;
	findings_add(extract->findings, &finding);
}

/* A node that the host does not take. */
static void fail_errno(struct extract *extract, enum finding_kind kind, uint32_t node)
{
	fail(extract, kind, node,
	     errno == ELOOP || errno == ENOTDIR
		 ? "a symbolic link or a file is where one of its folders belongs"
		 : strerror(errno));
}

__attribute__((format(printf, 2, 3))) static int refuse(struct extract *extract, const char *format,
							...)
{
	char reason[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(reason, sizeof(reason), format, args);
	va_end(args);
	fail(extract, FINDING_TARGET, NOWHERE, reason);
	return -1;
}

/* --- what is chosen --------------------------------------------------------------------------- */

static void choose(struct extract *extract, uint32_t node)
{
	extract->choice[node] = CHOSEN;
	for (uint32_t i = image_node(extract->image, node)->parent; i && !extract->choice[i];
	     i = image_node(extract->image, i)->parent)
		extract->choice[i] = NEEDED;
}

static int match_nodes(struct extract *extract, struct glob *glob, const char *pattern, char *path)
{
	uint32_t count = image_catalog(extract->image)->node_count;
	int matched = 0;

	for (uint32_t i = 1; i < count; i++) {
		size_t size = image_path(extract->image, i, path, IMAGE_PATH_MAX);

		if (!glob_match(glob, path, size))
			continue;
		matched = 1;
		choose(extract, i);
	}
	return matched ? 0
		       : refuse(extract, "nothing in the image matches the pattern '%s'", pattern);
}

/* What is in a chosen folder is chosen, too; parents come before their children. */
static int choose_nodes(struct extract *extract)
{
	uint32_t count = image_catalog(extract->image)->node_count;
	char *path = malloc(IMAGE_PATH_MAX);
	int result = path ? 0 : refuse(extract, "out of memory");

	extract->choice[0] = extract->plan->pattern_count ? NEEDED : CHOSEN;
	for (size_t i = 0; !result && i < extract->plan->pattern_count; i++) {
		const char *pattern = extract->plan->patterns[i], *fault;
		struct glob *glob = glob_create(pattern, &fault);

		result = glob ? match_nodes(extract, glob, pattern, path)
			      : refuse(extract, "the pattern '%s': %s", pattern, fault);
		glob_destroy(glob);
	}
	free(path);
	for (uint32_t i = 1; i < count; i++)
		if (extract->choice[image_node(extract->image, i)->parent] == CHOSEN)
			extract->choice[i] = CHOSEN;
	return result;
}

/* --- the target folder ------------------------------------------------------------------------ */

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
	const char *target = extract->plan->target;

	if (mkdir(target, 0777) < 0 && errno != EEXIST)
		return refuse(extract, "cannot create '%s': %s", target, strerror(errno));
	extract->root = open(target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (extract->root < 0)
		return refuse(extract, "cannot open '%s': %s", target, strerror(errno));
	newfile_sweep(extract->root, NULL);
	if (!extract->plan->force && !is_empty(extract->root))
		return refuse(extract,
			      "cannot extract to '%s': the folder is not empty (--force extracts "
			      "all the same)",
			      target);
	return 0;
}

/* Parents have lower numbers than their children, so they are there in time. */
static int make_folders(struct extract *extract)
{
	uint32_t count = image_catalog(extract->image)->node_count;

	for (uint32_t i = 1; i < count; i++) {
		if (image_node(extract->image, i)->type != EFS_DIRECTORY || !extract->choice[i])
			continue;
		if (interrupts_waiting(&extract->interrupts))
			return -1;
		if (hosttree_make_folder(extract->root, extract->image, i, extract->plan->force) ==
		    0)
			continue;
		fail_errno(extract, FINDING_FOLDER, i);
		if (!extract->plan->keep_going)
			return -1;
	}
	return 0;
}

/* --- files ------------------------------------------------------------------------------------ */

/* Bytes on their way to a file. */
struct copying {
	struct extract *extract;
	int fd;
};
enum { HOST_FAULT = -1, INTERRUPTED = -2 };

static int put(void *context, const uint8_t *bytes, size_t size)
{
	struct copying *copying = context;

	if (interrupts_waiting(&copying->extract->interrupts))
		return INTERRUPTED;
	progress_add(&copying->extract->progress, size);
	while (size) {
		ssize_t put = write(copying->fd, bytes, size);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return HOST_FAULT;
		bytes += put;
		size -= (size_t)put;
	}
	return 0;
}

/* Writes a file's pieces; of a damaged one the rest is read to name what is bad. */
static int copy_file(struct extract *extract, uint32_t node, int fd, struct span_reader *reader)
{
	const struct efs_node *file = image_node(extract->image, node);
	struct copying copying = {extract, fd};
	struct finding about = {.phase = CHECK_EXTRACTING, .item = node, .place = FINDING_NOWHERE};
	int bad = 0;

	about.place.node = node;
	for (uint32_t i = 0; i < file->count; i++) {
		const struct efs_piece *piece = image_piece(extract->image, file->first + i);
		struct span span = {piece->kind, piece->source, piece->offset, piece->length};
		int result = span_read(extract->image, &span, reader, extract->findings, &about,
				       put, &copying);

		if (result < 0)
			return result;
		bad |= result;
	}
	return bad;
}

static int extract_file(struct extract *extract, uint32_t node, struct span_reader *reader)
{
	struct hostfile file;
	int result;

	if (hosttree_open_file(extract->root, extract->image, node, &file)) {
		fail_errno(extract, FINDING_FILE, node);
		return HOST_FAULT;
	}
	result = copy_file(extract, node, file.file.fd, reader);
	if (!result && hosttree_publish_file(&file, extract->plan->force) == 0) {
		extract->files++;
		extract->bytes += image_node(extract->image, node)->size;
		return 0;
	}
	if (!result || result == HOST_FAULT)
		fail_errno(extract, FINDING_FILE, node);
	if (result)
		hosttree_discard_file(&file);
	return result ? result : HOST_FAULT;
}

static int extract_node(void *context, unsigned worker, uint64_t item)
{
	struct extract *extract = context;
	uint32_t node = (uint32_t)item;
	int result;

	if (image_node(extract->image, node)->type != EFS_FILE || extract->choice[node] != CHOSEN)
		return 0;
	if (interrupts_waiting(&extract->interrupts))
		return INTERRUPTED;
	result = extract_file(extract, node, &extract->readers[worker]);
	if (result == HOST_FAULT && extract->plan->keep_going)
		return 0;
	return result == SPAN_BAD ? 0 : result; /* the other files can still be saved */
}

static void extract_chosen(struct extract *extract, unsigned jobs, struct extract_result *result)
{
	uint32_t count = image_catalog(extract->image)->node_count;
	char claimed[CLI_SIZE_TEXT], stored[CLI_SIZE_TEXT];
	uint64_t total = 0, files = 0;
	struct pool *pool;

	for (uint32_t i = 0; i < count; i++) {
		const struct efs_node *node = image_node(extract->image, i);

		if (extract->choice[i] != CHOSEN || node->type != EFS_FILE)
			continue;
		files++;
		if (__builtin_add_overflow(total, node->size, &total))
			total = UINT64_MAX;
	}
	if (!extract->plan->force && check_is_inflated(total, extract->plan->stored)) {
		refuse(extract, CHECK_INFLATED, cli_size(total, claimed),
		       cli_size(extract->plan->stored, stored));
		result->lost = files;
		return;
	}
	/* Threads inherit what is held back. */
	interrupts_hold(&extract->interrupts);
	pool = pool_create(jobs);
	if (!pool) {
		refuse(extract, "no threads to be had");
	} else if (make_folders(extract) == 0) {
		progress_start(&extract->progress, "extracting", total);
		pool_run(pool, count, extract_node, extract);
		progress_end(&extract->progress);
	}
	pool_destroy(pool);
	result->interrupted = interrupts_waiting(&extract->interrupts);
	interrupts_end(&extract->interrupts);
	result->files = extract->files;
	result->bytes = extract->bytes;
	result->lost = files - extract->files;
}

void extract_image(struct image *image, const struct extract_plan *plan, unsigned jobs,
		   struct findings *findings, struct extract_result *result)
{
	struct extract extract = {.image = image,
				  .plan = plan,
				  .findings = findings,
				  .root = -1,
				  .progress = PROGRESS_INIT};

	*result = (struct extract_result){0};
	extract.choice = calloc(image_catalog(image)->node_count, 1);
	extract.readers = span_readers_create(jobs);
	if (!extract.choice || !extract.readers)
		refuse(&extract, "out of memory");
	else if (choose_nodes(&extract) == 0 && open_target(&extract) == 0)
		extract_chosen(&extract, jobs, result);
	if (extract.root >= 0)
		close(extract.root);
	span_readers_destroy(extract.readers, jobs);
	free(extract.choice);
}
