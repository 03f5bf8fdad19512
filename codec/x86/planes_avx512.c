/* SPDX-License-Identifier: MIT */
/*
 * planes_avx512.c - the AVX-512 VBMI kernel: a permute of two registers joins or splits them.
 *
 * Bytes of two planes become pairs by two permutes, pairs of two pairs of planes become fours by
 * two more; splitting is the way back. Words are rotated by one operation for a register of them:
 * 32 bits by their own, 16 by the shift of two words of which both are the same.
 */
#include "codec/planes_kernels.h"

#include <immintrin.h>

static inline __m512i right16(__m512i words)
{
	return _mm512_shrdi_epi16(words, words, 1);
}

static inline __m512i left16(__m512i words)
{
	return _mm512_shldi_epi16(words, words, 1);
}

/* 0 to 63, as bytes. */
static inline __m512i sequence(void)
{
	return _mm512_set_epi64(0x3f3e3d3c3b3a3938, 0x3736353433323130, 0x2f2e2d2c2b2a2928,
				0x2726252423222120, 0x1f1e1d1c1b1a1918, 0x1716151413121110,
				0x0f0e0d0c0b0a0908, 0x0706050403020100);
}

/* 0, 64, 1, 65, ..., 31, 95: `first` of one; then from 32 on. */
static inline __m512i interleaving8(int first)
{
	__m512i index = _mm512_cvtepu8_epi16(_mm512_castsi512_si256(sequence()));

	index = _mm512_or_si512(index, _mm512_slli_epi16(index, 8));
	return _mm512_add_epi8(index, _mm512_set1_epi16((short)(0x4000 + 0x0101 * first)));
}

/* The same of 16 bits: 0, 32, 1, 33, ..., 15, 47; then from 16 on. */
static inline __m512i interleaving16(int first)
{
	__m512i index = _mm512_cvtepu8_epi32(_mm512_castsi512_si128(sequence()));

	index = _mm512_or_si512(index, _mm512_slli_epi32(index, 16));
	return _mm512_add_epi16(index, _mm512_set1_epi32(0x200000 + 0x10001 * first));
}

static inline void store(uint8_t *bytes, __m512i vector)
{
	_mm512_storeu_si512(bytes, vector);
}

struct two {
	__m512i first, second;
};

static inline struct two interleave8(__m512i a, __m512i b)
{
	return (struct two){_mm512_permutex2var_epi8(a, interleaving8(0), b),
			    _mm512_permutex2var_epi8(a, interleaving8(32), b)};
}

static inline struct two pairs_of(const uint8_t *low, const uint8_t *high)
{
	return interleave8(_mm512_loadu_si512(low), _mm512_loadu_si512(high));
}

static inline void join_pairs64(uint8_t *records, const struct planes_sources *in, size_t first,
				int rotated)
{
	struct two pairs = pairs_of(in->of[0] + first, in->of[1] + first);

	store(records, rotated ? right16(pairs.first) : pairs.first);
	store(records + 64, rotated ? right16(pairs.second) : pairs.second);
}
PLANES_JOIN(join_pairs, 2, 2, 64, join_pairs64, 0)
PLANES_JOIN(join_rotated_pairs, 2, 2, 64, join_pairs64, 1)

/* 32 records of their lower and upper halves. */
static inline void store_fours(uint8_t *records, __m512i low, __m512i high, int rotated)
{
	__m512i one = _mm512_permutex2var_epi16(low, interleaving16(0), high);
	__m512i two = _mm512_permutex2var_epi16(low, interleaving16(16), high);

	store(records, rotated ? _mm512_ror_epi32(one, 1) : one);
	store(records + 64, rotated ? _mm512_ror_epi32(two, 1) : two);
}

static inline void join_fours64(uint8_t *records, const struct planes_sources *in, size_t first,
				int rotated)
{
	struct two low = pairs_of(in->of[0] + first, in->of[1] + first);
	struct two high = pairs_of(in->of[2] + first, in->of[3] + first);

	store_fours(records, low.first, high.first, rotated);
	store_fours(records + 128, low.second, high.second, rotated);
}
PLANES_JOIN(join_fours, 4, 4, 64, join_fours64, 0)
PLANES_JOIN(join_rotated_fours, 4, 4, 64, join_fours64, 1)

static inline void join_halves64(uint8_t *records, const struct planes_sources *in, size_t first,
				 int rotated)
{
	const uint8_t *low = in->of[0] + 2 * first;
	struct two high = pairs_of(in->of[1] + first, in->of[2] + first);

	store_fours(records, _mm512_loadu_si512(low), high.first, rotated);
	store_fours(records + 128, _mm512_loadu_si512(low + 64), high.second, rotated);
}
PLANES_JOIN(join_halves, 3, 4, 64, join_halves64, 0)
PLANES_JOIN(join_rotated_halves, 3, 4, 64, join_halves64, 1)

/* Every second byte of 128, from the first or from the second on. */
static inline __m512i every_second(__m512i a, __m512i b, int from)
{
	__m512i index = _mm512_add_epi8(sequence(), sequence());

	index = _mm512_or_si512(index, _mm512_set1_epi8((char)from));
	return _mm512_permutex2var_epi8(a, index, b);
}

static inline void split_pairs64(const uint8_t *records, const struct planes_parts *out,
				 size_t first, int rotated)
{
	__m512i one = _mm512_loadu_si512(records), two = _mm512_loadu_si512(records + 64);

	if (rotated) {
		one = left16(one);
		two = left16(two);
	}
	store(out->of[0] + first, every_second(one, two, 0));
	store(out->of[1] + first, every_second(one, two, 1));
}
PLANES_SPLIT(split_pairs, 2, 2, 64, split_pairs64, 0)
PLANES_SPLIT(split_rotated_pairs, 2, 2, 64, split_pairs64, 1)

static inline __m512i load_fours(const uint8_t *records, int rotated)
{
	__m512i words = _mm512_loadu_si512(records);

	return rotated ? _mm512_rol_epi32(words, 1) : words;
}

static inline void split_fours64(const uint8_t *records, const struct planes_parts *out,
				 size_t first, int rotated)
{
	__m512i one = load_fours(records, rotated), two = load_fours(records + 64, rotated);
	__m512i three = load_fours(records + 128, rotated),
		four = load_fours(records + 192, rotated);

#pragma GCC unroll 2
	for (int i = 0; i < 2; i++) { /* planes 0 and 2, then 1 and 3 */
		__m512i low = every_second(one, two, i), high = every_second(three, four, i);
		store(out->of[i] + first, every_second(low, high, 0));
		store(out->of[i + 2] + first, every_second(low, high, 1));
	}
}
PLANES_SPLIT(split_fours, 4, 4, 64, split_fours64, 0)
PLANES_SPLIT(split_rotated_fours, 4, 4, 64, split_fours64, 1)

const struct planes_kernel planes_kernel_avx512 = PLANES_VECTOR_KERNEL;
