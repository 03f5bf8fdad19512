/* SPDX-License-Identifier: MIT */
/* dequant.c - how fast one core turns codes into numbers; see lib/kernels.h. */
#include "codec/dequant.h"
#include "benchmarks/lib/kernels.h"
#include "benchmarks/lib/measure.h"

#include <stdio.h>

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

static uint8_t codes[KERNELS_SIZE];
static _Alignas(64) uint8_t out[KERNELS_SIZE];
static struct dequant_params params[KERNELS_SIZE / 2 / 128];

struct contest {
	const struct shape *shape;
	const struct format *format;
};

static void expand(const void *context)
{
	const struct contest *contest = context;
	const struct format *format = contest->format;
	size_t count = KERNELS_SIZE / dequant_size(format->type);
	struct dequant_plan plan;

	if (contest->shape->row_length > 0) {
		struct dequant_rows rows = {format->bits, format->type, contest->shape->row_length,
					    params};
		if (dequant_rows(&rows, codes, 0, count, out) != 0)
			fail("dequantize rows");
		return;
	}
	if (dequant_prepare(&plan, format->bits, format->type, params) != 0)
		fail("prepare a plan");
	dequant(&plan, codes, 0, count, out);
}

int main(int argc, char **argv)
{
	unsigned rounds = kernels_options(argc, argv, "dequantizing");

	kernels_noise(codes, sizeof(codes));
	for (size_t i = 0; i < sizeof(params) / sizeof(params[0]); i++) {
		params[i].scale = 0.002f + 0.001f * (float)codes[i] / 256;
		params[i].zero_point = (int32_t)(codes[i] % 16) + 120;
	}
	for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++) {
		printf("%s\n\n", shapes[s].title);
		kernels_print_head("output");
		for (size_t f = 0; f < sizeof(formats) / sizeof(formats[0]); f++) {
			const struct contest contest = {&shapes[s], &formats[f]};
			const struct kernel_task task = {formats[f].title, expand, &contest, out,
							 KERNELS_SIZE};
			kernels_race(&task, rounds);
		}
		printf("\n");
	}
	return 0;
}
