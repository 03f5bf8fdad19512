/* SPDX-License-Identifier: MIT */
/* measure.c - see measure.h. */
#include "benchmarks/lib/measure.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void fail(const char *what)
{
	fflush(stdout);
	fprintf(stderr, "%s: cannot %s\n", program_invocation_short_name, what);
	exit(1);
}

void *allocate(size_t size)
{
	void *memory = aligned_alloc(64, (size + 63) / 64 * 64 + 64);

	if (!memory)
		fail("allocate memory");
	return memory;
}

double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

#if defined(__x86_64__)
#define LINK "xor %1, %0\n\t"
#elif defined(__aarch64__)
#define LINK "eor %0, %0, %1\n\t"
#endif

#ifdef LINK
#define LINKS10 LINK LINK LINK LINK LINK LINK LINK LINK LINK LINK
enum { CHAIN_LINKS = 20, CHAIN_TURNS = 10000, CHAIN_TRIES = 5 };

/* The best of some tries: an interruption makes a chain longer, nothing makes it shorter. */
double measure_clock(void)
{
	uint64_t word = 1, other = 0x5555;
	double best = 1;

	for (unsigned try = 0; try < CHAIN_TRIES; try++) {
		double start = now();
		for (unsigned turn = 0; turn < CHAIN_TURNS; turn++)
			__asm__ volatile(LINKS10 LINKS10 : "+r"(word) : "r"(other));
		double taken = now() - start;
		if (taken < best)
			best = taken;
	}
	return CHAIN_LINKS * CHAIN_TURNS / best;
}
#else
double measure_clock(void)
{
	return 0;
}
#endif

void samples_add(struct samples *samples, double seconds)
{
	if (samples->count == samples->capacity) {
		samples->capacity = 2 * samples->capacity + 8;
		samples->seconds =
		    realloc(samples->seconds, samples->capacity * sizeof *samples->seconds);
		if (!samples->seconds)
			fail("allocate memory");
	}
	samples->seconds[samples->count++] = seconds;
}

void samples_free(struct samples *samples)
{
	free(samples->seconds);
	*samples = (struct samples){NULL, 0, 0};
}

double samples_best(const struct samples *samples)
{
	double best = samples->seconds[0];

	for (unsigned i = 1; i < samples->count; i++)
		if (samples->seconds[i] < best)
			best = samples->seconds[i];
	return best;
}

static int compare(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

double samples_median(const struct samples *samples)
{
	unsigned count = samples->count;
	double *sorted = allocate(count * sizeof *sorted), median;

	memcpy(sorted, samples->seconds, count * sizeof *sorted);
	qsort(sorted, count, sizeof *sorted, compare);
	median = (sorted[(count - 1) / 2] + sorted[count / 2]) / 2;
	free(sorted);
	return median;
}
