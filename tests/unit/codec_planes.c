/* SPDX-License-Identifier: MIT */
/*
 * codec_planes.c - records become the planes that the definition says, and come back, with every
 * kernel.
 *
 * All kernels, the reference included, are held to a splitter of this file's own, which rotates
 * words as numbers, and to examples written down byte by byte.
 */
#include "codec/codec.h"
#include "codec/planes_kernels.h"
#include "tests/unit/codec_util.h"

#include <criterion/criterion.h>

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

enum { PATTERN = 0xa5 };

/* The shapes that kernels have functions for, and near misses of them. */
static const struct planes numbers[] = {
    {.unit = 2, .word = 0, .count = 2, .size = {1, 1}},
    {.unit = 2, .word = 2, .count = 2, .size = {1, 1}},
    {.unit = 4, .word = 0, .count = 4, .size = {1, 1, 1, 1}},
    {.unit = 4, .word = 4, .count = 4, .size = {1, 1, 1, 1}},
    {.unit = 4, .word = 0, .count = 3, .size = {2, 1, 1}},
    {.unit = 4, .word = 4, .count = 3, .size = {2, 1, 1}},
    {.unit = 4, .word = 2, .count = 4, .size = {1, 1, 1, 1}},
    {.unit = 4, .word = 2, .count = 3, .size = {2, 1, 1}},
    {.unit = 4, .word = 4, .count = 3, .size = {1, 2, 1}},
    {.unit = 4, .word = 4, .count = 3, .size = {1, 1, 2}},
    {.unit = 4, .word = 4, .count = 2, .size = {2, 2}},
    {.unit = 4, .word = 0, .count = 2, .size = {3, 1}},
    {.unit = 2, .word = 2, .count = 1, .size = {2}},
    {.unit = 3, .word = 0, .count = 2, .size = {2, 1}},
    {.unit = 1, .word = 0, .count = 1, .size = {1}},
};

/* Blocks of GGUF, the largest record there is, and words that fields cut. */
static const struct planes blocks[] = {
    {.unit = 34, .word = 0, .count = 3, .size = {1, 1, 32}},
    {.unit = 18, .word = 0, .count = 3, .size = {1, 1, 16}},
    {.unit = 144, .word = 0, .count = 6, .size = {1, 1, 1, 1, 12, 128}},
    {.unit = 210, .word = 0, .count = 5, .size = {128, 64, 16, 1, 1}},
    {.unit = 1024, .word = 4, .count = 1, .size = {1024}},
    {.unit = 1024, .word = 0, .count = 2, .size = {1, 1023}},
    {.unit = 6, .word = 2, .count = 2, .size = {3, 3}},
    {.unit = 12, .word = 4, .count = 3, .size = {5, 1, 6}},
};

/* The definition: each word as a number, rotated; then a byte at a time to the end of its plane. */
static void split_slowly(const struct planes *planes, const uint8_t *records, size_t n,
			 uint8_t *const parts[])
{
	const unsigned word = planes->word, bits = 8 * word;
	size_t written[PLANES_COUNT_MAX] = {0};

	for (size_t r = 0; r < n; r++) {
		uint8_t record[PLANES_UNIT_MAX];
		memcpy(record, records + r * planes->unit, planes->unit);
		for (unsigned at = 0; word > 0 && at < planes->unit; at += word) {
			uint64_t number = 0;
			for (unsigned i = 0; i < word; i++)
				number += (uint64_t)record[at + i] << 8 * i;
			number = number * 2 % (UINT64_C(1) << bits) +
				 number / (UINT64_C(1) << (bits - 1));
			for (unsigned i = 0; i < word; i++)
				record[at + i] = (uint8_t)(number >> 8 * i);
		}
		unsigned k = 0, left = planes->size[0];
		for (unsigned i = 0; i < planes->unit; i++) {
			if (left == 0)
				left = planes->size[++k];
			parts[k][written[k]++] = record[i];
			left--;
		}
	}
}

/* Splitting and joining n records with the kernel in use, next to pages that nothing may touch. */
struct stage {
	const struct planes *planes;
	struct guarded memory[PLANES_COUNT_MAX + 1]; /* of the planes, and of the records */
	uint8_t *expected;                           /* all planes, one after the other */
	int start;                                   /* what must not be touched lies before */
	size_t most;                                 /* records */
};

