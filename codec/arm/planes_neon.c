/* SPDX-License-Identifier: MIT */
/*
 * planes_neon.c - the NEON kernel: zipping joins planes, unzipping splits records.
 *
 * The loads and stores of two and four registers that do the same are slower on many cores, and
 * words could not be rotated between. A word is rotated by a shift and an inserting shift.
 */
#include "codec/planes_kernels.h"

#include <arm_neon.h>

static inline uint8x16_t right16(uint8x16_t bytes)
{
	uint16x8_t words = vreinterpretq_u16_u8(bytes);

	return vreinterpretq_u8_u16(vsriq_n_u16(vshlq_n_u16(words, 15), words, 1));
}

static inline uint8x16_t left16(uint8x16_t bytes)
{
	uint16x8_t words = vreinterpretq_u16_u8(bytes);

	return vreinterpretq_u8_u16(vsriq_n_u16(vshlq_n_u16(words, 1), words, 15));
}

static inline uint8x16_t right32(uint8x16_t bytes)
{
	uint32x4_t words = vreinterpretq_u32_u8(bytes);

	return vreinterpretq_u8_u32(vsriq_n_u32(vshlq_n_u32(words, 31), words, 1));
}

static inline uint8x16_t left32(uint8x16_t bytes)
{
	uint32x4_t words = vreinterpretq_u32_u8(bytes);

	return vreinterpretq_u8_u32(vsriq_n_u32(vshlq_n_u32(words, 1), words, 31));
}

static inline void join_pairs16(uint8_t *records, const struct planes_sources *in, size_t first,
				int rotated)
{
	uint8x16_t low = vld1q_u8(in->of[0] + first), high = vld1q_u8(in->of[1] + first);
	uint8x16_t one = vzip1q_u8(low, high), two = vzip2q_u8(low, high);

	vst1q_u8(records, rotated ? right16(one) : one);
	vst1q_u8(records + 16, rotated ? right16(two) : two);
}
PLANES_JOIN(join_pairs, 2, 2, 16, join_pairs16, 0)
PLANES_JOIN(join_rotated_pairs, 2, 2, 16, join_pairs16, 1)

/* Eight records of their lower and upper halves. */
static inline void store_fours(uint8_t *records, uint8x16_t low, uint8x16_t high, int rotated)
{
	uint16x8_t lows = vreinterpretq_u16_u8(low), highs = vreinterpretq_u16_u8(high);
	uint8x16_t one = vreinterpretq_u8_u16(vzip1q_u16(lows, highs));
	uint8x16_t two = vreinterpretq_u8_u16(vzip2q_u16(lows, highs));

	vst1q_u8(records, rotated ? right32(one) : one);
	vst1q_u8(records + 16, rotated ? right32(two) : two);
}

static inline void join_fours16(uint8_t *records, const struct planes_sources *in, size_t first,
				int rotated)
{
	uint8x16_t a = vld1q_u8(in->of[0] + first), b = vld1q_u8(in->of[1] + first);
	uint8x16_t c = vld1q_u8(in->of[2] + first), d = vld1q_u8(in->of[3] + first);

	store_fours(records, vzip1q_u8(a, b), vzip1q_u8(c, d), rotated);
	store_fours(records + 32, vzip2q_u8(a, b), vzip2q_u8(c, d), rotated);
}
PLANES_JOIN(join_fours, 4, 4, 16, join_fours16, 0)
PLANES_JOIN(join_rotated_fours, 4, 4, 16, join_fours16, 1)

static inline void join_halves16(uint8_t *records, const struct planes_sources *in, size_t first,
				 int rotated)
{
	const uint8_t *low = in->of[0] + 2 * first;
	uint8x16_t c = vld1q_u8(in->of[1] + first), d = vld1q_u8(in->of[2] + first);

	store_fours(records, vld1q_u8(low), vzip1q_u8(c, d), rotated);
	store_fours(records + 32, vld1q_u8(low + 16), vzip2q_u8(c, d), rotated);
}
PLANES_JOIN(join_halves, 3, 4, 16, join_halves16, 0)
PLANES_JOIN(join_rotated_halves, 3, 4, 16, join_halves16, 1)

static inline void split_pairs16(const uint8_t *records, const struct planes_parts *out,
				 size_t first, int rotated)
{
	uint8x16_t one = vld1q_u8(records), two = vld1q_u8(records + 16);

	if (rotated) {
		one = left16(one);
		two = left16(two);
	}
	vst1q_u8(out->of[0] + first, vuzp1q_u8(one, two));
	vst1q_u8(out->of[1] + first, vuzp2q_u8(one, two));
}
PLANES_SPLIT(split_pairs, 2, 2, 16, split_pairs16, 0)
PLANES_SPLIT(split_rotated_pairs, 2, 2, 16, split_pairs16, 1)

static inline uint8x16_t load_fours(const uint8_t *records, int rotated)
{
	uint8x16_t words = vld1q_u8(records);

	return rotated ? left32(words) : words;
}

static inline void split_fours16(const uint8_t *records, const struct planes_parts *out,
				 size_t first, int rotated)
{
	uint8x16_t one = load_fours(records, rotated), two = load_fours(records + 16, rotated);
	uint8x16_t three = load_fours(records + 32, rotated);
	uint8x16_t four = load_fours(records + 48, rotated);
	uint8x16_t even[2] = {vuzp1q_u8(one, two), vuzp1q_u8(three, four)};
	uint8x16_t odd[2] = {vuzp2q_u8(one, two), vuzp2q_u8(three, four)};

	vst1q_u8(out->of[0] + first, vuzp1q_u8(even[0], even[1]));
	vst1q_u8(out->of[1] + first, vuzp1q_u8(odd[0], odd[1]));
	vst1q_u8(out->of[2] + first, vuzp2q_u8(even[0], even[1]));
	vst1q_u8(out->of[3] + first, vuzp2q_u8(odd[0], odd[1]));
}
PLANES_SPLIT(split_fours, 4, 4, 16, split_fours16, 0)
PLANES_SPLIT(split_rotated_fours, 4, 4, 16, split_fours16, 1)

const struct planes_kernel planes_kernel_neon = PLANES_VECTOR_KERNEL;
