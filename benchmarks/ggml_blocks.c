/* SPDX-License-Identifier: MIT */
/*
 * ggml_blocks.c - how fast one core makes blocks of ggml from codes, next to memcpy.
 *
 * Codes and blocks fit in a second-level cache together. All contestants take turns within each
 * round, so that whatever else the machine does meets all of them; medians of the rounds count.
 * What is made must be what the reference makes, or nothing is timed.
 */
#include "codec/ggml_blocks.h"
#include "benchmarks/lib/measure.h"
#include "codec/codec.h"

#include <stdio.h>
#include <string.h>

enum {
	SIZE = 128 << 10, /* of the blocks, at most: what a large read asks for */
	REPEAT = 8,       /* times in a row between two looks at the clock */
	KERNELS_MAX = 8,
	SELDOM = 16, /* rounds between two of the reference's, which is slow */
};

struct contest {
	const char *title;
	unsigned type;
	int32_t zero_point;
};

static const struct contest contests[] = {
    {"uint8 to Q8_0", GGML_Q8_0, 128},
    {"uint4 to Q4_0", GGML_Q4_0, 8},
    {"uint4 to Q4_1", GGML_Q4_1, 7},
};

static _Alignas(64) uint8_t codes[SIZE], out[SIZE], expected[SIZE];

static double time_memcpy(void)
{
	memcpy(out, codes, SIZE);
	double start = now();
	for (unsigned i = 0; i < REPEAT; i++) {
		memcpy(out, codes, SIZE);
		__asm__ volatile("" ::: "memory"); /* each of them counts */
	}
	return (now() - start) / REPEAT;
}

static double time_blocks(const struct ggml_blocks *blocks, size_t n)
{
	memset(out, 0, n * blocks->size);
	ggml_blocks_put(blocks, codes, n, out);
	if (memcmp(out, expected, n * blocks->size) != 0)
		fail("make the blocks that the reference makes with a kernel");
	double start = now();
	for (unsigned i = 0; i < REPEAT; i++)
		ggml_blocks_put(blocks, codes, n, out);
	return (now() - start) / REPEAT;
}

/* Samples of each kernel and, behind them, memcpy. */
static void race(const struct ggml_blocks *blocks, size_t n, unsigned rounds,
		 struct samples samples[KERNELS_MAX + 1])
{
	if (codec_use_kernel("reference") != 0)
		fail("use the reference");
	ggml_blocks_put(blocks, codes, n, expected);
	for (unsigned round = 0; round <= rounds; round++) {
		unsigned k = 0;
		for (; codec_kernels[k]; k++) {
			if ((k == 0 && round % SELDOM != 1) ||
			    codec_use_kernel(codec_kernels[k]->name) != 0)
				continue;
			double seconds = time_blocks(blocks, n);
			if (round > 0) /* the first is a rehearsal */
				samples_add(&samples[k], seconds);
		}
		double seconds = time_memcpy();
		if (round > 0)
			samples_add(&samples[k], seconds);
	}
}

static void bench(const struct contest *contest, unsigned rounds)
{
	struct samples samples[KERNELS_MAX + 1] = {{0}};
	struct ggml_blocks blocks;
	unsigned kernels = 0;

	while (codec_kernels[kernels])
		kernels++;
	if (ggml_blocks_prepare(&blocks, contest->type, 0.03125f, contest->zero_point) != 0)
		fail("make blocks of that type");
	size_t n = (size_t)SIZE / blocks.size;
	race(&blocks, n, rounds, samples);
	double copied = SIZE / samples_median(&samples[kernels]) / 1e9;
	printf("| %s |", contest->title);
	for (unsigned k = 0; k < kernels; k++) {
		if (samples[k].count == 0) {
			printf(" |");
			continue;
		}
		double speed = (double)(n * blocks.size) / samples_median(&samples[k]) / 1e9;
		printf(" %.2f (%.2f) |", speed, speed / copied);
	}
	printf(" %.2f |\n", copied);
	for (unsigned k = 0; k <= kernels; k++)
		samples_free(&samples[k]);
}

int main(int argc, char **argv)
{
	unsigned rounds = 200, kernels = 0;
	uint32_t random = 1;

	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		printf("Usage: ggml_blocks [--quick]\n"
		       "One core's speed of making blocks of ggml as a Markdown table.\n");
		return 0;
	}
	if (argc == 2 && strcmp(argv[1], "--quick") == 0) {
		rounds = 40;
	} else if (argc != 1) {
		fprintf(stderr, "ggml_blocks: usage: ggml_blocks [--quick]\n");
		return 2;
	}
	for (size_t i = 0; i < SIZE; i++) {
		random = random * 1664525 + 1013904223;
		codes[i] = (uint8_t)(random >> 24);
	}
	printf("| making blocks: GB/s (x memcpy) |");
	for (; codec_kernels[kernels]; kernels++)
		printf(" %s |", codec_kernels[kernels]->name);
	printf(" memcpy |\n| --- |");
	for (unsigned k = 0; k <= kernels; k++)
		printf(" ---: |");
	printf("\n");
	for (size_t i = 0; i < sizeof(contests) / sizeof(contests[0]); i++)
		bench(&contests[i], rounds);
	return 0;
}
