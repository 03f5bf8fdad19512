/* SPDX-License-Identifier: MIT */
/*
 * kernels.h - a race of the codec's kernels at one task, next to memcpy, as Markdown.
 *
 * What a task reads and writes fits in a second-level cache together. All contestants take turns
 * within each round, so that whatever else the machine does meets all of them; medians of the
 * rounds count. What a kernel makes must be what the reference makes, or nothing is timed.
 */
#ifndef ENTROFS_BENCH_KERNELS_H
#define ENTROFS_BENCH_KERNELS_H

#include <stddef.h>
#include <stdint.h>

enum { KERNELS_SIZE = 128 << 10 }; /* bytes made at once: what a large read asks for */

struct kernel_task {
	const char *title;
	void (*run)(const void *context); /* by the kernel in use; makes output[0..size) */
	const void *context;
	const uint8_t *output;
	size_t size; /* at most KERNELS_SIZE */
};

/* Reads the command line of such a program, which says what it measures; ends it after --help and
 * errors. Rounds to run. */
unsigned kernels_options(int argc, char **argv, const char *what);

/* Bytes without structure, always the same. */
void kernels_noise(uint8_t *bytes, size_t size);

/* The head of a table, and a row of it: GB/s of output, and the ratio to memcpy. */
void kernels_print_head(const char *title);
void kernels_race(const struct kernel_task *task, unsigned rounds);

#endif
