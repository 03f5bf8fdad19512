/* SPDX-License-Identifier: MIT */
/*
 * codec_dequant.c - codes become exactly the numbers they stand for, with every kernel.
 *
 * The reference is held to the definition of rounding (dequant_exact.h) and to a table made with
 * exact fractions; all other kernels are held to the reference.
 */
#include "codec/dequant_kernels.h"
#include "tests/unit/codec_util.h"
#include "tests/unit/dequant_exact.h"
#include "tests/unit/dequant_golden.h"

#include <criterion/criterion.h>

enum { COUNT_MAX = 5000 };

static struct dequant_params params_of(uint32_t scale, int32_t zero_point)
{
	struct dequant_params params = {.zero_point = zero_point};

	memcpy(&params.scale, &scale, sizeof(scale));
	return params;
}

static uint32_t bits_of(float number)
{
	uint32_t bits;

	memcpy(&bits, &number, sizeof(bits));
	return bits;
}

static uint32_t number_at(const uint8_t *numbers, enum dequant_type type, size_t index)
{
	uint32_t number = 0;

	memcpy(&number, numbers + index * dequant_size(type), dequant_size(type));
	return number;
}

static const char *type_name(enum dequant_type type)
{
	static const char *const names[] = {"F32", "F16", "BF16"};

	return names[type];
}

/* Every byte: all codes of 8 bits, and all pairs of codes of 4 bits. */
static const uint8_t *all_bytes(void)
{
	static uint8_t bytes[256];

	for (unsigned i = 0; i < 256; i++)
		bytes[i] = (uint8_t)i;
	return bytes;
}

static void expand_all(const char *kernel, int bits, enum dequant_type type,
		       const struct dequant_params *params, uint8_t numbers[512 * 4])
{
	struct dequant_plan plan;

	cr_assert_eq(codec_use_kernel(kernel), 0);
	cr_assert_eq(dequant_prepare(&plan, bits, type, params), 0);
	dequant(&plan, all_bytes(), 0, bits == 8 ? 256 : 512, numbers);
}

/* Every kernel against the reference: all codes, both widths, all types. */
static void check_kernels(const struct dequant_params *params)
{
	uint8_t expected[512 * 4], numbers[512 * 4];

	for (int bits = 8; bits >= 4; bits -= 4) {
		for (enum dequant_type type = 0; type < DEQUANT_TYPES; type++) {
			size_t size = (bits == 8 ? 256 : 512) * dequant_size(type);
			unsigned i = 0;
			expand_all("reference", bits, type, params, expected);
			for (const char *kernel; (kernel = codec_next_kernel(&i));) {
				memset(numbers, 0xa5, sizeof(numbers));
				expand_all(kernel, bits, type, params, numbers);
				cr_assert_eq(memcmp(numbers, expected, size), 0,
					     "%s, uint%d to %s, scale 0x%08x, zero point %d",
					     kernel, bits, type_name(type), bits_of(params->scale),
					     params->zero_point);
			}
		}
	}
}

/* The reference against the definition: all codes, both widths, all types. */
static void check_reference(const struct dequant_params *params)
{
	uint8_t numbers[512 * 4];

	for (int bits = 8; bits >= 4; bits -= 4) {
		for (enum dequant_type type = 0; type < DEQUANT_TYPES; type++) {
			expand_all("reference", bits, type, params, numbers);
			for (unsigned i = 0; i < (bits == 8 ? 256 : 512); i++) {
				unsigned code = bits == 8 ? i : i / 2 >> 4 * (i % 2) & 15;
				uint32_t number = number_at(numbers, type, i);
				cr_assert(exact_is_nearest(params, code, type, number),
					  "%s 0x%x, scale 0x%08x, zero point %d, code %u",
					  type_name(type), number, bits_of(params->scale),
					  params->zero_point, code);
			}
		}
	}
}

/* Scales at every edge: of subnormals, of F16's and BF16's ranges, exact halves, many digits. */
static const uint32_t scales[] = {
    0x00000000, 0x80000000, 0x00000001, 0x80000001, 0x00000003, 0x00004000, 0x00008000, 0x00008001,
    0x00018000, 0x007fffff, 0x00800000, 0x00800001, 0x00ffffff, 0x01000000, 0x037fffff, 0x0b800001,
    0x2f000000, 0x32ffffff, 0x33000000, 0x33000001, 0x33800000, 0x33c00000, 0x37ffffff, 0x387fc000,
    0x387fe000, 0x38800000, 0x38801000, 0x3c008081, 0x3c4a4588, 0xbc4a4588, 0x3d2b2b2b, 0x3f7fffff,
    0x3f800000, 0xbf800000, 0x3f800001, 0x3f801000, 0x3f803000, 0x3f808000, 0x3f808001, 0x3f818000,
    0x3fabcdef, 0x3fc00000, 0x3fffffff, 0x40400000, 0x42800000, 0x43008000, 0x43800000, 0x43808081,
    0x477fe000, 0x477fefff, 0x477ff000, 0x477ff001, 0x47800000, 0x4b800001, 0x7a000001, 0x7b7fffff,
    0x7b808081, 0x7e7fffff, 0x7f000000, 0x7f7f7fff, 0x7f7f8000, 0x7f7fffff, 0xff7fffff,
};

