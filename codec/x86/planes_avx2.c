/* SPDX-License-Identifier: MIT */
/*
 * planes_avx2.c - the AVX2 kernel: unpacking joins planes, shuffling and packing splits records.
 *
 * Unpacking works in each half of a register by itself. For records of 2 bytes, planes are put in
 * an order before that leaves the records in sequence; for 4 bytes, halves are put together after.
 * Words are rotated as whole records: two shifts for as many of them as a register holds.
 */
#include "codec/planes_kernels.h"

#include <immintrin.h>

static inline __m256i load(const uint8_t *bytes)
{
	return _mm256_loadu_si256((const __m256i *)bytes);
}

static inline void store(uint8_t *bytes, __m256i vector)
{
	_mm256_storeu_si256((__m256i *)bytes, vector);
}

static inline __m256i right16(__m256i words)
{
	return _mm256_or_si256(_mm256_srli_epi16(words, 1), _mm256_slli_epi16(words, 15));
}

static inline __m256i left16(__m256i words)
{
	return _mm256_or_si256(_mm256_add_epi16(words, words), _mm256_srli_epi16(words, 15));
}

static inline __m256i right32(__m256i words)
{
	return _mm256_or_si256(_mm256_srli_epi32(words, 1), _mm256_slli_epi32(words, 31));
}

static inline __m256i left32(__m256i words)
{
	return _mm256_or_si256(_mm256_add_epi32(words, words), _mm256_srli_epi32(words, 31));
}

/* Of four quarters the second and the third exchanged. */
static inline __m256i exchange(__m256i vector)
{
	return _mm256_permute4x64_epi64(vector, _MM_SHUFFLE(3, 1, 2, 0));
}

static inline void join_pairs32(uint8_t *records, const struct planes_sources *in, size_t first,
				int rotated)
{
	__m256i low = exchange(load(in->of[0] + first)), high = exchange(load(in->of[1] + first));
	__m256i one = _mm256_unpacklo_epi8(low, high), two = _mm256_unpackhi_epi8(low, high);

	store(records, rotated ? right16(one) : one);
	store(records + 32, rotated ? right16(two) : two);
}
PLANES_JOIN(join_pairs, 2, 2, 32, join_pairs32, 0)
PLANES_JOIN(join_rotated_pairs, 2, 2, 32, join_pairs32, 1)

static inline void split_pairs32(const uint8_t *records, const struct planes_parts *out,
				 size_t first, int rotated)
{
	const __m256i mask = _mm256_set1_epi16(0x00ff);
	__m256i one = load(records), two = load(records + 32);

	if (rotated) {
		one = left16(one);
		two = left16(two);
	}
	store(out->of[0] + first, exchange(_mm256_packus_epi16(_mm256_and_si256(one, mask),
							       _mm256_and_si256(two, mask))));
	store(out->of[1] + first,
	      exchange(_mm256_packus_epi16(_mm256_srli_epi16(one, 8), _mm256_srli_epi16(two, 8))));
}
PLANES_SPLIT(split_pairs, 2, 2, 32, split_pairs32, 0)
PLANES_SPLIT(split_rotated_pairs, 2, 2, 32, split_pairs32, 1)

/* The lower and the upper halves of 16 records, both in an order that exchange() gives bytes. */
static inline void store_fours16(uint8_t *records, __m256i low, __m256i high, int rotated)
{
	__m256i one = _mm256_unpacklo_epi16(low, high), two = _mm256_unpackhi_epi16(low, high);

	if (rotated) {
		one = right32(one);
		two = right32(two);
	}
	store(records, one);
	store(records + 32, two);
}

/* Planes as bytes 0 to 3, 8 to 11, 16 to 19, 24 to 27 | 4 to 7, ...: what unpacking twice undoes.
 */
static inline __m256i load_fours(const uint8_t *plane)
{
	return _mm256_permutevar8x32_epi32(load(plane), _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7));
}

static inline void join_fours32(uint8_t *records, const struct planes_sources *in, size_t first,
				int rotated)
{
	__m256i a = load_fours(in->of[0] + first), b = load_fours(in->of[1] + first);
	__m256i c = load_fours(in->of[2] + first), d = load_fours(in->of[3] + first);

	store_fours16(records, _mm256_unpacklo_epi8(a, b), _mm256_unpacklo_epi8(c, d), rotated);
	store_fours16(records + 64, _mm256_unpackhi_epi8(a, b), _mm256_unpackhi_epi8(c, d),
		      rotated);
}
PLANES_JOIN(join_fours, 4, 4, 32, join_fours32, 0)
PLANES_JOIN(join_rotated_fours, 4, 4, 32, join_fours32, 1)

static inline void join_halves32(uint8_t *records, const struct planes_sources *in, size_t first,
				 int rotated)
{
	__m256i one = exchange(load(in->of[0] + 2 * first));
	__m256i two = exchange(load(in->of[0] + 2 * first + 32));
	__m256i c = load_fours(in->of[1] + first), d = load_fours(in->of[2] + first);

	store_fours16(records, one, _mm256_unpacklo_epi8(c, d), rotated);
	store_fours16(records + 64, two, _mm256_unpackhi_epi8(c, d), rotated);
}
PLANES_JOIN(join_halves, 3, 4, 32, join_halves32, 0)
PLANES_JOIN(join_rotated_halves, 3, 4, 32, join_halves32, 1)

/* Eight records as lanes of four bytes, one of each plane in each half. */
static inline __m256i load_lanes(const uint8_t *records, int rotated)
{
	const __m256i order = _mm256_broadcastsi128_si256(
	    _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
	__m256i words = load(records);

	return _mm256_shuffle_epi8(rotated ? left32(words) : words, order);
}

/* Of two planes in turn the lanes of 16 records, then of 16 more; in each half of both alike. */
static inline void store_lanes(uint8_t *even, uint8_t *odd, __m256i one, __m256i two)
{
	const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
	__m256i low = _mm256_unpacklo_epi64(one, two), high = _mm256_unpackhi_epi64(one, two);

	store(even, _mm256_permutevar8x32_epi32(low, order));
	store(odd, _mm256_permutevar8x32_epi32(high, order));
}

static inline void split_fours32(const uint8_t *records, const struct planes_parts *out,
				 size_t first, int rotated)
{
	__m256i a = load_lanes(records, rotated), b = load_lanes(records + 32, rotated);
	__m256i c = load_lanes(records + 64, rotated), d = load_lanes(records + 96, rotated);

	store_lanes(out->of[0] + first, out->of[1] + first, _mm256_unpacklo_epi32(a, b),
		    _mm256_unpacklo_epi32(c, d));
	store_lanes(out->of[2] + first, out->of[3] + first, _mm256_unpackhi_epi32(a, b),
		    _mm256_unpackhi_epi32(c, d));
}
PLANES_SPLIT(split_fours, 4, 4, 32, split_fours32, 0)
PLANES_SPLIT(split_rotated_fours, 4, 4, 32, split_fours32, 1)

const struct planes_kernel planes_kernel_avx2 = PLANES_VECTOR_KERNEL;
