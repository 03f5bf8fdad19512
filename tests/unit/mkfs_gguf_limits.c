/* SPDX-License-Identifier: MIT */
/*
 * mkfs_gguf_limits.c - headers of GGUF files that claim too much: arrays within arrays, counts,
 * bytes and memory.
 */
#include "tests/unit/gguf_build.h"

#include <errno.h>
#include <stdio.h>

static void put_nested(struct built *built, unsigned depth)
{
	put_prefix(built, 0, 1);
	put_key(built, "nested", GGUF_VALUE_ARRAY);
	for (unsigned i = 1; i < depth; i++)
		put_array(built, GGUF_VALUE_ARRAY, 1);
	put_array(built, GGUF_VALUE_U8, 1);
	put_u8(built, 1);
}

/* Arrays lie within arrays as deep as the limit, and in every shape. */
Test(mkfs_gguf_limits, arrays_within_arrays)
{
	struct built built = {0};
	struct gguf header;

	put_nested(&built, GGUF_NESTING_MAX);
	accepted(&built, 0, &header);
	cr_assert_eq(header.pairs[0].element, GGUF_VALUE_ARRAY);
	cr_assert_eq(header.header_size, built.size);
	gguf_free(&header);
	put_nested(&built, GGUF_NESTING_MAX + 1);
	refused(&built, 0, -EFBIG, "'nested': arrays within each other, more than 8");

	put_prefix(&built, 0, 2);
	put_key(&built, "of three", GGUF_VALUE_ARRAY);
	put_array(&built, GGUF_VALUE_ARRAY, 3);
	put_array(&built, GGUF_VALUE_U16, 2);
	put_u32(&built, 0);
	put_array(&built, GGUF_VALUE_ARRAY, 2);
	put_array(&built, GGUF_VALUE_ARRAY, 0);
	put_array(&built, GGUF_VALUE_STRING, 1);
	put_string(&built, "abc", 3);
	put_array(&built, GGUF_VALUE_ARRAY, 0);
	put_key(&built, "empty", GGUF_VALUE_ARRAY);
	put_array(&built, GGUF_VALUE_F64, 0);
	accepted(&built, 0, &header);
	cr_assert_eq(header.pairs[0].count, 3);
	cr_assert_eq(header.pairs[0].size, 12 + 16 + 12 + 12 + 23 + 12);
	cr_assert_eq(header.pairs[1].count, 0);
	gguf_free(&header);
	free(built.data);
}

static void refused_array(uint32_t element, uint64_t count, int error, const char *message)
{
	struct built built = {0};

	put_prefix(&built, 0, 1);
	put_key(&built, "array", GGUF_VALUE_ARRAY);
	put_array(&built, element, count);
	refused(&built, 64, error, message);
	free(built.data);
}

/* Counts and lengths that no file can hold are told at once, however large they are. */
Test(mkfs_gguf_limits, counts_that_cannot_be)
{
	struct built built = {0};
	static const char beyond[] = "metadata pair 0 reaches beyond the end of the file";

	for (uint32_t element = 0; element < GGUF_VALUE_END; element++) {
		refused_array(element, UINT64_MAX, -EINVAL, beyond);
		refused_array(element, UINT64_MAX / 8 + 2, -EINVAL, beyond);
		refused_array(element, 1000, -EINVAL, beyond);
	}
	refused_array(GGUF_VALUE_END, 0, -EINVAL, "'array': unknown type 13 of a value");
	refused_array(UINT32_MAX, 0, -EINVAL, "'array': unknown type 4294967295 of a value");

	put_prefix(&built, 0, 1);
	put_key(&built, "key", GGUF_VALUE_END);
	put_u64(&built, 0);
	refused(&built, 0, -EINVAL, "'key': unknown type 13 of a value");
	put_prefix(&built, 0, 1);
	put_key(&built, "key", GGUF_VALUE_STRING);
	put_u64(&built, UINT64_MAX);
	refused(&built, 0, -EINVAL, beyond);
	put_prefix(&built, 0, UINT64_MAX);
	refused(&built, 0, -EINVAL, beyond);
	put_prefix(&built, UINT64_MAX, 0);
	refused(&built, 0, -EINVAL, "tensor 0 reaches beyond the end of the file");
	free(built.data);
}

