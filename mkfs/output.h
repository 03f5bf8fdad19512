/* SPDX-License-Identifier: MIT */
/*
 * output.h - a file that appears under its name whole or not at all.
 *
 * Until it is published it has no name, where the file system allows that (O_TMPFILE), else a
 * temporary one beside the target, which SIGINT, SIGTERM and SIGHUP remove.
 */
#ifndef ENTROFS_OUTPUT_H
#define ENTROFS_OUTPUT_H

#include <pthread.h>
#include <signal.h>

struct output {
	int fd; /* open for reading and writing */
	const char *path;
	int force;       /* replace an existing file */
	int dir_fd;      /* the target's folder */
	char *name;      /* in it */
	char *temporary; /* a name in it; NULL: the file has none */
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