static size_t stage_size(const struct stage *stage, unsigned k)
{
	return k < stage->planes->count ? stage->planes->size[k] : stage->planes->unit;
}

static struct stage stage_open(const struct planes *planes, size_t most, int start)
{
	struct stage stage = {.planes = planes, .start = start, .most = most};

	cr_assert(planes_valid(planes));
	stage.expected = malloc(most * planes->unit);
	cr_assert_not_null(stage.expected);
	/* A byte more than is needed tells what is written on the other side. */
	for (unsigned k = 0; k <= planes->count; k++)
		stage.memory[k] = guarded_create_at(most * stage_size(&stage, k) + 1, start);
	return stage;
}

static void stage_close(struct stage *stage)
{
	for (unsigned k = 0; k <= stage->planes->count; k++)
		guarded_destroy(&stage->memory[k]);
	free(stage->expected);
}

/* Where n fields of plane k, or n records, go. */
static uint8_t *stage_place(const struct stage *stage, unsigned k, size_t n)
{
	const struct guarded *memory = &stage->memory[k];

	return memory->bytes + (stage->start ? 0 : memory->size - n * stage_size(stage, k));
}

/* The byte on the side where there is no guard. */
static uint8_t stage_neighbour(const struct stage *stage, unsigned k, size_t n)
{
	uint8_t *place = stage_place(stage, k, n);

	return stage->start ? place[n * stage_size(stage, k)] : place[-1];
}

static void stage_clear(const struct stage *stage, unsigned k)
{
	memset(stage->memory[k].bytes, PATTERN, stage->memory[k].size);
}

static void stage_run(const struct stage *stage, const char *kernel, const uint8_t *source,
		      size_t n)
{
	const struct planes *planes = stage->planes;
	const unsigned count = planes->count;
	uint8_t *parts[PLANES_COUNT_MAX], *expected[PLANES_COUNT_MAX], *next = stage->expected;
	uint8_t *records = stage_place(stage, count, n);

	for (unsigned k = 0; k < count; k++) {
		parts[k] = stage_place(stage, k, n);
		expected[k] = next;
		next += n * planes->size[k];
		stage_clear(stage, k);
	}
	split_slowly(planes, source, n, expected);
	stage_clear(stage, count);
	memcpy(records, source, n * planes->unit);

	planes_split(planes, records, n, parts);
	for (unsigned k = 0; k < count; k++) {
		cr_assert(memcmp(parts[k], expected[k], n * planes->size[k]) == 0,
			  "%s, unit %u, word %u: plane %u of %zu", kernel, planes->unit,
			  planes->word, k, n);
		cr_assert_eq(stage_neighbour(stage, k, n), PATTERN);
	}

	stage_clear(stage, count);
	planes_join(planes, (const uint8_t *const *)parts, n, records);
	cr_assert(memcmp(records, source, n * planes->unit) == 0,
		  "%s, unit %u, word %u: %zu joined", kernel, planes->unit, planes->word, n);
	cr_assert_eq(stage_neighbour(stage, count, n), PATTERN);
}

/* Bytes of which no two neighbours, and no two some power of two apart, go together. */
static const uint8_t *random_bytes(size_t size)
{
	static uint8_t bytes[512 << 10];

	cr_assert_leq(size, sizeof(bytes));
	codec_fill(SHAPE_FLAT, bytes, sizeof(bytes), 11);
	return bytes;
}

/* Every length up to `most`, beside either guard, with every kernel. */
static void check_lengths(const struct planes *planes, size_t most)
{
	const uint8_t *source = random_bytes((most + 1) * planes->unit);

	for (int start = 0; start < 2; start++) {
		struct stage stage = stage_open(planes, most, start);
		unsigned i = 0;
		for (const char *kernel; (kernel = codec_next_kernel(&i));)
			for (size_t n = 0; n <= most; n++)
				stage_run(&stage, kernel, source + n % planes->unit, n);
		stage_close(&stage);
	}
}

Test(codec_planes, numbers_of_any_count)
{
	for (size_t s = 0; s < LENGTH(numbers); s++)
		check_lengths(&numbers[s], 300);
}

Test(codec_planes, blocks_of_any_count)
{
	for (size_t s = 0; s < LENGTH(blocks); s++)
		check_lengths(&blocks[s], 40);
}

