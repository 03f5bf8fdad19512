/* SPDX-License-Identifier: MIT */
/*
 * codec_ggml_blocks.c - blocks that ggml would make the codes' numbers of, with every kernel.
 *
 * All kernels, the reference included, are held to a reader of blocks of this file's own, which
 * computes as ggml does, to examples written down byte by byte, and to each other.
 */
#include "codec/codec.h"
#include "codec/ggml_blocks_kernels.h"
#include "tests/unit/codec_util.h"

#include <criterion/criterion.h>

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

enum { PATTERN = 0xa5 };

static const struct case_of_type {
	unsigned type;
	float scale;
	int32_t zero_point;
} cases[] = {
    {GGML_Q8_0, 0.0123291015625f, 128}, {GGML_Q8_0, -0x1p-24f, 128}, {GGML_Q4_0, 65504.0f, 8},
    {GGML_Q4_0, -0x1.554p-5f, 8},       {GGML_Q4_1, 0x1.54p-7f, 15}, {GGML_Q4_1, -0x1.ffcp3f, 0},
    {GGML_Q4_1, 0x1.fcp-8f, 11},
};

static float number_of_half(const uint8_t *bytes)
{
	unsigned bits = bytes[0] | (unsigned)bytes[1] << 8;
	unsigned exponent = bits >> 10 & 31, fraction = bits & 1023;
	float number = exponent ? ldexpf((float)(1024 + fraction), (int)exponent - 25)
				: ldexpf((float)fraction, -24);

	cr_assert_neq(exponent, 31);
	return bits >> 15 ? -number : number;
}

/* Element j of a block, in F32 as ggml computes it. */
static float element_of(unsigned type, const uint8_t *block, unsigned j)
{
	float d = number_of_half(block);

	if (type == GGML_Q8_0)
		return d * (float)(int8_t)block[2 + j];
	const uint8_t *codes = block + (type == GGML_Q4_0 ? 2 : 4);
	int code = j < 16 ? codes[j] & 15 : codes[j - 16] >> 4;
	if (type == GGML_Q4_0)
		return d * (float)(code - 8);
	return d * (float)code + number_of_half(block + 2);
}

static unsigned code_at(unsigned bits, const uint8_t *codes, size_t i)
{
	return bits == 8 ? codes[i] : i % 2 ? codes[i / 2] >> 4 : codes[i / 2] & 15;
}

/* The blocks of n times 32 codes are the codes' numbers, nothing else is written, nor read. */
static void check_blocks(const struct case_of_type *one, const char *kernel, size_t n, int start)
{
	struct ggml_blocks blocks;
	cr_assert_eq(ggml_blocks_prepare(&blocks, one->type, one->scale, one->zero_point), 0);
	const unsigned bits = ggml_blocks_bits(one->type);
	const size_t in_size = n * blocks.codes_size, out_size = n * blocks.size;
	/* A byte more than is needed tells what is written on the other side. */
	struct guarded in = guarded_create_at(in_size + 1, start);
	struct guarded out = guarded_create_at(out_size + 1, start);
	uint8_t *codes = in.bytes + !start, *made = out.bytes + !start;

	codec_fill(SHAPE_FLAT, codes, in_size, 7 + (uint32_t)n);
	memset(out.bytes, PATTERN, out_size + 1);
	ggml_blocks_put(&blocks, codes, n, made);
	cr_assert_eq(start ? made[out_size] : out.bytes[0], PATTERN, "%s", kernel);
	for (size_t i = 0; i < n * GGML_BLOCK; i++) {
		double code = code_at(bits, codes, i);
		double expected = (double)one->scale * (code - (double)one->zero_point);
		float found = element_of(one->type, made + i / GGML_BLOCK * blocks.size,
					 (unsigned)(i % GGML_BLOCK));
		cr_assert((double)found == expected, "%s, type %u, element %zu of %zu: %a, %a",
			  kernel, one->type, i, n * GGML_BLOCK, (double)found, expected);
	}
	guarded_destroy(&in);
	guarded_destroy(&out);
}

Test(codec_ggml_blocks, any_count)
{
	unsigned i = 0;

	for (const char *kernel; (kernel = codec_next_kernel(&i));) {
		for (size_t c = 0; c < LENGTH(cases); c++)
			for (size_t n = 0; n <= 21; n++)
				check_blocks(&cases[c], kernel, n, (n + c) % 2 == 0);
	}
}

/* As a file is read. */
Test(codec_ggml_blocks, many_blocks)
{
	unsigned i = 0;

	for (const char *kernel; (kernel = codec_next_kernel(&i));) {
		for (size_t c = 0; c < LENGTH(cases); c++) {
			check_blocks(&cases[c], kernel, 3855, 0);
			check_blocks(&cases[c], kernel, 1001, 1);
		}
	}
}

/* Codes 0, 1, 2 and so on. */
static void check_example(unsigned type, float scale, int32_t zero_point, const uint8_t *expected)
{
	uint8_t codes[32], block[GGML_BLOCK_SIZE_MAX];
	struct ggml_blocks blocks;
	unsigned k = 0;

	for (unsigned i = 0; i < 32; i++)
		codes[i] = (uint8_t)(type == GGML_Q8_0 ? i : (2 * i % 16) | (2 * i + 1) % 16 << 4);
	cr_assert_eq(ggml_blocks_prepare(&blocks, type, scale, zero_point), 0);
	while (codec_next_kernel(&k)) {
		ggml_blocks_put(&blocks, codes, 1, block);
		cr_assert(memcmp(block, expected, blocks.size) == 0);
	}
}

