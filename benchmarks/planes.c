/* SPDX-License-Identifier: MIT */
/* planes.c - how fast one core splits records into planes and joins them; see lib/kernels.h. */
#include "codec/planes.h"
#include "benchmarks/lib/kernels.h"

#include <stdio.h>

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

static _Alignas(64) uint8_t source[KERNELS_SIZE], records[KERNELS_SIZE], bytes[KERNELS_SIZE];

/* One shape's way into planes and out of them. */
struct ways {
	const struct planes *planes;
	size_t n;
	uint8_t *parts[PLANES_COUNT_MAX]; /* one after the other in `bytes` */
};

static struct ways ways_of(const struct planes *planes)
{
	struct ways ways = {.planes = planes, .n = KERNELS_SIZE / planes->unit};
	uint8_t *next = bytes;

	for (unsigned k = 0; k < planes->count; k++) {
		ways.parts[k] = next;
		next += ways.n * planes->size[k];
	}
	return ways;
}

static void split(const void *context)
{
	const struct ways *ways = context;

	planes_split(ways->planes, source, ways->n, ways->parts);
}

static void join(const void *context)
{
	const struct ways *ways = context;

	planes_join(ways->planes, (const uint8_t *const *)ways->parts, ways->n, records);
}

int main(int argc, char **argv)
{
	unsigned rounds = kernels_options(argc, argv, "splitting and joining records");

	kernels_noise(source, sizeof(source));
	kernels_noise(bytes, sizeof(bytes)); /* any planes are those of some records */
	for (int joins = 1; joins >= 0; joins--) {
		kernels_print_head(joins ? "joining" : "splitting");
		for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++) {
			const struct ways ways = ways_of(&shapes[s].planes);
			const struct kernel_task task = {shapes[s].title, joins ? join : split,
							 &ways, joins ? records : bytes,
							 ways.n * shapes[s].planes.unit};
			kernels_race(&task, rounds);
		}
		puts("");
	}
	return 0;
}