static const int32_t zeros[] = {
    0,           1,
    7,           8,
    15,          127,
    128,         129,
    254,         255,
    256,         300,
    -1,          -128,
    -255,        -1000,
    32512,       32768,
    -32768,      16776959,
    16776960,    16776961,
    16777216,    16777471,
    -16777215,   -16776960,
    -16776961,   536870656,
    536870912,   -536870911,
    2147483392,  INT32_MAX,
    -2147483392, INT32_MIN + 1,
    INT32_MIN,
};

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

Test(codec_dequant, golden_numbers)
{
	uint8_t numbers[512 * 4];
	unsigned i = 0;

	for (const char *kernel; (kernel = codec_next_kernel(&i));) {
		for (size_t k = 0; k < LENGTH(golden); k++) {
			const struct golden *entry = &golden[k];
			struct dequant_params params = params_of(entry->scale, entry->zero_point);
			const uint32_t expected[] = {entry->f32, entry->f16, entry->bf16};
			for (enum dequant_type type = 0; type < DEQUANT_TYPES; type++) {
				expand_all(kernel, 8, type, &params, numbers);
				cr_assert_eq(number_at(numbers, type, entry->code), expected[type],
					     "%s, %s, scale 0x%08x, zero point %d, code %u (%s)",
					     kernel, type_name(type), entry->scale,
					     entry->zero_point, entry->code, entry->why);
				if (entry->code > 15)
					continue;
				expand_all(kernel, 4, type, &params, numbers);
				cr_assert_eq(number_at(numbers, type, 2 * entry->code),
					     expected[type], "%s, %s, uint4, %s", kernel,
					     type_name(type), entry->why);
			}
		}
	}
}

Test(codec_dequant, reference_rounds_to_nearest)
{
	uint32_t state = 1;

	for (size_t s = 0; s < LENGTH(scales); s++) {
		for (size_t z = 0; z < LENGTH(zeros); z++) {
			struct dequant_params params = params_of(scales[s], zeros[z]);
			if ((s + z) % 4 == 0) /* each scale and zero point, not each pair */
				check_reference(&params);
		}
	}
	for (unsigned i = 0; i < 200; i++) {
		uint32_t scale = codec_random(&state) & 0xbfffffff, zero = codec_random(&state);
		struct dequant_params params = params_of(scale, (int32_t)(zero >> i % 32));
		check_reference(&params);
	}
}

Test(codec_dequant, kernels_agree_at_every_edge)
{
	for (size_t s = 0; s < LENGTH(scales); s++) {
		for (size_t z = 0; z < LENGTH(zeros); z++) {
			struct dequant_params params = params_of(scales[s], zeros[z]);
			check_kernels(&params);
		}
	}
}

Test(codec_dequant, kernels_agree_for_random_scales)
{
	uint32_t state = 2;

	for (unsigned i = 0; i < 3000; i++) {
		uint32_t scale = codec_random(&state), zero = codec_random(&state);
		if (i % 3 != 0) /* as of real weights */
			scale = 0x39000000 + scale % 0x05000000;
		if (i % 5 == 0) /* few digits: exact halves */
			scale &= UINT32_MAX << (8 + i % 12);
		struct dequant_params params = params_of(scale & 0xbfffffff, (int32_t)(zero % 256));
		check_kernels(&params);
	}
}

/*
 * Scales for which some code's product lies so close to the middle of two numbers that rounding it
 * to F32 first makes it the middle: the traps of rounding twice.
 */
static unsigned check_traps(enum dequant_type type, unsigned shift, uint32_t seed)
{
	uint32_t state = seed;
	unsigned wrong = 0;

	for (unsigned i = 0; i < 1500; i++) {
		uint32_t half = codec_random(&state) % 0x40000000 + 0x20000000;
		unsigned code = 3 + codec_random(&state) % 253;
		int32_t zero = (int32_t)(codec_random(&state) % 3);
		half = (half >> shift << shift) + (1u << (shift - 1));
		struct dequant_params params = params_of(half, zero), two = params_of(0, 0);
		params.scale /= (float)((int32_t)code - zero);
		check_kernels(&params);

		uint8_t once[512 * 4], twice[512 * 4], number[512 * 4];
		expand_all("reference", 8, DEQUANT_F32, &params, once);
		expand_all("reference", 8, type, &params, number);
		two = params_of(number_at(once, DEQUANT_F32, code), 0);
		expand_all("reference", 8, type, &two, twice);
		wrong += number_at(twice, type, 1) != number_at(number, type, code);
	}
	return wrong;
}

