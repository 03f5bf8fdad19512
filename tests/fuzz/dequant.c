/* SPDX-License-Identifier: MIT */
/*
 * dequant.c - any parameters, any codes, any place in them: all kernels write the same numbers
 * without touching memory outside their buffers, and these are the nearest to the exact products.
 *
 * Input: 1 byte: 4 or 8 bits, type, parity of the first element, with rows or without; 1 byte: the
 * row length - 1; for each row in turn, 8 bytes of parameters and its codes.
 */
#include "codec/codec.h"
#include "tests/unit/dequant_exact.h"

#include <stdlib.h>

enum { ROWS_MAX = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Exactly this large, so that the address sanitizer sees the first byte beyond. */
static uint8_t *allocate_exactly(size_t size)
{
	uint8_t *memory = malloc(size ? size : 1);

	if (!memory)
		abort();
	return memory;
}

struct input {
	struct dequant_rows rows;
	int whole; /* no rows: one plan for all */
	uint64_t first;
	size_t count;
	const uint8_t *codes; /* of element `first` and what follows */
};

static int expand(const struct input *input, uint8_t *out)
{
	struct dequant_plan plan;

	if (!input->whole)
		return dequant_rows(&input->rows, input->codes, input->first, input->count, out);
	if (dequant_prepare(&plan, input->rows.bits, input->rows.type, input->rows.params) != 0)
		return -1;
	dequant(&plan, input->codes, input->first, input->count, out);
	return 0;
}

static unsigned code_at(const struct input *input, size_t index)
{
	size_t place = index + input->first % 2;

	if (input->rows.bits == 8)
		return input->codes[index];
	return place % 2 == 0 ? input->codes[place / 2] & 15u : input->codes[place / 2] >> 4;
}

/* The first number of a code in a row is held to the definition, the others to that one. */
static void check_numbers(const struct input *input, const uint8_t *numbers)
{
	const size_t size = dequant_size(input->rows.type);
	uint64_t seen_row = UINT64_MAX;
	int64_t seen[256];

	for (size_t i = 0; i < input->count; i++) {
		uint64_t row = input->whole ? 0 : (input->first + i) / input->rows.row_length;
		unsigned code = code_at(input, i);
		uint32_t number = 0;
		memcpy(&number, numbers + size * i, size);
		if (row != seen_row)
			memset(seen, 0xff, sizeof(seen));
		seen_row = row;
		if (seen[code] < 0 &&
		    !exact_is_nearest(&input->rows.params[row], code, input->rows.type, number))
			abort();
		if (seen[code] >= 0 && seen[code] != number)
			abort();
		seen[code] = number;
	}
}

static void check(const struct input *input)
{
	const size_t size = input->count * dequant_size(input->rows.type);
	uint8_t *expected = allocate_exactly(size), *out = allocate_exactly(size);

	codec_use_kernel("reference");
	int result = expand(input, expected);
	if (result == 0)
		check_numbers(input, expected);
	for (unsigned k = 1; codec_kernels[k]; k++) {
		if (codec_use_kernel(codec_kernels[k]->name) != 0)
			continue;
		memset(out, 0xa5, size);
		if (expand(input, out) != result)
			abort();
		if (result == 0 && memcmp(out, expected, size) != 0)
			abort();
	}
	free(expected);
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dequant_params params[ROWS_MAX];
	struct input input = {.rows.params = params};
	size_t rows = 0, bytes = 0, length;

	if (size < 2 + sizeof(params[0]))
		return 0;
	input.rows.bits = data[0] & 1 ? 4 : 8;
	input.rows.type = (data[0] >> 1 & 3) % DEQUANT_TYPES;
	input.first = data[0] >> 3 & 1;
	input.whole = data[0] >> 4 & 1;
	input.rows.row_length = (uint64_t)data[1] + 1;
	length = input.whole ? SIZE_MAX : input.rows.bits == 8 ? data[1] + 1u : data[1] / 2 + 1u;
	data += 2;
	size -= 2;

	uint8_t *gathered = allocate_exactly(size);
	while (size >= sizeof(params[0]) && rows < ROWS_MAX) {
		memcpy(&params[rows++], data, sizeof(params[0]));
		data += sizeof(params[0]);
		size -= sizeof(params[0]);
		size_t part = size < length ? size : length;
		memcpy(gathered + bytes, data, part);
		bytes += part;
		data += part;
		size -= part;
	}
	/* As many elements as there are codes and parameters for. */
	uint8_t *codes = allocate_exactly(bytes);
	memcpy(codes, gathered, bytes);
	free(gathered);
	input.codes = codes;
	input.count = input.rows.bits == 8 ? bytes : 2 * bytes;
	input.first = input.first < input.count ? input.first : 0;
	if (input.rows.bits == 4)
		input.count -= input.first;
	if (!input.whole && input.count > rows * input.rows.row_length - input.first)
		input.count = rows * input.rows.row_length - input.first;
	check(&input);
	free(codes);
	return 0;
}
