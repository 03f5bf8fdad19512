/* SPDX-License-Identifier: MIT */
/*
 * dequant.c - plans, and walking along rows: what all kernels have in common.
 */
#include "codec/codec.h"
#include "codec/dequant_kernels.h"

#define FOUR(n)    (n), (n) + 1, (n) + 2, (n) + 3
#define SIXTEEN(n) FOUR(n), FOUR((n) + 4), FOUR((n) + 8), FOUR((n) + 12)
#define ALL(n)     SIXTEEN(n), SIXTEEN((n) + 16), SIXTEEN((n) + 32), SIXTEEN((n) + 48)

const uint8_t dequant_all_codes[256]
    __attribute__((aligned(64))) = {ALL(0), ALL(64), ALL(128), ALL(192)};

size_t dequant_size(enum dequant_type type)
{
	return type == DEQUANT_F32 ? 4 : 2;
}

int dequant_gives_table(struct dequant_plan *plan, dequant_expand *expand, uint32_t factor,
			uint32_t bias)
{
	uint8_t numbers[256 * 2];

	plan->expand = expand;
	plan->factor = dequant_float_of(factor);
	plan->bias = bias;
	expand(plan, dequant_all_codes, 256, numbers);
	return memcmp(numbers, plan->table, sizeof(numbers)) == 0;
}

void dequant_settle_rounding(struct dequant_plan *plan, dequant_expand *rounding)
{
	const uint32_t scale = dequant_bits_of(plan->params.scale);

	/* A product that only seems to lie halfway, once rounded to F32, does not with a
	 * neighbour of the scale. */
	if (!dequant_gives_table(plan, rounding, scale, 0) &&
	    !dequant_gives_table(plan, rounding, scale + 1, 0) &&
	    !dequant_gives_table(plan, rounding, scale - 1, 0))
		plan->expand = dequant_by_table16;
}

void dequant_split_table(struct dequant_plan *plan)
{
	size_t size = dequant_size(plan->type);

	for (size_t code = 0; code < 16; code++)
		for (size_t byte = 0; byte < size; byte++)
			plan->layout[16 * byte + code] = plan->table[size * code + byte];
}

static int is_finite(float number)
{
	return (dequant_bits_of(number) & 0x7f800000) != 0x7f800000;
}

/* A plan that is to expand `count` elements, as far as is known. */
static void prepare_for(struct dequant_plan *plan, const struct dequant_kernel *kernel, int bits,
			enum dequant_type type, const struct dequant_params *params, size_t count)
{
	const int32_t zero = params->zero_point;
	const int usual = zero >= -DEQUANT_ZERO_MAX && zero <= DEQUANT_ZERO_MAX;
	dequant_expand *direct =
	    usual ? kernel->direct[type] : dequant_kernel_reference.direct[type];

	plan->params = *params;
	plan->type = type;
	plan->bits = bits;
	plan->factor = params->scale;
	plan->bias = 0;
	if (bits == 8 && count <= (usual ? kernel->direct_up_to[type] : 255)) {
		plan->expand = direct;
		return;
	}
	direct(plan, dequant_all_codes, bits == 8 ? 256 : 16, plan->table);
	if (bits == 8 && !usual)
		plan->expand = type == DEQUANT_F32 ? dequant_by_table32 : dequant_by_table16;
	else
		kernel->settle(plan, count);
}

int dequant_prepare(struct dequant_plan *plan, int bits, enum dequant_type type,
		    const struct dequant_params *params)
{
	if (!is_finite(params->scale))
		return -1;
	/* Of a whole tensor: any effort pays. */
	prepare_for(plan, codec_kernel_in_use()->dequant, bits, type, params, SIZE_MAX);
	return 0;
}

void dequant(const struct dequant_plan *plan, const uint8_t *codes, uint64_t first, size_t count,
	     void *out)
{
	uint8_t *next = out;

	if (plan->bits == 4 && first % 2 != 0 && count > 0) {
		size_t size = dequant_size(plan->type);
		memcpy(next, plan->table + size * (size_t)(*codes >> 4), size);
		codes++;
		next += size;
		count--;
	}
	plan->expand(plan, codes, count, next);
}

int dequant_rows(const struct dequant_rows *rows, const uint8_t *codes, uint64_t first,
		 size_t count, void *out)
{
	const struct dequant_kernel *kernel = codec_kernel_in_use()->dequant;
	const size_t size = dequant_size(rows->type), per_byte = rows->bits == 8 ? 1 : 2;
	struct dequant_plan plan;
	uint8_t *next = out;

	if (count == 0)
		return 0;
	const struct dequant_params *params = rows->params + first / rows->row_length;
	uint64_t column = first % rows->row_length;
	for (uint64_t i = 0; i <= (column + count - 1) / rows->row_length; i++)
		if (!is_finite(params[i].scale))
			return -1;
	for (; count > 0; params++, column = 0) {
		uint64_t left = rows->row_length - column;
		size_t part = left < count ? (size_t)left : count;
		prepare_for(&plan, kernel, rows->bits, rows->type, params, part);
		dequant(&plan, codes, first, part, next);
		codes += (first % per_byte + part) / per_byte;
		next += part * size;
		first += part;
		count -= part;
	}
	return 0;
}
