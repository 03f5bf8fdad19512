/* SPDX-License-Identifier: MIT */
/*
 * planes.c - descriptions of records, and finding the function for one.
 */
#include "codec/planes_kernels.h"

#include "codec/codec.h"

int planes_valid(const struct planes *planes)
{
	const unsigned word = planes->word;
	unsigned sum = 0;

	if (planes->unit > PLANES_UNIT_MAX || planes->count > PLANES_COUNT_MAX)
		return 0;
	if (word != 0 && ((word != 2 && word != 4) || planes->unit % word != 0))
		return 0;
	for (unsigned k = 0; k < planes->count; k++) {
		if (planes->size[k] == 0)
			return 0;
		sum += planes->size[k];
	}
	return sum > 0 && sum == planes->unit;
}

static enum planes_shape rotated_if(int rotated, enum planes_shape shape)
{
	return rotated ? shape + 1 : shape;
}

static enum planes_shape shape_of(const struct planes *planes)
{
	const unsigned unit = planes->unit, count = planes->count, word = planes->word;

	if ((unit != 2 && unit != 4) || (word != 0 && word != unit))
		return PLANES_ANY;
	if (count == unit) /* a byte each */
		return rotated_if(word != 0, unit == 2 ? PLANES_PAIRS : PLANES_FOURS);
	if (count == 3 && planes->size[0] == 2)
		return rotated_if(word != 0, PLANES_HALVES);
	return PLANES_ANY;
}

void planes_split(const struct planes *planes, const uint8_t *records, size_t n,
		  uint8_t *const parts[])
{
	const struct planes_kernel *kernel = codec_kernel_in_use()->planes;
	enum planes_shape shape = shape_of(planes);

	if (n == 0)
		return;
	if (!kernel->split[shape])
		kernel = &planes_kernel_scalar;
	kernel->split[shape](planes, records, n, parts);
}

void planes_join(const struct planes *planes, const uint8_t *const parts[], size_t n,
		 uint8_t *records)
{
	const struct planes_kernel *kernel = codec_kernel_in_use()->planes;
	enum planes_shape shape = shape_of(planes);

	if (n == 0)
		return;
	if (!kernel->join[shape])
		kernel = &planes_kernel_scalar;
	kernel->join[shape](planes, parts, n, records);
}

void planes_split_rest(const struct planes *planes, const uint8_t *records, size_t done, size_t n,
		       uint8_t *const parts[])
{
	uint8_t *rest[PLANES_COUNT_MAX];

	for (unsigned k = 0; k < planes->count; k++)
		rest[k] = parts[k] + done * planes->size[k];
	planes_kernel_scalar.split[shape_of(planes)](planes, records + done * planes->unit,
						     n - done, rest);
}

void planes_join_rest(const struct planes *planes, const uint8_t *const parts[], size_t done,
		      size_t n, uint8_t *records)
{
	const uint8_t *rest[PLANES_COUNT_MAX];

	for (unsigned k = 0; k < planes->count; k++)
		rest[k] = parts[k] + done * planes->size[k];
	planes_kernel_scalar.join[shape_of(planes)](planes, rest, n - done,
						    records + done * planes->unit);
}
