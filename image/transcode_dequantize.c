/* SPDX-License-Identifier: MIT */
/* transcode_dequantize.c - the numbers that codes stand for; see transcode_rules.h. */
#include "image/transcode_rules.h"

#include "codec/dequant.h"
#include "image/catalog.h"

#include <assert.h>
#include <string.h>

static_assert(sizeof(struct efs_param) == sizeof(struct dequant_params) &&
		  __builtin_offsetof(struct efs_param, zero_point) ==
		      __builtin_offsetof(struct dequant_params, zero_point),
	      "parameters are handed on as they lie in the catalog");

enum { NUMBER_MAX = 8 }; /* bytes */

/* Codes of a tensor at hand, and what is to be made of them. */
struct codes {
	const struct efs_tensor *tensor;
	const struct dequant_params *params;
	const uint8_t *bytes;
	uint64_t first;      /* element, where the bytes begin */
	uint64_t row_length; /* elements with the same parameters */
	uint8_t dtype;
	struct dequant_plan plan; /* if it is one of those that the codec knows, for a single row */
};

static uint64_t byte_of(const struct efs_tensor *tensor, uint64_t element)
{
	return tensor->bits == 4 ? element / 2 : element;
}

/* Of whole blocks of codes, whatever the bits and the dtype. */
static uint64_t part(const struct efs_transcode *record)
{
	(void)record;
	return TRANSCODE_PART;
}

static unsigned sources(const struct image *image, const struct efs_transcode *record,
			uint64_t offset, uint64_t size, struct transcode_source *sources)
{
	const struct efs_tensor *tensor = image_tensor(image, record->tensor);
	unsigned number = efs_dtype_size(record->dtype);
	uint64_t first = byte_of(tensor, offset / number);
	uint64_t end = size ? byte_of(tensor, (offset + size - 1) / number) + 1 : first;

	*sources = (struct transcode_source){tensor->first_stream, first, end - first};
	return 1;
}

static enum dequant_type type_of(uint8_t dtype)
{
	return dtype == EFS_F32 ? DEQUANT_F32 : dtype == EFS_F16 ? DEQUANT_F16 : DEQUANT_BF16;
}

/* No product of a code and a scale is a subnormal or too large for F64, and each is rounded once.
 */
static void put_doubles(const struct codes *codes, uint64_t first, size_t count, uint8_t *to)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t element = first + i;
		uint8_t byte = codes->bytes[byte_of(codes->tensor, element) -
					    byte_of(codes->tensor, codes->first)];
		const struct dequant_params *params = &codes->params[element / codes->row_length];
		int64_t code = codes->tensor->bits == 8 ? byte
			       : element % 2            ? byte >> 4
							: byte & 15;
		double number = (double)params->scale * (double)(code - params->zero_point);

		memcpy(to + i * sizeof(number), &number, sizeof(number));
	}
}

/* Elements [first, first + count), all at hand. */
static void put_numbers(const struct codes *codes, uint64_t first, size_t count, uint8_t *to)
{
	const uint8_t *bytes =
	    codes->bytes + (byte_of(codes->tensor, first) - byte_of(codes->tensor, codes->first));

	if (codes->dtype == EFS_F64) {
		put_doubles(codes, first, count, to);
	} else if (codes->tensor->param_count == 1) {
		dequant(&codes->plan, bytes, first, count, to);
	} else {
		const struct dequant_rows rows = {codes->tensor->bits, type_of(codes->dtype),
						  codes->row_length, codes->params};

		dequant_rows(&rows, bytes, first, count, to);
	}
}

static void prepare(struct codes *codes, const struct image *image,
		    const struct efs_transcode *record, uint64_t first, const uint8_t *bytes)
{
	const struct efs_tensor *tensor = image_tensor(image, record->tensor);
	uint64_t count = record->raw_size / efs_dtype_size(record->dtype);

	codes->tensor = tensor;
	codes->params = (const void *)image_params(image, tensor);
	codes->bytes = bytes;
	codes->first = first;
	codes->row_length = count / tensor->param_count;
	codes->dtype = record->dtype;
	/* It fails for a scale that is not finite only, which the catalog cannot have. */
	if (record->dtype != EFS_F64 && tensor->param_count == 1)
		dequant_prepare(&codes->plan, tensor->bits, type_of(record->dtype), codes->params);
}

static void make(const struct image *image, const struct efs_transcode *record, uint64_t offset,
		 size_t size, const uint8_t *bytes, uint8_t *to)
{
	unsigned number = efs_dtype_size(record->dtype);
	struct codes codes;

	prepare(&codes, image, record, offset / number, bytes);
	while (size) {
		size_t skip = (size_t)(offset % number), count = number - skip;
		uint8_t one[NUMBER_MAX];

		if (skip || size < number) {
			put_numbers(&codes, offset / number, 1, one);
			count = count < size ? count : size;
			memcpy(to, one + skip, count);
		} else {
			count = size / number * number;
			put_numbers(&codes, offset / number, size / number, to);
		}
		offset += count;
		to += count;
		size -= count;
	}
}

const struct transcode_rule transcode_dequantize = {part, sources, make};