Test(codec_dequant, no_rounding_twice)
{
	cr_assert_gt(check_traps(DEQUANT_BF16, 16, 3), 100);
	cr_assert_gt(check_traps(DEQUANT_F16, 13, 4), 100);
}

/* Vector kernels fall back to a table of 256 numbers where arithmetic would be wrong: seldom. */
Test(codec_dequant, arithmetic_serves_most_scales)
{
	uint32_t state = 9;
	unsigned i = 0, tables = 0;

	for (const char *kernel; (kernel = codec_next_kernel(&i));) {
		if (strcmp(kernel, "avx2") != 0 && strcmp(kernel, "neon") != 0)
			continue;
		for (unsigned n = 0; n < 2000; n++) {
			struct dequant_params params = params_of(
			    0x39000000 + codec_random(&state) % 0x05000000, (int32_t)(n % 256));
			struct dequant_plan plan;
			dequant_prepare(&plan, 8, DEQUANT_F16 + n / 256 % 2, &params);
			tables += plan.expand == dequant_by_table16;
		}
		cr_assert_leq(tables, 20, "%s: %u of 2000", kernel, tables);
	}
}

/* What lies behind and before the output, and behind the codes, is not touched. */
static void check_place(const struct dequant_plan *plan, const uint8_t *expected,
			const uint8_t *source, uint64_t first, size_t count)
{
	const size_t size = dequant_size(plan->type), parity = plan->bits == 4 ? first % 2 : 0;
	const size_t bytes = plan->bits == 8 ? count : (parity + count + 1) / 2;
	struct guarded codes = guarded_create(bytes + 1);
	struct guarded out = guarded_create(count * size + 1);

	/* Once at the end of what is accessible, once a byte before. */
	for (unsigned early = 0; early < 2; early++) {
		uint8_t *start = codes.bytes + 1 - early, *numbers = out.bytes + 1 - early;
		memcpy(start, source, bytes);
		memset(out.bytes, 0xa5, out.size);
		dequant(plan, start, first, count, numbers);
		cr_assert(memcmp(numbers, expected + parity * size, count * size) == 0,
			  "uint%d to %s, %zu from %u", plan->bits, type_name(plan->type), count,
			  (unsigned)parity);
		cr_assert_eq(out.bytes[early ? out.size - 1 : 0], 0xa5);
	}
	guarded_destroy(&codes);
	guarded_destroy(&out);
}

Test(codec_dequant, any_count_at_any_place)
{
	static uint8_t source[COUNT_MAX], expected[COUNT_MAX * 2 * 4];
	struct dequant_params params = params_of(0x3c4a4588, 100);
	struct dequant_plan plan;

	codec_fill(SHAPE_FLAT, source, sizeof(source), 5);
	for (int bits = 8; bits >= 4; bits -= 4) {
		for (enum dequant_type type = 0; type < DEQUANT_TYPES; type++) {
			unsigned i = 0;
			codec_use_kernel("reference");
			dequant_prepare(&plan, bits, type, &params);
			dequant(&plan, source, 0, bits == 8 ? COUNT_MAX : COUNT_MAX * 2, expected);
			while (codec_next_kernel(&i)) {
				dequant_prepare(&plan, bits, type, &params);
				for (size_t count = 0; count < 300; count++)
					check_place(&plan, expected, source, count % 7 / 3, count);
				check_place(&plan, expected, source, 0, 4096);
				check_place(&plan, expected, source, UINT64_MAX - 4999, 4999);
			}
		}
	}
}

/* Parameters of all kinds: usual, of few digits, extreme. */
static void fill_rows(struct dequant_params *params, size_t count, uint32_t seed)
{
	uint32_t state = seed;

	for (size_t i = 0; i < count; i++) {
		uint32_t scale = 0x39000000 + codec_random(&state) % 0x05000000;
		uint32_t random = codec_random(&state);
		params[i] = params_of(scale, (int32_t)(random % 256));
		if (random % 11 == 0)
			params[i] = params_of(scales[random % LENGTH(scales)], 128);
		if (random % 13 == 0)
			params[i].zero_point = zeros[random % LENGTH(zeros)];
	}
}

/* Number by number, each with a plan of the reference for its row. */
static void expand_rows_slowly(const struct dequant_rows *rows, const uint8_t *codes,
			       uint64_t count, uint8_t *out)
{
	struct dequant_plan plan;

	codec_use_kernel("reference");
	for (uint64_t i = 0; i < count; i++) {
		const uint8_t *code = codes + (rows->bits == 8 ? i : i / 2);
		if (i % rows->row_length == 0)
			dequant_prepare(&plan, rows->bits, rows->type,
					&rows->params[i / rows->row_length]);
		dequant(&plan, code, i, 1, out + i * dequant_size(rows->type));
	}
}

