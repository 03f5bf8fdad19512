/* SPDX-License-Identifier: MIT */
/*
 * output.c - atomic output; see output.h.
 */
#include "mkfs/output.h"

#include "mkfs/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static int cannot(const struct output *output, const char *reason)
{
	cli_cannot("create", output->path, "%s", reason);
	return -1;
}

static int split_path(struct output *output)
{
	const char *slash = strrchr(output->path, '/');
	char *folder = !slash ? strdup(".")
		       : slash == output->path
			   ? strdup("/")
			   : strndup(output->path, (size_t)(slash - output->path));
	output->name = strdup(slash ? slash + 1 : output->path);
	if (!folder || !output->name) {
		free(folder);
		return cannot(output, "out of memory");
	}
	if (!*output->name) {
		free(folder);
		return cannot(output, slash ? "it names a folder" : strerror(ENOENT));
	}
	output->dir_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(folder);
	return output->dir_fd < 0 ? cannot(output, strerror(errno)) : 0;
}

static int check_existing(const struct output *output)
{
	struct stat st;
	if (fstatat(output->dir_fd, output->name, &st, 0)) {
		/* A dangling symbolic link is in the way all the same. */
		if (errno != ENOENT)
			return cannot(output, strerror(errno));
		if (fstatat(output->dir_fd, output->name, &st, AT_SYMLINK_NOFOLLOW))
			return 0;
	}
	if (S_ISDIR(st.st_mode))
		return cannot(output, "it is a folder");
	if (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
		return cannot(output, "it exists and is not a regular file");
	if (!output->force)
		return cannot(output, "it exists (--force replaces it)");
	return 0;
}

static int open_file(struct output *output)
{
	newfile_sweep(output->dir_fd, output->name);
	if (newfile_open(&output->file, output->dir_fd, output->name))
		return cannot(output, strerror(errno));
	output->fd = output->file.fd;
	return 0;
}

static void say_last(void *context, int number)
{
	struct output *output = context;

	if (output->file.temporary)
		unlinkat(output->dir_fd, output->file.temporary, 0);
	progress_silence(output->progress);
	cli_cannot("create", output->path, "ended by SIG%s", sigabbrev_np(number));
}

/* Before there is anything to leave behind. */
static void catch_signals(struct output *output)
{
	/* A write that fails is reported by whoever writes. */
	const struct sigaction ignore = {.sa_handler = SIG_IGN};

	watcher_hold(&output->watcher);
	sigaction(SIGPIPE, &ignore, &output->on_pipe);
	sigaction(SIGXFSZ, &ignore, &output->on_too_big);
	output->ignoring = 1;
}

/* Whatever came meanwhile takes effect here. */
static void release_signals(struct output *output)
{
	if (output->ignoring) {
		sigaction(SIGPIPE, &output->on_pipe, NULL);
		sigaction(SIGXFSZ, &output->on_too_big, NULL);
		output->ignoring = 0;
	}
	watcher_release(&output->watcher);
}

static void begin(struct output *output, const char *path, int force)
{
	memset(output, 0, sizeof *output);
	output->path = path;
	output->force = force;
	output->fd = output->dir_fd = output->file.fd = -1;
}

int output_check(const char *path, int force)
{
	struct output output;

	begin(&output, path, force);
	int result = split_path(&output) || check_existing(&output) ? -1 : 0;
	if (!result && faccessat(output.dir_fd, ".", W_OK | X_OK, AT_EACCESS))
		result = cannot(&output, strerror(errno));
	output_close(&output);
	return result;
}

int output_check_room(const char *path, uint64_t size)
{
	char needed[CLI_SIZE_TEXT], left[CLI_SIZE_TEXT];
	struct output output;
	struct statvfs fs;

	begin(&output, path, 1);
	int result = split_path(&output);
	if (!result && fstatvfs(output.dir_fd, &fs) == 0 && fs.f_blocks) {
		uint64_t unit = fs.f_frsize;
		uint64_t room = fs.f_bavail < UINT64_MAX / unit ? fs.f_bavail * unit : UINT64_MAX;
		if (room < size) {
			cli_cannot("create", path, "%s: about %s are needed, %s are left",
				   strerror(ENOSPC), cli_size(size, needed), cli_size(room, left));
			result = -1;
		}
	}
	output_close(&output);
	return result;
}

int output_open(struct output *output, const char *path, int force, struct progress *progress)
{
	begin(output, path, force);
	output->progress = progress;
	int result = split_path(output) || check_existing(output) ? -1 : 0;
	if (!result) {
		catch_signals(output);
		result = open_file(output);
		if (!result && watcher_start(&output->watcher, say_last, output))
			result = cannot(output, "no thread can be started");
	}
	if (result)
		output_close(output);
	return result;
}

int output_publish(struct output *output)
{
	if (fsync(output->fd))
		return cannot(output, strerror(errno));
	/* From here on names change: a signal that comes now waits for the end. */
	watcher_stop(&output->watcher);
	if (newfile_publish(&output->file, output->force))
		return cannot(output, errno == EEXIST ? "it exists (--force replaces it)"
						      : strerror(errno));
	int error = fsync(output->dir_fd) && errno != EINVAL ? errno : 0;
	release_signals(output);
	return error ? cannot(output, strerror(error)) : 0;
}

void output_close(struct output *output)
{
	watcher_stop(&output->watcher);
	newfile_close(&output->file);
	if (output->dir_fd >= 0)
		close(output->dir_fd);
	release_signals(output);
	free(output->name);
	output->fd = output->dir_fd = -1;
	output->name = NULL;
}
