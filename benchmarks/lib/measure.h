/* SPDX-License-Identifier: MIT */
/*
 * measure.h - time, the processor's clock, and what many samples of a duration say.
 */
#ifndef ENTROFS_BENCH_MEASURE_H
#define ENTROFS_BENCH_MEASURE_H

#include <stddef.h>

/* Prints "prog: cannot WHAT" and ends the program: a benchmark has nothing to save. */
_Noreturn void fail(const char *what);

/* size bytes at a multiple of 64, of undefined content; fails rather than return NULL. */
void *allocate(size_t size);

/* Seconds since some moment. */
double now(void);

/*
 * Cycles per second as they pass right now: the time of a chain of exclusive-ors, each of which
 * waits one cycle for the one before on every processor we know. What the system calls the clock
 * may be a nominal one. 0 if this machine has no chain here, or is an emulated one.
 */
double measure_clock(void);

/* Durations of the same work, in seconds. */
struct samples {
	double *seconds;
	unsigned count, capacity;
};

void samples_add(struct samples *samples, double seconds);
void samples_free(struct samples *samples);

/* Of at least one sample. */
double samples_best(const struct samples *samples);
double samples_median(const struct samples *samples);

#endif
