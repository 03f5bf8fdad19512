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

static unsigned unit(const struct efs_transcode *record)
{
	return efs_dtype_size(record->dtype);
}

static unsigned sources(const struct image *image, const struct efs_transcode *record,
			uint64_t first, uint64_t count, struct transcode_source *sources)
{
	const struct efs_tensor *tensor = image_tensor(image, record->tensor);
	uint64_t begin = byte_of(tensor, first);
	uint64_t end = count ? byte_of(tensor, first + count - 1) + 1 : begin;

	*sources = (struct transcode_source){tensor->first_stream, begin, end - begin};
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

static void make(const struct image *image, const struct efs_transcode *record,
		 const struct transcode_units *units, uint64_t skip, size_t count, uint8_t *to)
{
	struct codes codes;

	prepare(&codes, image, record, units->first, units->bytes);
	put_numbers(&codes, units->first + skip, count, to);
}

const struct transcode_rule transcode_dequantize = {unit, sources, make};
