/* SPDX-License-Identifier: MIT */
/* kernels.c - takes turns between kernels; see kernels.h. */
#include "benchmarks/lib/kernels.h"

#include "benchmarks/lib/measure.h"
#include "codec/codec.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	ROUNDS = 200,
	ROUNDS_QUICK = 40,
	REPEAT = 8, /* times in a row between two looks at the clock */
	KERNELS_MAX = 8,
	SELDOM = 16, /* rounds between two of the reference's, which is slow */
};

static _Alignas(64) uint8_t copied[KERNELS_SIZE], expected[KERNELS_SIZE];

unsigned kernels_options(int argc, char **argv, const char *what)
{
	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		printf("Usage: %s [--quick]\nOne core's speed of %s, as Markdown.\n",
		       program_invocation_short_name, what);
		exit(0);
	}
	if (argc == 2 && strcmp(argv[1], "--quick") == 0)
		return ROUNDS_QUICK;
	if (argc == 1)
		return ROUNDS;
	fprintf(stderr, "%s: usage: %s [--quick]\n", program_invocation_short_name,
		program_invocation_short_name);
	exit(2);
}

void kernels_noise(uint8_t *bytes, size_t size)
{
	uint32_t random = 1;

	for (size_t i = 0; i < size; i++) {
		random = random * 1664525 + 1013904223;
		bytes[i] = (uint8_t)(random >> 24);
	}
}

static unsigned kernel_count(void)
{
	unsigned count = 0;

	while (codec_kernels[count])
		count++;
	if (count > KERNELS_MAX)
		fail("race so many kernels");
	return count;
}

void kernels_print_head(const char *title)
{
	unsigned kernels = kernel_count();

	printf("| %s: GB/s (x memcpy) |", title);
	for (unsigned k = 0; k < kernels; k++)
		printf(" %s |", codec_kernels[k]->name);
	printf(" memcpy |\n| --- |");
	for (unsigned k = 0; k <= kernels; k++)
		printf(" ---: |");
	printf("\n");
}

static double time_memcpy(const struct kernel_task *task)
{
	memcpy(copied, expected, task->size);
	double start = now();
	for (unsigned i = 0; i < REPEAT; i++) {
		memcpy(copied, expected, task->size);
		__asm__ volatile("" ::: "memory"); /* each of them counts */
	}
	return (now() - start) / REPEAT;
}

static double time_task(const struct kernel_task *task)
{
	task->run(task->context);
	if (memcmp(task->output, expected, task->size) != 0)
		fail("make what the reference makes with a kernel");
	double start = now();
	for (unsigned i = 0; i < REPEAT; i++)
		task->run(task->context);
	return (now() - start) / REPEAT;
}

/* A round: a sample of each kernel that this processor has and, behind them, of memcpy. The first
 * is a rehearsal. */
static void take_turns(const struct kernel_task *task, unsigned round,
		       struct samples samples[KERNELS_MAX + 1])
{
	unsigned kernels = kernel_count();

	for (unsigned k = 0; k <= kernels; k++) {
		if ((k == 0 && round % SELDOM != 1) ||
		    (k < kernels && codec_use_kernel(codec_kernels[k]->name) != 0))
			continue;
		double seconds = k < kernels ? time_task(task) : time_memcpy(task);
		if (round > 0)
			samples_add(&samples[k], seconds);
	}
}

void kernels_race(const struct kernel_task *task, unsigned rounds)
{
	struct samples samples[KERNELS_MAX + 1] = {{0}};
	unsigned kernels = kernel_count();

	if (codec_use_kernel("reference") != 0)
		fail("use the reference");
	task->run(task->context);
	memcpy(expected, task->output, task->size);
	for (unsigned round = 0; round <= rounds; round++)
		take_turns(task, round, samples);
	double copying = samples_median(&samples[kernels]);
	printf("| %s |", task->title);
	for (unsigned k = 0; k < kernels; k++) {
		if (samples[k].count == 0) {
			printf(" |");
			continue;
		}
		double seconds = samples_median(&samples[k]);
		printf(" %.2f (%.2f) |", (double)task->size / seconds / 1e9, copying / seconds);
	}
	printf(" %.2f |\n", (double)task->size / copying / 1e9);
	for (unsigned k = 0; k <= kernels; k++)
		samples_free(&samples[k]);
}
