/* SPDX-License-Identifier: MIT */
/*
 * output.c - atomic output; see output.h.
 *
 * Signals are blocked in every thread and waited for by one of our own: it may call anything, and
 * no state has to be global.
 */
#include "mkfs/output.h"

#include "mkfs/cli.h"
#include "mkfs/interrupts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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
		return cannot(output, "it names a folder");
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
	if (newfile_open(&output->file, output->dir_fd, output->name))
		return cannot(output, strerror(errno));
	output->fd = output->file.fd;
	return 0;
}

static void *watch(void *context)
{
	struct output *output = context;
	int number;

	if (sigwait(&output->signals, &number))
		return NULL;
	if (output->file.temporary)
		unlinkat(output->dir_fd, output->file.temporary, 0);
	cli_cannot("create", output->path, "ended by SIG%s", sigabbrev_np(number));
	/* Die of it, as the parent expects. */
	sigset_t one;
	sigemptyset(&one);
	sigaddset(&one, number);
	signal(number, SIG_DFL);
	pthread_sigmask(SIG_UNBLOCK, &one, NULL);
	raise(number);
	return NULL;
}

/* Before there is anything to leave behind. */
static void catch_signals(struct output *output)
{
	/* A write that fails is reported by whoever writes. */
	const struct sigaction ignore = {.sa_handler = SIG_IGN};

	interrupts_heeded(&output->signals);
	pthread_sigmask(SIG_BLOCK, &output->signals, &output->mask);
	sigaction(SIGPIPE, &ignore, &output->on_pipe);
	sigaction(SIGXFSZ, &ignore, &output->on_too_big);
	output->caught = 1;
}

static int start_watcher(struct output *output)
{
	if (pthread_create(&output->watcher, NULL, watch, output))
		return cannot(output, "no thread can be started");
	output->watching = 1;
	return 0;
}

/* Whatever came meanwhile takes effect here. */
static void release_signals(struct output *output)
{
	if (!output->caught)
		return;
	output->caught = 0;
	sigaction(SIGPIPE, &output->on_pipe, NULL);
	sigaction(SIGXFSZ, &output->on_too_big, NULL);
	pthread_sigmask(SIG_SETMASK, &output->mask, NULL);
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

int output_open(struct output *output, const char *path, int force)
{
	begin(output, path, force);
	int result = split_path(output) || check_existing(output) ? -1 : 0;
	if (!result) {
		catch_signals(output);
		result = open_file(output) || start_watcher(output) ? -1 : 0;
	}
	if (result)
		output_close(output);
	return result;
}

static void stop_watcher(struct output *output)
{
	if (!output->watching)
		return;
	pthread_cancel(output->watcher);
	pthread_join(output->watcher, NULL);
	output->watching = 0;
}

int output_publish(struct output *output)
{
	if (fsync(output->fd))
		return cannot(output, strerror(errno));
	/* From here on names change: a signal that comes now waits for the end. */
	stop_watcher(output);
	if (newfile_publish(&output->file, output->force))
		return cannot(output, errno == EEXIST ? "it exists (--force replaces it)"
						      : strerror(errno));
	int error = fsync(output->dir_fd) && errno != EINVAL ? errno : 0;
	release_signals(output);
	return error ? cannot(output, strerror(error)) : 0;
}

void output_close(struct output *output)
{
	stop_watcher(output);
	newfile_close(&output->file);
	if (output->dir_fd >= 0)
		close(output->dir_fd);
	release_signals(output);
	free(output->name);
	output->fd = output->dir_fd = -1;
	output->name = NULL;
}
