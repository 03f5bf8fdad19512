/* SPDX-License-Identifier: MIT */
/*
 * planes_scalar.c - the kernel for any machine, and of all machines for records of any shape.
 *
 * Numbers: loops for the compiler to vectorise, which clang does with __builtin_memcpy() only.
 *
 * Any shape: records by the batch, which stays in the first-level cache, and of a batch one plane
 * after the other, which makes the size of what is copied a constant in the loop that copies it.
 * Two neighbours of a byte each, a number of 16 bits in all likelihood, take one loop together.
 * Words are rotated where they lie: behind the joining, or in a copy before the splitting.
 */
#include "codec/planes_kernels.h"

#include "codec/words.h"

enum {
	BATCH = 16 << 10
}; /* bytes: with less, starting loops would take longer than running them */
static_assert((int)BATCH >= (int)PLANES_UNIT_MAX, "a batch holds a record");

static inline uint16_t left16(uint16_t word)
{
	return (uint16_t)(word << 1 | word >> 15);
}

static inline uint16_t right16(uint16_t word)
{
	return (uint16_t)(word >> 1 | word << 15);
}

static inline uint32_t left32(uint32_t word)
{
	return word << 1 | word >> 31;
}

static inline uint32_t right32(uint32_t word)
{
	return word >> 1 | word << 31;
}

static inline void split_pairs(const uint8_t *restrict records, size_t n, uint8_t *const parts[],
			       int rotated)
{
	uint8_t *restrict low = parts[0], *restrict high = parts[1];

	for (size_t i = 0; i < n; i++) {
		uint16_t word;
		__builtin_memcpy(&word, records + 2 * i, 2);
		word = rotated ? left16(word) : word;
		low[i] = (uint8_t)word;
		high[i] = (uint8_t)(word >> 8);
	}
}

static inline void join_pairs(const uint8_t *const parts[], size_t n, uint8_t *restrict records,
			      int rotated)
{
	const uint8_t *restrict low = parts[0], *restrict high = parts[1];

	for (size_t i = 0; i < n; i++) {
		uint16_t word = (uint16_t)(low[i] | high[i] << 8);
		word = rotated ? right16(word) : word;
		__builtin_memcpy(records + 2 * i, &word, 2);
	}
}

static inline void split_fours(const uint8_t *restrict records, size_t n, uint8_t *const parts[],
			       int rotated)
{
	uint8_t *restrict a = parts[0], *restrict b = parts[1];
	uint8_t *restrict c = parts[2], *restrict d = parts[3];

	for (size_t i = 0; i < n; i++) {
		uint32_t word;
		__builtin_memcpy(&word, records + 4 * i, 4);
		word = rotated ? left32(word) : word;
		a[i] = (uint8_t)word;
		b[i] = (uint8_t)(word >> 8);
		c[i] = (uint8_t)(word >> 16);
		d[i] = (uint8_t)(word >> 24);
	}
}

static inline void join_fours(const uint8_t *const parts[], size_t n, uint8_t *restrict records,
			      int rotated)
{
	const uint8_t *restrict a = parts[0], *restrict b = parts[1];
	const uint8_t *restrict c = parts[2], *restrict d = parts[3];

	for (size_t i = 0; i < n; i++) {
		uint32_t word =
		    a[i] | (uint32_t)b[i] << 8 | (uint32_t)c[i] << 16 | (uint32_t)d[i] << 24;
		word = rotated ? right32(word) : word;
		__builtin_memcpy(records + 4 * i, &word, 4);
	}
}

static inline void split_halves(const uint8_t *restrict records, size_t n, uint8_t *const parts[],
				int rotated)
{
	uint8_t *restrict half = parts[0], *restrict c = parts[1], *restrict d = parts[2];

	for (size_t i = 0; i < n; i++) {
		uint32_t word;
		__builtin_memcpy(&word, records + 4 * i, 4);
		word = rotated ? left32(word) : word;
		uint16_t low = (uint16_t)word;
		__builtin_memcpy(half + 2 * i, &low, 2);
		c[i] = (uint8_t)(word >> 16);
		d[i] = (uint8_t)(word >> 24);
	}
}

static inline void join_halves(const uint8_t *const parts[], size_t n, uint8_t *restrict records,
			       int rotated)
{
	const uint8_t *restrict half = parts[0], *restrict c = parts[1], *restrict d = parts[2];

	for (size_t i = 0; i < n; i++) {
		uint16_t low;
		__builtin_memcpy(&low, half + 2 * i, 2);
		uint32_t word = low | (uint32_t)c[i] << 16 | (uint32_t)d[i] << 24;
		word = rotated ? right32(word) : word;
		__builtin_memcpy(records + 4 * i, &word, 4);
	}
}

#define BOTH(shape, rotation, rotated)                                                             \
	static void split_##rotation##shape(const struct planes *planes, const uint8_t *records,   \
					    size_t n, uint8_t *const parts[])                      \
	{                                                                                          \
		(void)planes;                                                                      \
		split_##shape(records, n, parts, rotated);                                         \
	}                                                                                          \
	static void join_##rotation##shape(                                                        \
	    const struct planes *planes, const uint8_t *const parts[], size_t n, uint8_t *records) \
	{                                                                                          \
		(void)planes;                                                                      \
		join_##shape(parts, n, records, rotated);                                          \
	}
