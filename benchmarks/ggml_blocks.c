/* SPDX-License-Identifier: MIT */
/* ggml_blocks.c - how fast one core makes blocks of ggml from codes; see lib/kernels.h. */
#include "codec/ggml_blocks.h"
#include "benchmarks/lib/kernels.h"
#include "benchmarks/lib/measure.h"

static const struct {
	const char *title;
	unsigned type;
	int32_t zero_point;
} contests[] = {
    {"uint8 to Q8_0", GGML_Q8_0, 128},
    {"uint4 to Q4_0", GGML_Q4_0, 8},
    {"uint4 to Q4_1", GGML_Q4_1, 7},
};

static _Alignas(64) uint8_t codes[KERNELS_SIZE], out[KERNELS_SIZE];

static void run(const void *context)
{
	const struct ggml_blocks *blocks = context;

	ggml_blocks_put(blocks, codes, (size_t)KERNELS_SIZE / blocks->size, out);
}

int main(int argc, char **argv)
{
	unsigned rounds = kernels_options(argc, argv, "making blocks of ggml");

	kernels_noise(codes, sizeof(codes));
	kernels_print_head("making blocks");
	for (size_t i = 0; i < sizeof(contests) / sizeof(contests[0]); i++) {
		struct ggml_blocks blocks;

		if (ggml_blocks_prepare(&blocks, contests[i].type, 0.03125f,
					contests[i].zero_point) != 0)
			fail("make blocks of that type");
		const struct kernel_task task = {contests[i].title, run, &blocks, out,
						 (size_t)KERNELS_SIZE / blocks.size * blocks.size};
		kernels_race(&task, rounds);
	}
	return 0;
}
