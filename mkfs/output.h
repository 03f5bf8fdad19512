/* SPDX-License-Identifier: MIT */
/*
 * output.h - a file that appears under its name whole or not at all.
 *
 * It is a newfile of a path: with what is wrong printed and with fsync. From open to publish
 * SIGINT, SIGTERM and SIGHUP remove the temporary name, should there be one, wipe the progress
 * line, say one line, and end the process as signals do; SIGPIPE and SIGXFSZ are errors of the
 * write that caused them.
 */
#ifndef ENTROFS_OUTPUT_H
#define ENTROFS_OUTPUT_H

#include "mkfs/newfile.h"
#include "mkfs/progress.h"
#include "mkfs/watcher.h"

#include <signal.h>
#include <stdint.h>

struct output {
	int fd; /* open for reading and writing: file's */
	const char *path;
	int force;  /* replace an existing file */
	int dir_fd; /* the target's folder */
	char *name; /* in it */
	struct newfile file;
	struct progress *progress;
	struct watcher watcher;
	struct sigaction on_pipe, on_too_big; /* SIGPIPE, SIGXFSZ: as they were */
	int ignoring;
};

/* Fails, after printing why, where output_open() would, as far as can be told without writing. */
int output_check(const char *path, int force);

/* Fails, after printing why, if so many bytes find no room where the path is. */
int output_check_room(const char *path, uint64_t size);

/* Fails, after printing why, if the target exists (unless force), or cannot be made. Call before
 * threads are started. progress: of the work to come, started or not. */
int output_open(struct output *output, const char *path, int force, struct progress *progress);

/* Makes the file durable and gives it its name. After that signals have their usual effect. */
int output_publish(struct output *output);

/* Ends, without a trace unless published. */
void output_close(struct output *output);

#endif