BOTH(pairs, plain_, 0)
BOTH(pairs, rotated_, 1)
BOTH(fours, plain_, 0)
BOTH(fours, rotated_, 1)
BOTH(halves, plain_, 0)
BOTH(halves, rotated_, 1)

/* n fields, which lie a step apart. */
struct run {
	uint8_t *to;
	const uint8_t *from;
	size_t to_step, from_step, n;
};

/* Fields of `size` bytes, one or two times `part`, as their first and last `part` bytes. */
static inline __attribute__((always_inline)) void copy(struct run run, size_t size, size_t part)
{
#pragma GCC unroll 4
	for (size_t i = 0; i < run.n; i++) {
		memcpy(run.to, run.from, part);
		if (size > part)
			memcpy(run.to + size - part, run.from + size - part, part);
		run.to += run.to_step;
		run.from += run.from_step;
	}
}

static void copy_fields(struct run run, size_t size)
{
	if (size == 1)
		copy(run, 1, 1);
	else if (size == 2)
		copy(run, 2, 2);
	else if (size == 3)
		copy(run, 3, 2);
	else if (size == 4)
		copy(run, 4, 4);
	else if (size <= 8)
		copy(run, size, 4);
	else if (size <= 16)
		copy(run, size, 8);
	else if (size <= 32)
		copy(run, size, 16);
	else if (size <= 64)
		copy(run, size, 32);
	else if (size <= 128)
		copy(run, size, 64);
	else
		copy(run, size, size);
}

static void rotate_words(uint8_t *bytes, size_t size, unsigned word, int left)
{
	if (word == 2) {
		for (size_t i = 0; i < size; i += 2) {
			uint16_t number;
			__builtin_memcpy(&number, bytes + i, 2);
			number = left ? left16(number) : right16(number);
			__builtin_memcpy(bytes + i, &number, 2);
		}
	} else if (word == 4) {
		for (size_t i = 0; i < size; i += 4) {
			uint32_t number;
			__builtin_memcpy(&number, bytes + i, 4);
			number = left ? left32(number) : right32(number);
			__builtin_memcpy(bytes + i, &number, 4);
		}
	}
}

static int is_pair(const struct planes *planes, unsigned k)
{
	return k + 1 < planes->count && planes->size[k] == 1 && planes->size[k + 1] == 1;
}

static void split_two(const uint8_t *field, size_t unit, size_t n, uint8_t *low, uint8_t *high)
{
#pragma GCC unroll 4
	for (size_t i = 0; i < n; i++, field += unit) {
		low[i] = field[0];
		high[i] = field[1];
	}
}

static void join_two(const uint8_t *low, const uint8_t *high, size_t n, uint8_t *field, size_t unit)
{
#pragma GCC unroll 4
	for (size_t i = 0; i < n; i++, field += unit) {
		uint16_t both = (uint16_t)(low[i] | high[i] << 8);
		memcpy(field, &both, 2);
	}
}

/* The fields of n records, all in the cache, to their planes from record `first` on. */
static void split_batch(const struct planes *planes, const uint8_t *field, size_t n, size_t first,
			uint8_t *const parts[])
{
	const size_t unit = planes->unit;

	for (unsigned k = 0; k < planes->count; k++) {
		const size_t size = planes->size[k];
		uint8_t *part = parts[k] + first * size;
		if (is_pair(planes, k)) {
			split_two(field, unit, n, part, parts[++k] + first);
			field += 2;
			continue;
		}
		copy_fields((struct run){part, field, size, unit, n}, size);
		field += size;
	}
}

static void join_batch(const struct planes *planes, const uint8_t *const parts[], size_t first,
		       size_t n, uint8_t *field)
{
	const size_t unit = planes->unit;

	for (unsigned k = 0; k < planes->count; k++) {
		const size_t size = planes->size[k];
		const uint8_t *part = parts[k] + first * size;
		if (is_pair(planes, k)) {
			join_two(part, parts[++k] + first, n, field, unit);
			field += 2;
			continue;
		}
		copy_fields((struct run){field, part, unit, size, n}, size);
		field += size;
	}
}

static void split_any(const struct planes *planes, const uint8_t *records, size_t n,
		      uint8_t *const parts[])
{
	const size_t unit = planes->unit, most = BATCH / unit;
	uint8_t rotated[BATCH];

	for (size_t first = 0, count; first < n; first += count) {
		const uint8_t *batch = records + first * unit;
		count = n - first < most ? n - first : most;
		if (planes->word != 0) {
			memcpy(rotated, batch, count * unit);
			rotate_words(rotated, count * unit, planes->word, 1);
			batch = rotated;
		}
		split_batch(planes, batch, count, first, parts);
	}
}

static void join_any(const struct planes *planes, const uint8_t *const parts[], size_t n,
		     uint8_t *records)
{
	const size_t unit = planes->unit, most = BATCH / unit;

	for (size_t first = 0, count; first < n; first += count) {
		uint8_t *batch = records + first * unit;
		count = n - first < most ? n - first : most;
		join_batch(planes, parts, first, count, batch);
		rotate_words(batch, count * unit, planes->word, 0);
	}
}

const struct planes_kernel planes_kernel_scalar = {
    .split = {split_any, split_plain_pairs, split_rotated_pairs, split_plain_fours,
	      split_rotated_fours, split_plain_halves, split_rotated_halves},
    .join = {join_any, join_plain_pairs, join_rotated_pairs, join_plain_fours, join_rotated_fours,
	     join_plain_halves, join_rotated_halves},
};