Test(codec_ggml_blocks, examples)
{
	/* 1.5 is 0x3e00, -0.125 0xb000; codes less 128, from -128 on. */
	static const uint8_t q8_0[34] = {0x00, 0x3e, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86,
					 0x87, 0x88, 0x89, 0x8a, 0x8b, 0x8c, 0x8d, 0x8e, 0x8f,
					 0x90, 0x91, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98,
					 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f};
	/* Element 16 has code 0 again. */
	static const uint8_t q4_0[18] = {0x00, 0xb0, 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66,
					 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};
	/* 1.5 * -3 is -4.5, 0xc480. */
	static const uint8_t q4_1[20] = {0x00, 0x3e, 0x80, 0xc4, 0x00, 0x11, 0x22,
					 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99,
					 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};

	check_example(GGML_Q8_0, 1.5f, 128, q8_0);
	check_example(GGML_Q4_0, -0.125f, 8, q4_0);
	check_example(GGML_Q4_1, 1.5f, 3, q4_1);
}

/* Every F16 is one, with its own bits; what lies between two is none. */
Test(codec_ggml_blocks, all_halves)
{
	struct ggml_blocks blocks;

	for (unsigned bits = 0; bits < 0x10000; bits++) {
		const uint8_t bytes[2] = {(uint8_t)bits, (uint8_t)(bits >> 8)};
		if ((bits >> 10 & 31) == 31)
			continue;
		float number = number_of_half(bytes);
		cr_assert_eq(ggml_blocks_prepare(&blocks, GGML_Q8_0, number, 128), 0);
		cr_assert_eq(blocks.d, bits);
		float between = nextafterf(number, INFINITY);
		cr_assert_eq(ggml_blocks_prepare(&blocks, GGML_Q8_0, between, 128), -1);
		between = nextafterf(number, -INFINITY);
		cr_assert_eq(ggml_blocks_prepare(&blocks, GGML_Q8_0, between, 128), -1);
	}
}

/* Of every F16 and zero point: m is exact, or it is refused. */
Test(codec_ggml_blocks, all_minima)
{
	struct ggml_blocks blocks;
	unsigned exact = 0, short_exact = 0;

	for (unsigned bits = 0; bits < 0x10000; bits += 3) {
		const uint8_t bytes[2] = {(uint8_t)bits, (uint8_t)(bits >> 8)};
		if ((bits >> 10 & 31) == 31)
			continue;
		float d = number_of_half(bytes);
		for (int32_t zero = 0; zero < 16; zero++) {
			int result = ggml_blocks_prepare(&blocks, GGML_Q4_1, d, zero);
			double wanted = -(double)d * zero;
			uint8_t m[2] = {(uint8_t)blocks.m, (uint8_t)(blocks.m >> 8)};
			if (result == 0) {
				cr_assert((double)number_of_half(m) == wanted);
				exact++;
			}
			/* Seven digits are enough, and no more can be seen from here. */
			if (bits % 16 == 0 && fabs(wanted) <= 65504.0) {
				cr_assert_eq(result, 0);
				short_exact++;
			}
		}
	}
	cr_assert_gt(exact, 2 * short_exact);
}

Test(codec_ggml_blocks, refused)
{
	static const struct case_of_type refused[] = {
	    {GGML_Q8_0, 1.0f, 127},
	    {GGML_Q8_0, 1.0f, 0},
	    {GGML_Q8_0, 65520.0f, 128},
	    {GGML_Q8_0, 0x1p-25f, 128},
	    {GGML_Q8_0, 0x1p-149f, 128},
	    {GGML_Q8_0, 0x1.ffffp127f, 128},
	    {GGML_Q8_0, INFINITY, 128},
	    {GGML_Q8_0, -INFINITY, 128},
	    {GGML_Q8_0, NAN, 128},
	    {GGML_Q4_0, 1.0f, 7},
	    {GGML_Q4_0, 1.0f, 128},
	    {GGML_Q4_0, 0.1f, 8},
	    {GGML_Q4_1, 1.0f, -1},
	    {GGML_Q4_1, 1.0f, 16},
	    {GGML_Q4_1, 1.0f, INT32_MIN},
	    {GGML_Q4_1, 8192.0f, 8},
	    {GGML_Q4_1, 0x1.ffcp0f, 3},
	    {0, 1.0f, 0},
	    {1, 1.0f, 0},
	    {6, 1.0f, 0},
	    {9, 1.0f, 128},
	    {255, 1.0f, 8},
	};
	struct ggml_blocks blocks;

	for (size_t i = 0; i < LENGTH(refused); i++)
		cr_assert_eq(ggml_blocks_prepare(&blocks, refused[i].type, refused[i].scale,
						 refused[i].zero_point),
			     -1, "%zu", i);
	cr_assert_eq(ggml_blocks_prepare(&blocks, GGML_Q8_0, -0.0f, 128), 0);
	cr_assert_eq(blocks.d, 0x8000);
}
