/* SPDX-License-Identifier: MIT */
/* dump_html.c - makes the page; see dump_html.h. */
#include "mkfs/dump_html.h"

#include "mkfs/check.h"
#include "mkfs/cli.h"
#include "mkfs/dump_page.h"
#include "mkfs/output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct making {
	const struct dump *dump;
	const struct dump_html *options;
	struct dump_view view;
	struct findings findings;
	struct progress progress;
	struct text page;
	struct output output;   /* unless standard output, */
	struct watcher watcher; /* for which there is nothing to undo but the progress line */
};

static int to_stdout(const struct making *making)
{
	return strcmp(making->options->target, "-") == 0;
}

/* A page in the place of its image would be the end of the model. */
static int is_image(const struct making *making, int fd)
{
	struct stat image, target;

	return fstat(fd, &image) == 0 && stat(making->options->target, &target) == 0 &&
	       image.st_dev == target.st_dev && image.st_ino == target.st_ino;
}

static void wipe_line(void *progress, int signal)
{
	(void)signal;
	progress_silence(progress);
}

static void close_target(struct making *making)
{
	if (to_stdout(making)) {
		watcher_stop(&making->watcher);
		watcher_release(&making->watcher);
	} else {
		output_close(&making->output);
	}
}

/* Before any thread is started. */
static int open_target(struct making *making, int fd)
{
	if (to_stdout(making)) {
		watcher_hold(&making->watcher);
		if (watcher_start(&making->watcher, wipe_line, &making->progress) == 0)
			return 0;
		cli_cannot("start", NULL, "a thread cannot be had");
		close_target(making);
		return -1;
	}
	if (is_image(making, fd)) {
		cli_cannot("create", making->options->target, "it is the image");
		return -1;
	}
	return output_open(&making->output, making->options->target, making->options->force,
			   &making->progress);
}

/* Is all its data too much for what lies on disk? */
static int is_too_much(const struct making *making, int fd)
{
	const struct image *image = making->dump->image;
	uint64_t claimed = check_claimed_size(image), stored = check_stored_size(image, fd);
	char have[CLI_SIZE_TEXT], claims[CLI_SIZE_TEXT];

	if (!making->options->counted || !check_is_inflated(claimed, stored))
		return 0;
	cli_cannot("read", making->dump->path,
		   "it claims %s of data, but takes %s on disk (--no-histograms does without)",
		   cli_size(claimed, claims), cli_size(stored, have));
	return 1;
}

static int write_page(const struct making *making)
{
	int fd = to_stdout(making) ? STDOUT_FILENO : making->output.fd;
	const char *name = to_stdout(making) ? "standard output" : making->options->target;

	for (size_t at = 0; at < making->page.size;) {
		ssize_t written = write(fd, making->page.data + at, making->page.size - at);

		if (written < 0 && errno != EINTR) {
			cli_cannot("write", name, "%s", strerror(errno));
			return -1;
		}
		at += written > 0 ? (size_t)written : 0;
	}
	return 0;
}

static int make(struct making *making)
{
	struct pool *pool = pool_create(making->options->jobs);
	int err;

	if (!pool) {
		cli_cannot("start", NULL, "%u threads cannot be had", making->options->jobs);
		return -1;
	}
	err = dump_view_init(&making->view, making->dump, making->options->counted, pool,
			     &making->findings, &making->progress);
	pool_destroy(pool);
	if (!err) {
		dump_page_add(&making->page, &making->view);
		err = making->page.failed ? -ENOMEM : 0;
	}
	if (err) {
		cli_cannot("read", making->dump->path, "out of memory");
		return -1;
	}
	return write_page(making);
}

static void release(struct making *making)
{
	free(making->page.data);
	dump_view_free(&making->view);
	findings_free(&making->findings);
}

int dump_html(const struct dump *dump, const struct dump_html *options, int fd)
{
	struct making making = {.dump = dump, .options = options, .progress = PROGRESS_INIT};
	int failed;

	if (open_target(&making, fd))
		return -1;
	if (findings_init(&making.findings)) {
		cli_cannot("start", NULL, "out of memory");
		failed = -1;
	} else {
		failed = is_too_much(&making, fd) ? -1 : make(&making);
	}
	if (!failed && !to_stdout(&making))
		failed = output_publish(&making.output);
	if (!failed) {
		findings_print(&making.findings, dump->image, dump->path);
		failed = making.findings.result ? -1 : 0;
	}
	close_target(&making);
	release(&making);
	return failed;
}