/* Fields of every size, each beside another: all ways of copying one. */
Test(codec_planes, fields_of_any_size)
{
	for (unsigned size = 1; size <= 300; size++) {
		struct planes planes = {
		    .unit = (uint16_t)(size + 3), .count = 3, .size = {1, (uint16_t)size, 2}};
		check_lengths(&planes, 5);
	}
}

static struct planes random_planes(uint32_t *state)
{
	struct planes planes = {0};
	unsigned sum = 0;

	planes.count = (uint8_t)(1 + codec_random(state) % PLANES_COUNT_MAX);
	for (unsigned k = 0; k < PLANES_COUNT_MAX; k++) {
		unsigned limit = 1u << codec_random(state) % 7;
		planes.size[k] = (uint16_t)(1 + codec_random(state) % limit);
		sum += k < planes.count ? planes.size[k] : 0;
	}
	if (codec_random(state) % 3 > 0) {
		planes.word = codec_random(state) % 2 ? 2 : 4;
		unsigned more = (planes.word - sum % planes.word) % planes.word;
		planes.size[0] = (uint16_t)(planes.size[0] + more);
		sum += more;
	}
	planes.unit = (uint16_t)sum;
	return planes;
}

Test(codec_planes, random_shapes)
{
	uint32_t state = 12;

	for (unsigned tries = 0; tries < 300;) {
		struct planes planes = random_planes(&state);
		unsigned i = 0;
		if (!planes_valid(&planes)) /* 16 long fields */
			continue;
		size_t n = codec_random(&state) % (20000u / planes.unit + 2);
		const uint8_t *source = random_bytes(n * planes.unit);
		struct stage stage = stage_open(&planes, n, tries++ % 2 == 0);
		for (const char *kernel; (kernel = codec_next_kernel(&i));)
			stage_run(&stage, kernel, source, n);
		stage_close(&stage);
	}
}

/* As a file is read, and far more than a batch. */
Test(codec_planes, many_records)
{
	for (size_t s = 0; s < LENGTH(numbers) + LENGTH(blocks); s++) {
		const struct planes *planes =
		    s < LENGTH(numbers) ? &numbers[s] : &blocks[s - LENGTH(numbers)];
		size_t n = (256 << 10) / planes->unit;
		struct stage stage = stage_open(planes, n, 0);
		unsigned i = 0;
		for (const char *kernel; (kernel = codec_next_kernel(&i));)
			stage_run(&stage, kernel, random_bytes(n * planes->unit), n);
		stage_close(&stage);
	}
}

/* Two records and their planes, one after the other. */
struct example {
	struct planes planes;
	uint8_t records[2 * 6], parts[2 * 6];
};

static const struct example examples[] = {
    /* no words: fields of one and of two bytes */
    {{.unit = 3, .word = 0, .count = 2, .size = {1, 2}},
     {0x01, 0x02, 0x83, 0x04, 0x85, 0x06},
     {0x01, 0x04, /**/ 0x02, 0x83, 0x85, 0x06}},
    /* BF16 1.0 and -1.0: 0x3f80 becomes 0x7f00, 0xbf80 becomes 0x7f01 */
    {{.unit = 2, .word = 2, .count = 2, .size = {1, 1}},
     {0x80, 0x3f, 0x80, 0xbf},
     {0x00, 0x01, /**/ 0x7f, 0x7f}},
    /* F16 1.5 and -2.0: 0x3e00 becomes 0x7c00, 0xc000 becomes 0x8001 */
    {{.unit = 2, .word = 2, .count = 2, .size = {1, 1}},
     {0x00, 0x3e, 0x00, 0xc0},
     {0x00, 0x01, /**/ 0x7c, 0x80}},
    /* F32 -1.5 and pi: 0xbfc00000 becomes 0x7f800001, 0x40490fdb becomes 0x80921fb6 */
    {{.unit = 4, .word = 4, .count = 4, .size = {1, 1, 1, 1}},
     {0x00, 0x00, 0xc0, 0xbf, 0xdb, 0x0f, 0x49, 0x40},
     {0x01, 0xb6, /**/ 0x00, 0x1f, /**/ 0x80, 0x92, /**/ 0x7f, 0x80}},
    {{.unit = 4, .word = 4, .count = 3, .size = {2, 1, 1}},
     {0x00, 0x00, 0xc0, 0xbf, 0xdb, 0x0f, 0x49, 0x40},
     {0x01, 0x00, 0xb6, 0x1f, /**/ 0x80, 0x92, /**/ 0x7f, 0x80}},
    /* Three words a record, of which the middle one is in both fields: 0x8001 becomes 0x0003,
     * 0x1234 0x2468, 0xffff itself; 0x0080 0x0100, 0xc000 0x8001, 0x4321 0x8642 */
    {{.unit = 6, .word = 2, .count = 2, .size = {3, 3}},
     {0x01, 0x80, 0x34, 0x12, 0xff, 0xff, 0x80, 0x00, 0x00, 0xc0, 0x21, 0x43},
     {0x03, 0x00, 0x68, 0x00, 0x01, 0x01, /**/ 0x24, 0xff, 0xff, 0x80, 0x42, 0x86}},
};

