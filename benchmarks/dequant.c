/* SPDX-License-Identifier: MIT */
/*
 * dequant.c - how fast one core turns codes into numbers, next to memcpy of as many bytes.
 *
 * What is written fits, with what memcpy reads, in a second-level cache. All contestants take turns
 * within each round, so that whatever else the machine does meets all of them; the best round of
 * each counts. Every output is compared with the reference's.
 */
#include "codec/dequant.h"
#include "codec/codec.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	OUT_SIZE = 128 << 10, /* what a large read asks for */
	REPEAT = 8,           /* times in a row between two looks at the clock */
	KERNELS_MAX = 8,
};

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "dequant: cannot %s\n", what);
	exit(1);
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Parameters of a whole tensor, or of each row of this length. */
struct shape {
	const char *title;
	size_t row_length; /* 0: a whole tensor */
};

static const struct shape shapes[] = {
    {"one scale and zero point", 0},
    {"one for each row of 4096", 4096},
    {"one for each row of 128", 128},
};

struct format {
	const char *title;
	int bits;
	enum dequant_type type;
};

static const struct format formats[] = {
    {"uint8 to F32", 8, DEQUANT_F32},   {"uint8 to F16", 8, DEQUANT_F16},
    {"uint8 to BF16", 8, DEQUANT_BF16}, {"uint4 to F32", 4, DEQUANT_F32},
    {"uint4 to F16", 4, DEQUANT_F16},   {"uint4 to BF16", 4, DEQUANT_BF16},
};

static uint8_t codes[OUT_SIZE], source[OUT_SIZE], expected[OUT_SIZE];
static _Alignas(64) uint8_t out[OUT_SIZE];
static struct dequant_params params[OUT_SIZE / 2 / 128];

static void expand(const struct format *format, const struct shape *shape)
{
	size_t count = OUT_SIZE / dequant_size(format->type);
	struct dequant_plan plan;

	if (shape->row_length > 0) {
		struct dequant_rows rows = {format->bits, format->type, shape->row_length, params};
		if (dequant_rows(&rows, codes, 0, count, out) != 0)
			fail("dequantize rows");
		return;
	}
	if (dequant_prepare(&plan, format->bits, format->type, params) != 0)
		fail("prepare a plan");
	dequant(&plan, codes, 0, count, out);
}

/* The best time of each kernel and, behind them, memcpy. */
static void race(const struct format *format, const struct shape *shape, unsigned rounds,
		 double best[KERNELS_MAX + 1])
{
	if (codec_use_kernel("reference") != 0)
		fail("use the reference");
	expand(format, shape);
	memcpy(expected, out, OUT_SIZE);
	for (unsigned round = 0; round <= rounds; round++) {
		unsigned k = 0;
		for (; codec_kernels[k]; k++) {
			/* The reference is too slow for every round, and the first is a rehearsal.
			 */
			int skipped = k == 0 && round % 64 != 1;
			if (round == 0)
				best[k] = INFINITY;
			if (skipped || codec_use_kernel(codec_kernels[k]->name) != 0)
				continue;
			memset(out, 0, OUT_SIZE);
			expand(format, shape);
			if (memcmp(out, expected, OUT_SIZE) != 0)
				fail("give the reference's numbers with a kernel");
			double start = seconds();
			for (unsigned i = 0; i < REPEAT; i++)
				expand(format, shape);
			best[k] = fmin(best[k], (seconds() - start) / REPEAT);
		}
		if (round == 0)
			best[k] = INFINITY;
		memcpy(out, source, OUT_SIZE);
		double start = seconds();
		for (unsigned i = 0; i < REPEAT; i++) {
			memcpy(out, source, OUT_SIZE);
			__asm__ volatile("" ::: "memory"); /* each of them counts */
		}
		best[k] = fmin(best[k], (seconds() - start) / REPEAT);
	}
}

static void print_names(void)
{
	unsigned kernels = 0;

	printf("| GB/s of output (x memcpy) |");
	for (; codec_kernels[kernels]; kernels++)
		printf(" %s |", codec_kernels[kernels]->name);
	printf(" memcpy |\n| --- |");
	for (unsigned k = 0; k <= kernels; k++)
		printf(" ---: |");
	printf("\n");
}

static void bench(const struct shape *shape, unsigned rounds)
{
	printf("%s\n\n", shape->title);
	print_names();
	for (size_t f = 0; f < sizeof(formats) / sizeof(formats[0]); f++) {
		double best[KERNELS_MAX + 1];
		unsigned k = 0, kernels = 0;
		race(&formats[f], shape, rounds, best);
		while (codec_kernels[kernels])
			kernels++;
		printf("| %s |", formats[f].title);
		for (; k < kernels; k++) {
			if (isinf(best[k]))
				printf(" |");
			else
				printf(" %.2f (%.2f) |", OUT_SIZE / best[k] / 1e9,
				       best[kernels] / best[k]);
		}
		printf(" %.2f |\n", OUT_SIZE / best[k] / 1e9);
	}
	printf("\n");
}

int main(int argc, char **argv)
{
	unsigned rounds = 400;
	uint32_t random = 1;

	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		printf("Usage: dequant [--quick]\n"
		       "One core's dequantizing speed as Markdown tables.\n");
		return 0;
	}
	if (argc == 2 && strcmp(argv[1], "--quick") == 0) {
		rounds = 40;
	} else if (argc != 1) {
		fprintf(stderr, "dequant: usage: dequant [--quick]\n");
		return 2;
	}
	for (size_t i = 0; i < OUT_SIZE; i++) {
		random = random * 1664525 + 1013904223;
		codes[i] = (uint8_t)(random >> 24);
		source[i] = codes[i];
	}
	for (size_t i = 0; i < sizeof(params) / sizeof(params[0]); i++) {
		random = random * 1664525 + 1013904223;
		params[i].scale = 0.002f + 0.001f * (float)(random >> 8) / 16777216;
		params[i].zero_point = (int32_t)(random % 16) + 120;
	}
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		bench(&shapes[i], rounds);
	return 0;
}
