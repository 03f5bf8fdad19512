/* SPDX-License-Identifier: MIT */
/*
 * planes.c - how fast one core splits records into planes and joins them, next to memcpy.
 *
 * Records and planes fit in a second-level cache together. All contestants take turns within each
 * round, so that whatever else the machine does meets all of them; medians of the rounds count.
 * What is split must be the reference's, and what is joined the records, or nothing is timed.
 */
#include "codec/planes.h"
#include "benchmarks/lib/measure.h"
#include "codec/codec.h"

#include <stdio.h>
#include <string.h>

enum {
	SIZE = 128 << 10, /* of the records, at most: what a large read asks for */
	REPEAT = 8,       /* times in a row between two looks at the clock */
	KERNELS_MAX = 8,
	SELDOM = 16, /* rounds between two of the reference's, which is slow */
};

struct shape {
	const char *title;
	struct planes planes;
};

static const struct shape shapes[] = {
    {"BF16, F16: 1 + 1, rotated", {.unit = 2, .word = 2, .count = 2, .size = {1, 1}}},
    {"1 + 1", {.unit = 2, .word = 0, .count = 2, .size = {1, 1}}},
    {"F32: 1 + 1 + 1 + 1, rotated", {.unit = 4, .word = 4, .count = 4, .size = {1, 1, 1, 1}}},
    {"F32: 2 + 1 + 1, rotated", {.unit = 4, .word = 4, .count = 3, .size = {2, 1, 1}}},
    {"18 = 1 + 1 + 16", {.unit = 18, .count = 3, .size = {1, 1, 16}}},
    {"34 = 1 + 1 + 32", {.unit = 34, .count = 3, .size = {1, 1, 32}}},
    {"144 = 1 + 1 + 1 + 1 + 12 + 128", {.unit = 144, .count = 6, .size = {1, 1, 1, 1, 12, 128}}},
    {"210 = 128 + 64 + 16 + 1 + 1", {.unit = 210, .count = 5, .size = {128, 64, 16, 1, 1}}},
};

static uint8_t source[SIZE];
static _Alignas(64) uint8_t records[SIZE], bytes[SIZE], expected[SIZE];

/* One shape's way into planes or out of them. */
struct task {
	const struct planes *planes;
	size_t n;
	uint8_t *parts[PLANES_COUNT_MAX]; /* one after the other in `bytes` */
	int joins;
};

static struct task task_of(const struct planes *planes, int joins)
{
	struct task task = {.planes = planes, .n = SIZE / planes->unit, .joins = joins};
	uint8_t *next = bytes;

	for (unsigned k = 0; k < planes->count; k++) {
		task.parts[k] = next;
		next += task.n * planes->size[k];
	}
	return task;
}

static void run(const struct task *task)
{
	if (task->joins)
		planes_join(task->planes, (const uint8_t *const *)task->parts, task->n, records);
	else
		planes_split(task->planes, source, task->n, task->parts);
}

static void verify(const struct task *task)
{
	const size_t size = task->n * task->planes->unit;

	if (task->joins) {
		memcpy(bytes, expected, size);
		memset(records, 0, size);
		run(task);
		if (memcmp(records, source, size) != 0)
			fail("join the planes with a kernel");
	} else {
		memset(bytes, 0, size);
		run(task);
		if (memcmp(bytes, expected, size) != 0)
			fail("split records as the reference does with a kernel");
	}
}

static double time_memcpy(void)
{
	memcpy(records, source, SIZE);
	double start = now();
	for (unsigned i = 0; i < REPEAT; i++) {
		memcpy(records, source, SIZE);
		__asm__ volatile("" ::: "memory"); /* each of them counts */
	}
	return (now() - start) / REPEAT;
}

static double time_task(const struct task *task)
{
	verify(task);
	double start = now();
	for (unsigned i = 0; i < REPEAT; i++)
		run(task);
	return (now() - start) / REPEAT;
}

/* Samples of each kernel and, behind them, memcpy. */
static void race(const struct task *task, unsigned rounds, struct samples samples[KERNELS_MAX + 1])
{
	struct task split = *task;

	split.joins = 0;
	if (codec_use_kernel("reference") != 0)
		fail("use the reference");
	run(&split);
	memcpy(expected, bytes, task->n * task->planes->unit);
	for (unsigned round = 0; round <= rounds; round++) {
		unsigned k = 0;
		for (; codec_kernels[k]; k++) {
			if (k == 0 && round % SELDOM != 1)
				continue;
			if (codec_use_kernel(codec_kernels[k]->name) != 0)
				continue;
			double seconds = time_task(task);
			if (round > 0) /* the first is a rehearsal */
				samples_add(&samples[k], seconds);
		}
		double seconds = time_memcpy();
		if (round > 0)
			samples_add(&samples[k], seconds);
	}
}

static void print_names(const char *title)
{
	unsigned kernels = 0;

	printf("| %s: GB/s (x memcpy) |", title);
	for (; codec_kernels[kernels]; kernels++)
		printf(" %s |", codec_kernels[kernels]->name);
	printf(" memcpy |\n| --- |");
	for (unsigned k = 0; k <= kernels; k++)
		printf(" ---: |");
	printf("\n");
}

static void bench(const struct shape *shape, int joins, unsigned rounds)
{
	struct task task = task_of(&shape->planes, joins);
	struct samples samples[KERNELS_MAX + 1] = {{0}};
	unsigned kernels = 0;

	while (codec_kernels[kernels])
		kernels++;
	race(&task, rounds, samples);
	double copied = SIZE / samples_median(&samples[kernels]) / 1e9;
	printf("| %s |", shape->title);
	for (unsigned k = 0; k < kernels; k++) {
		if (samples[k].count == 0) {
			printf(" |");
			continue;
		}
		double speed =
		    (double)(task.n * shape->planes.unit) / samples_median(&samples[k]) / 1e9;
		printf(" %.2f (%.2f) |", speed, speed / copied);
	}
	printf(" %.2f |\n", copied);
	for (unsigned k = 0; k <= kernels; k++)
		samples_free(&samples[k]);
}

int main(int argc, char **argv)
{
	unsigned rounds = 200;
	uint32_t random = 1;

	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		printf("Usage: planes [--quick]\n"
		       "One core's speed of splitting and joining records as Markdown tables.\n");
		return 0;
	}
	if (argc == 2 && strcmp(argv[1], "--quick") == 0) {
		rounds = 40;
	} else if (argc != 1) {
		fprintf(stderr, "planes: usage: planes [--quick]\n");
		return 2;
	}
	for (size_t i = 0; i < SIZE; i++) {
		random = random * 1664525 + 1013904223;
		source[i] = (uint8_t)(random >> 24);
	}
	for (int joins = 1; joins >= 0; joins--) {
		print_names(joins ? "joining" : "splitting");
		for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++)
			bench(&shapes[s], joins, rounds);
		printf("\n");
	}
	return 0;
}