Test(codec_planes, examples)
{
	unsigned i = 0;

	for (const char *kernel; (kernel = codec_next_kernel(&i));) {
		for (size_t e = 0; e < LENGTH(examples); e++) {
			const struct example *example = &examples[e];
			const struct planes *planes = &example->planes;
			uint8_t bytes[12] = {0}, records[12] = {0}, *parts[4] = {0};
			for (unsigned k = 0, at = 0; k < planes->count; k++) {
				parts[k] = bytes + at;
				at += 2u * planes->size[k];
			}
			planes_split(planes, example->records, 2, parts);
			cr_assert(memcmp(bytes, example->parts, 12) == 0, "%s, %zu", kernel, e);
			planes_join(planes, (const uint8_t *const *)parts, 2, records);
			cr_assert(memcmp(records, example->records, 12) == 0, "%s, %zu", kernel, e);
		}
	}
}

Test(codec_planes, none_of_nothing)
{
	uint8_t *nowhere[PLANES_COUNT_MAX] = {NULL};
	unsigned i = 0;

	while (codec_next_kernel(&i)) {
		for (size_t s = 0; s < LENGTH(numbers); s++) {
			planes_split(&numbers[s], NULL, 0, nowhere);
			planes_join(&numbers[s], (const uint8_t *const *)nowhere, 0, NULL);
		}
	}
}

Test(codec_planes, valid)
{
	struct planes planes = {.unit = PLANES_UNIT_MAX, .count = PLANES_COUNT_MAX};

	for (size_t s = 0; s < LENGTH(blocks); s++)
		cr_assert(planes_valid(&blocks[s]));
	for (unsigned k = 0; k < PLANES_COUNT_MAX; k++)
		planes.size[k] = PLANES_UNIT_MAX / PLANES_COUNT_MAX;
	cr_assert(planes_valid(&planes));
	/* What is behind the last field says nothing. */
	planes = (struct planes){.unit = 5, .count = 2, .size = {2, 3, 0, 0xffff}};
	cr_assert(planes_valid(&planes));
}

Test(codec_planes, not_valid)
{
	static const struct planes refused[] = {
	    {.unit = 0, .count = 0},
	    {.unit = 4, .count = 0, .size = {4}},
	    {.unit = 0, .count = 1, .size = {0}},
	    {.unit = 4, .count = 2, .size = {4, 0}},
	    {.unit = 4, .count = 2, .size = {0, 4}},
	    {.unit = 4, .count = 2, .size = {1, 2}},
	    {.unit = 4, .count = 2, .size = {1, 4}},
	    {.unit = 4, .count = 2, .size = {0xffff, 5}}, /* 4 in 16 bits */
	    {.unit = 1025, .count = 2, .size = {1024, 1}},
	    {.unit = 0xffff, .count = 1, .size = {0xffff}},
	    {.unit = 4, .word = 1, .count = 1, .size = {4}},
	    {.unit = 6, .word = 3, .count = 1, .size = {6}},
	    {.unit = 8, .word = 8, .count = 1, .size = {8}},
	    {.unit = 4, .word = 0xff, .count = 1, .size = {4}},
	    {.unit = 3, .word = 2, .count = 1, .size = {3}},
	    {.unit = 6, .word = 4, .count = 2, .size = {4, 2}},
	};
	struct planes many = {.unit = 17, .count = 17};

	for (size_t s = 0; s < LENGTH(refused); s++)
		cr_assert_not(planes_valid(&refused[s]), "%zu", s);
	for (unsigned k = 0; k < PLANES_COUNT_MAX; k++)
		many.size[k] = 1;
	cr_assert_not(planes_valid(&many));
	many.count = 255;
	many.unit = 255;
	cr_assert_not(planes_valid(&many));
}
