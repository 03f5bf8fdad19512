/* SPDX-License-Identifier: MIT */
/*
 * output.h - a file that appears under its name whole or not at all.
 *
 * It is a newfile of a path: with what is wrong printed, with fsync, and with SIGINT, SIGTERM and
 * SIGHUP removing the temporary name, should there be one.
 */
#ifndef ENTROFS_OUTPUT_H
#define ENTROFS_OUTPUT_H

#include "mkfs/newfile.h"

#include <pthread.h>
#include <signal.h>

struct output {
	int fd; /* open for reading and writing: file's */
	const char *path;
	int force;  /* replace an existing file */
	int dir_fd; /* the target's folder */
	char *name; /* in it */
	struct newfile file;
	sigset_t signals;
	int watching;
	pthread_t watcher; /* waits for signals */
};

/* Fails, after printing why, if the target exists (unless force), or cannot be made. Call before
 * threads are started. */
int output_open(struct output *output, const char *path, int force);

/* Makes the file durable and gives it its name. */
int output_publish(struct output *output);

/* Ends, without a trace unless published. */
void output_close(struct output *output);

#endif