/* The limit of headers is told from what a header claims, before it is all read. */
Test(mkfs_gguf_limits, header_limit)
{
	struct built built = {0};
	struct gguf header;
	const uint64_t large = UINT64_C(1) << 40;

	put_prefix(&built, 0, 1);
	put_key(&built, "blob", GGUF_VALUE_STRING);
	uint64_t room = GGUF_HEADER_MAX - built.size - 8;
	put_u64(&built, room);
	cr_assert_eq(parse_bytes(built.data, built.size, large, &header), -EAGAIN);
	uint8_t *all = calloc(1, GGUF_HEADER_MAX);
	cr_assert(all);
	memcpy(all, built.data, built.size);
	cr_assert_eq(gguf_parse(all, GGUF_HEADER_MAX - 1, large, &header, &diag), -EAGAIN);
	cr_assert_eq(gguf_parse(all, GGUF_HEADER_MAX, large, &header, &diag), 0, "%s", diag.text);
	cr_assert_eq(header.header_size, GGUF_HEADER_MAX);
	gguf_free(&header);
	free(all);

	built.size -= 8;
	put_u64(&built, room + 1);
	refused(&built, large, -EFBIG, "reaches beyond the 256 MiB that a header may have");
	put_prefix(&built, 0, GGUF_HEADER_MAX / 14);
	refused(&built, large, -EFBIG, "metadata pair 0 reaches beyond the 256 MiB");
	put_prefix(&built, GGUF_HEADER_MAX / 24, 0);
	refused(&built, large, -EFBIG, "tensor 0 reaches beyond the 256 MiB");
	free(built.data);
}

/* Between nothing and enough, each amount of memory is either too little, or enough for good. */
Test(mkfs_gguf_limits, memory_is_bounded)
{
	enum { TENSORS = 5000 };
	struct built built = {0};
	struct gguf header;
	size_t low = 0, high = 64 * TENSORS * 4;
	char name[32];

	put_prefix(&built, TENSORS, 0);
	for (int i = 0; i < TENSORS; i++) {
		snprintf(name, sizeof name, "%d", i);
		put_row(&built, name, 0, GGUF_TYPE_F32, 0);
	}
	while (low < high) {
		size_t budget = low + (high - low) / 2;
		int result = gguf_parse_within(built.data, built.size, built.size + 32, budget,
					       &header, &diag);
		if (!result) {
			gguf_free(&header);
			high = budget;
			continue;
		}
		cr_assert_eq(result, -EFBIG);
		cr_assert(strstr(diag.text, "takes too much memory"), "%s", diag.text);
		low = budget + 1;
	}
	/* What a tensor takes, to within what an array that doubles may have in vain. */
	cr_assert_gt(low, TENSORS * (sizeof *header.tensors + 2));
	cr_assert_lt(low, TENSORS * (2 * sizeof *header.tensors + 32));
	free(built.data);
}

/* Whichever of a few allocations the memory is too little for, it is said so. */
Test(mkfs_gguf_limits, every_budget)
{
	struct built built = {0};
	struct gguf header;
	size_t budget = 0;
	int result;

	put_prefix(&built, 2, 1);
	put_pair_u32(&built, "key", 1);
	put_row(&built, "a", 0, GGUF_TYPE_F32, 0);
	put_row(&built, "b", 0, GGUF_TYPE_F32, 0);
	while ((result = gguf_parse_within(built.data, built.size, built.size + 32, budget, &header,
					   &diag))) {
		cr_assert_eq(result, -EFBIG);
		cr_assert(strstr(diag.text, "takes too much memory"), "%s", diag.text);
		budget++;
	}
	gguf_free(&header);
	cr_assert_gt(budget, sizeof *header.pairs + 2 * sizeof *header.tensors);
	cr_assert_lt(budget, sizeof *header.pairs + 2 * sizeof *header.tensors + 128);
	free(built.data);
}

/* Comparing each with each would take hours. */
Test(mkfs_gguf_limits, hundreds_of_thousands, .timeout = 60)
{
	enum { COUNT = 300000 };
	struct built built = {0};
	struct gguf header;
	char name[32];

	put_prefix(&built, COUNT, COUNT);
	for (int i = 0; i < COUNT; i++) {
		snprintf(name, sizeof name, "key%d", i);
		put_pair_u32(&built, name, 0);
	}
	for (uint64_t i = 0; i < COUNT; i++) {
		snprintf(name, sizeof name, "name%d", (int)i);
		put_row(&built, name, 1, GGUF_TYPE_F32, (COUNT - 1 - i) * 32);
	}
	accepted(&built, (uint64_t)COUNT * 32, &header);
	cr_assert_eq(header.pair_count, COUNT);
	cr_assert_eq(header.tensor_count, COUNT);
	cr_assert(!header.contiguous);
	gguf_free(&header);
	free(built.data);
}
