/* SPDX-License-Identifier: MIT */
/*
 * output.c - atomic output; see output.h.
 *
 * Signals are blocked in every thread and waited for by one of our own: it may call anything, and
 * no state has to be global.
 */
#include "mkfs/output.h"

#include "mkfs/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
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
	if (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
		return cannot(output, "it exists and is not a regular file");
	if (!output->force)
		return cannot(output, "it exists (--force replaces it)");
	return 0;
}

/* A name beside the target that nothing has; fails only without memory. */
static char *temporary_name(const struct output *output)
{
	unsigned long number = 0;
	char *name;
	if (getrandom(&number, sizeof number, 0) < 0)
		number = (unsigned long)getpid();
	return asprintf(&name, ".%.200s.%016lx", output->name, number) < 0 ? NULL : name;
}

static int open_file(struct output *output)
{
	/* Naming such a file later goes through /proc. */
	if (access("/proc/self/fd", F_OK) == 0)
		output->fd = openat(output->dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);
	if (output->fd >= 0)
		return 0;
	output->temporary = temporary_name(output);
	if (!output->temporary)
		return cannot(output, "out of memory");
	output->fd =
	    openat(output->dir_fd, output->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (output->fd >= 0)
		return 0;
	int error = errno;
	free(output->temporary);
	output->temporary = NULL;
	return cannot(output, strerror(error));
}

static void *watch(void *context)
{
	struct output *output = context;
	int number;

	if (sigwait(&output->signals, &number))
		return NULL;
	if (output->temporary)
		unlinkat(output->dir_fd, output->temporary, 0);
	/* Die of it, as the parent expects. */
	sigset_t one;
	sigemptyset(&one);
	sigaddset(&one, number);
	signal(number, SIG_DFL);
	pthread_sigmask(SIG_UNBLOCK, &one, NULL);
	raise(number);
	return NULL;
}

static int start_watcher(struct output *output)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};

	sigemptyset(&output->signals);
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		struct sigaction action;
		/* What is ignored (nohup) stays so. */
		if (sigaction(numbers[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
			sigaddset(&output->signals, numbers[i]);
	}
	pthread_sigmask(SIG_BLOCK, &output->signals, NULL);
	if (pthread_create(&output->watcher, NULL, watch, output))
		return cannot(output, "no thread can be started");
	output->watching = 1;
	return 0;
}

int output_open(struct output *output, const char *path, int force)
{
	memset(output, 0, sizeof *output);
	output->path = path;
	output->force = force;
	output->fd = output->dir_fd = -1;
	if (split_path(output) || check_existing(output) || open_file(output) ||
	    start_watcher(output)) {
		output_close(output);
		return -1;
	}
	return 0;
}

static int link_unnamed(struct output *output, const char *name)
{
	char self[64];
	snprintf(self, sizeof self, "/proc/self/fd/%d", output->fd);
	return linkat(AT_FDCWD, self, output->dir_fd, name, AT_SYMLINK_FOLLOW);
}

/* Gives the file its final name; -1 and errno. */
static int give_name(struct output *output)
{
	if (!output->temporary) {
		if (!output->force)
			return link_unnamed(output, output->name);
		char *temporary = temporary_name(output);
		if (!temporary || link_unnamed(output, temporary)) {
			free(temporary);
			return -1;
		}
		output->temporary = temporary;
	}
	if (output->force) {
		if (renameat(output->dir_fd, output->temporary, output->dir_fd, output->name))
			return -1;
	} else if (renameat2(output->dir_fd, output->temporary, output->dir_fd, output->name,
			     RENAME_NOREPLACE)) {
		/* Old file systems do not know the flag; a link does not replace either. */
		if (errno != EINVAL ||
		    linkat(output->dir_fd, output->temporary, output->dir_fd, output->name, 0))
			return -1;
		unlinkat(output->dir_fd, output->temporary, 0);
	}
	free(output->temporary);
	output->temporary = NULL;
	return 0;
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
	if (give_name(output))
		return cannot(output, errno == EEXIST ? "it exists (--force replaces it)"
						      : strerror(errno));
	if (fsync(output->dir_fd) && errno != EINVAL)
		return cannot(output, strerror(errno));
	return 0;
}

void output_close(struct output *output)
{
	stop_watcher(output);
	if (output->temporary)
		unlinkat(output->dir_fd, output->temporary, 0);
	if (output->fd >= 0)
		close(output->fd);
	if (output->dir_fd >= 0)
		close(output->dir_fd);
	free(output->temporary);
	free(output->name);
	output->fd = output->dir_fd = -1;
	output->temporary = output->name = NULL;
}