static void check_rows(const struct dequant_rows *rows, const char *kernel, const uint8_t *codes,
		       const uint8_t *expected, uint64_t first, size_t count)
{
	const size_t size = dequant_size(rows->type), per_byte = rows->bits == 8 ? 1 : 2;
	const size_t bytes = (first % per_byte + count + per_byte - 1) / per_byte;
	struct guarded source = guarded_create(bytes), out = guarded_create(count * size);

	memcpy(source.bytes, codes + first / per_byte, bytes);
	memset(out.bytes, 0xa5, out.size);
	cr_assert_eq(dequant_rows(rows, source.bytes, first, count, out.bytes), 0);
	cr_assert(memcmp(out.bytes, expected + first * size, count * size) == 0,
		  "%s, uint%d to %s, rows of %u, %zu from %u", kernel, rows->bits,
		  type_name(rows->type), (unsigned)rows->row_length, count, (unsigned)first);
	guarded_destroy(&source);
	guarded_destroy(&out);
}

Test(codec_dequant, rows_of_any_length)
{
	static const unsigned lengths[] = {1,   2,   3,   7,   16,  17,  64,   100,  255,  256,
					   257, 300, 400, 511, 512, 513, 1023, 1024, 1025, 4096};
	enum { TOTAL = 12345 };
	static uint8_t codes[TOTAL], expected[TOTAL * 4];
	static struct dequant_params params[TOTAL];

	codec_fill(SHAPE_FLAT, codes, sizeof(codes), 6);
	fill_rows(params, TOTAL, 7);
	for (int bits = 8; bits >= 4; bits -= 4) {
		for (enum dequant_type type = 0; type < DEQUANT_TYPES; type++) {
			for (size_t l = 0; l < LENGTH(lengths); l++) {
				struct dequant_rows rows = {bits, type, lengths[l], params};
				uint32_t state = 8;
				unsigned i = 0;
				expand_rows_slowly(&rows, codes, TOTAL, expected);
				for (const char *kernel; (kernel = codec_next_kernel(&i));) {
					check_rows(&rows, kernel, codes, expected, 0, TOTAL);
					for (unsigned n = 0; n < 10; n++) {
						size_t first = codec_random(&state) % TOTAL;
						size_t count =
						    codec_random(&state) % (TOTAL - first);
						check_rows(&rows, kernel, codes, expected, first,
							   count);
					}
				}
			}
		}
	}
}

/* Elements of rows far behind 2^32 are found, and so is the parity of theirs. */
Test(codec_dequant, rows_of_a_large_tensor)
{
	static const uint8_t codes[3] = {0x21, 0x43, 0x65};
	struct dequant_params params[3] = {params_of(0x3f800000, 0), params_of(0x40000000, 0),
					   params_of(0x40800000, 0)};
	struct dequant_rows rows = {4, DEQUANT_F32, (UINT64_C(1) << 40) + 1, params};
	float numbers[4];

	cr_assert_eq(dequant_rows(&rows, codes, rows.row_length - 2, 4, numbers), 0);
	cr_assert_eq(numbers[0], 2); /* an odd element: the upper half */
	cr_assert_eq(numbers[1], 3);
	cr_assert_eq(numbers[2], 8);
	cr_assert_eq(numbers[3], 10);
	rows.row_length = 0;
	cr_assert_eq(dequant_rows(&rows, codes, 0, 0, numbers), 0);
}

Test(codec_dequant, a_scale_that_is_not_finite_is_refused)
{
	static const uint32_t bad[] = {0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001, 0xffffffff};
	static const uint8_t codes[6];
	struct dequant_plan plan;

	for (size_t i = 0; i < LENGTH(bad); i++) {
		struct dequant_params params[3] = {params_of(0x3f800000, 0), params_of(bad[i], 0),
						   params_of(0x3f800000, 0)};
		struct dequant_rows rows = {8, DEQUANT_F16, 2, params};
		uint16_t numbers[6] = {1, 1, 1, 1, 1, 1};
		cr_assert_eq(dequant_prepare(&plan, 8, DEQUANT_F16, &params[1]), -1);
		cr_assert_eq(dequant_rows(&rows, codes, 1, 2, numbers), -1);
		cr_assert_eq(dequant_rows(&rows, codes, 3, 3, numbers), -1);
		cr_assert_eq(numbers[0], 1);
		cr_assert_eq(dequant_rows(&rows, codes, 0, 2, numbers), 0);
		cr_assert_eq(dequant_rows(&rows, codes, 4, 2, numbers + 2), 0);
		cr_assert_eq(numbers[3], 0);
		cr_assert_eq(numbers[4], 1);
	}
}
