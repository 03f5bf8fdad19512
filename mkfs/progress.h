/* SPDX-License-Identifier: MIT */
/*
 * progress.h - a line that tells how far a long work is, on a terminal only.
 */
#ifndef ENTROFS_PROGRESS_H
#define ENTROFS_PROGRESS_H

#include <stdatomic.h>
#include <stdint.h>

struct progress {
	const char *what; /* "packing"; NULL: stderr is no terminal */
	uint64_t total;   /* bytes */
	double start;     /* seconds, monotonic */
	_Atomic uint64_t done;
	_Atomic int64_t drawn; /* when last, in tenths of a second */
};

/* Starts over with a new work of total bytes. */
void progress_start(struct progress *progress, const char *what, uint64_t total);

/* Bytes done; any thread may call it. */
void progress_add(struct progress *progress, uint64_t bytes);

/* Wipes the line. */
void progress_end(struct progress *progress);

/* Seconds on a clock that only goes forward. */
double progress_clock(void);

#endif
