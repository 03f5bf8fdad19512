/* SPDX-License-Identifier: MIT */
/*
 * planes_reference.c - byte by byte, by the definition, for all shapes.
 *
 * A word rotated left by one bit: each of its bytes gets the highest bit of the byte below, and the
 * lowest that of the highest byte.
 */
#include "codec/planes_kernels.h"

static uint8_t byte_split(const uint8_t *record, size_t i, size_t word)
{
	if (word == 0)
		return record[i];
	size_t below = i % word == 0 ? i + word - 1 : i - 1;
	return (uint8_t)(record[i] << 1 | record[below] >> 7);
}

static uint8_t byte_joined(const uint8_t *rotated, size_t i, size_t word)
{
	if (word == 0)
		return rotated[i];
	size_t above = i % word == word - 1 ? i + 1 - word : i + 1;
	return (uint8_t)(rotated[i] >> 1 | (rotated[above] & 1) << 7);
}

static void split(const struct planes *planes, const uint8_t *records, size_t n,
		  uint8_t *const parts[])
{
	for (size_t r = 0; r < n; r++, records += planes->unit)
		for (size_t k = 0, i = 0; k < planes->count; k++)
			for (size_t j = 0, size = planes->size[k]; j < size; j++, i++)
				parts[k][r * size + j] = byte_split(records, i, planes->word);
}

static void join(const struct planes *planes, const uint8_t *const parts[], size_t n,
		 uint8_t *records)
{
	uint8_t rotated[PLANES_UNIT_MAX] = {0};

	for (size_t r = 0; r < n; r++, records += planes->unit) {
		for (size_t k = 0, i = 0; k < planes->count; k++)
			for (size_t j = 0, size = planes->size[k]; j < size; j++, i++)
				rotated[i] = parts[k][r * size + j];
		for (size_t i = 0; i < planes->unit; i++)
			records[i] = byte_joined(rotated, i, planes->word);
	}
}

const struct planes_kernel planes_kernel_reference = {
    .split = {split, split, split, split, split, split, split},
    .join = {join, join, join, join, join, join, join},
};
