/* SPDX-License-Identifier: MIT */
/*
 * decode_avx512.c - the AVX-512 VBMI2 kernel: 64 elements at a time, bits as masks.
 *
 * Merge: 64 bits of a bitmap are a mask register, and an expanding move puts the next elements of
 * a list where the mask has its ones: two of them, one over the other, merge two lists. Only the
 * cursors carry from group to group, by one addition each.
 *
 * Unpack: eight indices lie within the 8 bytes from their first bit's byte on (7 bits of phase and
 * 8 * 7 of indices; the width of 8 is special). One permute brings each eight to a 64-bit lane of
 * their own, one multishift an index to each byte, one permute the symbols for the indices.
 *
 * Bounds, besides what decode_template.h says: a group reads 64 bytes of a list at its cursor, and
 * 64 coded bytes from the one with its first bit on, so at most CODEC_SLACK - 1 behind that.
 */
#include "codec/kernels.h"
#include "codec/words.h"

#include <immintrin.h>
#include <string.h>

enum { WIDTH = 64 };
_Static_assert((int)WIDTH <= (int)CODEC_LIST_SLACK, "a group may run on by that much");

static inline size_t popcount(uint64_t word)
{
	return (size_t)_mm_popcnt_u64(word);
}

static inline size_t count_ones(const uint8_t *coded, size_t position, size_t count)
{
	const uint8_t *bytes = coded + position / 8;
	size_t phase = position % 8, bits = phase + count;
	__m512i sums = _mm512_setzero_si512();

	for (; bits > 512; bits -= 512, bytes += 64)
		sums = _mm512_add_epi64(sums, _mm512_popcnt_epi64(_mm512_loadu_si512(bytes)));
	/* Of the last 1 to 512 bits, whole words by a mask, and the bits of the word that ends. */
	__m512i last = _mm512_maskz_loadu_epi64((__mmask8)((1u << bits / 64) - 1), bytes);
	sums = _mm512_add_epi64(sums, _mm512_popcnt_epi64(last));
	size_t ones = (size_t)_mm512_reduce_add_epi64(sums);
	if (bits < 512)
		ones += popcount(_bzhi_u64(load64(bytes + bits / 64 * 8), (unsigned)(bits % 64)));
	return ones - popcount(_bzhi_u64(coded[position / 8], (unsigned)phase));
}

/* 512 bits of a bitmap, from any bit on, as words. */
struct bitmap {
	const uint8_t *next;
	unsigned phase;
	_Alignas(64) uint64_t words[8];
};

static inline struct bitmap bitmap_at(const uint8_t *coded, size_t position)
{
	return (struct bitmap){.next = coded + position / 8, .phase = (unsigned)(position % 8)};
}

/*
 * The words of the next `count` elements, at most 512. The last word takes its upper bits from the
 * 65th byte; that one is read, with 7 after it, only where the elements reach into it.
 */
static inline void next_words(struct bitmap *bitmap, size_t count)
{
	__mmask8 reach = bitmap->phase + count > 512 ? 0xff : 0x7f;
	__m512i low = _mm512_loadu_si512(bitmap->next);
	__m512i high = _mm512_maskz_loadu_epi64(reach, bitmap->next + 8);

	_mm512_store_si512(bitmap->words,
			   _mm512_shrdv_epi64(low, high, _mm512_set1_epi64(bitmap->phase)));
	bitmap->next += 64;
}

static inline void store_last(uint8_t *out, __m512i group, size_t left, int exact)
{
	if (exact)
		_mm512_mask_storeu_epi8(out, _bzhi_u64(UINT64_MAX, (unsigned)left), group);
	else
		_mm512_storeu_si512(out, group);
}

/* `merged` is an expression of `bits`, which says where 64 elements come from. */
#define MERGE_GROUP(word, merged)                                                                  \
	do {                                                                                       \
		uint64_t bits = bitmap.words[word];                                                \
		_mm512_storeu_si512(out, merged);                                                  \
		out += WIDTH;                                                                      \
	} while (0)

#define MERGE_LOOP(merged)                                                                         \
	do {                                                                                       \
		struct bitmap bitmap = bitmap_at(coded, position);                                 \
		for (; count >= 8 * WIDTH; count -= 8 * WIDTH) {                                   \
			next_words(&bitmap, 8 * WIDTH);                                            \
			MERGE_GROUP(0, merged);                                                    \
			MERGE_GROUP(1, merged);                                                    \
			MERGE_GROUP(2, merged);                                                    \
			MERGE_GROUP(3, merged);                                                    \
			MERGE_GROUP(4, merged);                                                    \
			MERGE_GROUP(5, merged);                                                    \
			MERGE_GROUP(6, merged);                                                    \
			MERGE_GROUP(7, merged);                                                    \
		}                                                                                  \
		if (count == 0)                                                                    \
			break;                                                                     \
		next_words(&bitmap, count);                                                        \
		size_t word = 0;                                                                   \
		for (; count >= WIDTH; count -= WIDTH)                                             \
			MERGE_GROUP(word++, merged);                                               \
		if (count > 0) {                                                                   \
			uint64_t bits = bitmap.words[word];                                        \
			store_last(out, merged, count, exact);                                     \
		}                                                                                  \
	} while (0)

/*
 * Zen 5 makes a zeroing expand wait for the old value of its destination: without this, groups
 * would queue up behind each other, at half the speed. The compiler must not see through it.
 */
static inline __m512i fresh_zero(void)
{
	__m512i zero;

	__asm__ volatile("vpxor %x0, %x0, %x0" : "=x"(zero));
	return zero;
}

static inline __m512i take_left(__m512i rest, const uint8_t **left, uint64_t bits)
{
	__m512i group = _mm512_mask_expand_epi8(rest, ~bits, _mm512_loadu_si512(*left));

	*left += WIDTH - popcount(bits);
	return group;
}

static inline __m512i take_right(__m512i rest, const uint8_t **right, uint64_t bits)
{
	__m512i group = _mm512_mask_expand_epi8(rest, bits, _mm512_loadu_si512(*right));

	*right += popcount(bits);
	return group;
}

static inline void merge(uint8_t *out, const uint8_t *left, const uint8_t *right,
			 const uint8_t *coded, size_t position, size_t count, int exact)
{
	MERGE_LOOP(take_right(take_left(fresh_zero(), &left, bits), &right, bits));
}

static inline void merge_left_constant(uint8_t *out, uint8_t left, const uint8_t *right,
				       const uint8_t *coded, size_t position, size_t count,
				       int exact)
{
	__m512i constant = _mm512_set1_epi8((char)left);
	MERGE_LOOP(take_right(constant, &right, bits));
}

static inline void merge_right_constant(uint8_t *out, const uint8_t *left, uint8_t right,
					const uint8_t *coded, size_t position, size_t count,
					int exact)
{
	__m512i constant = _mm512_set1_epi8((char)right);
	MERGE_LOOP(take_left(constant, &left, bits));
}

static inline void merge_constants(uint8_t *out, uint8_t left, uint8_t right, const uint8_t *coded,
				   size_t position, size_t count, int exact)
{
	__m512i lefts = _mm512_set1_epi8((char)left), rights = _mm512_set1_epi8((char)right);
	MERGE_LOOP(_mm512_mask_blend_epi8(bits, lefts, rights));
}

/* How to bring 64 indices to a byte each. */
struct unpacker {
	__m512i bytes;  /* permute: lane k takes the 8 bytes from k * width on */
	__m512i starts; /* multishift: index j of a lane starts at bit phase + j * width */
	__m512i mask;
};

static inline struct unpacker unpacker_for(unsigned width, unsigned phase)
{
	const __m512i lanes = _mm512_set_epi64(
	    0x0707070707070707, 0x0606060606060606, 0x0505050505050505, 0x0404040404040404,
	    0x0303030303030303, 0x0202020202020202, 0x0101010101010101, 0);
	const __m512i places = _mm512_set1_epi64(0x0706050403020100);
	uint64_t starts =
	    UINT64_C(0x0706050403020100) * width + UINT64_C(0x0101010101010101) * phase;
	/* At most 7 * 8 in every byte: the products of 16 bits do not run over. */
	__m512i firsts = _mm512_mullo_epi16(lanes, _mm512_set1_epi16((short)width));

	return (struct unpacker){_mm512_add_epi8(firsts, places),
				 _mm512_set1_epi64((long long)starts),
				 _mm512_set1_epi8((char)((1u << width) - 1))};
}

static inline __m512i unpack_group(const struct unpacker *unpacker, const uint8_t *bytes)
{
	__m512i lanes = _mm512_permutexvar_epi8(unpacker->bytes, _mm512_loadu_si512(bytes));

	return _mm512_and_si512(_mm512_multishift_epi64_epi8(unpacker->starts, lanes),
				unpacker->mask);
}

#define UNPACK_LOOP(symbols_of_indices)                                                            \
	do {                                                                                       \
		for (; count >= WIDTH; count -= WIDTH, out += WIDTH, bytes += 8 * width) {         \
			__m512i indices = unpack_group(&unpacker, bytes);                          \
			_mm512_storeu_si512(out, symbols_of_indices);                              \
		}                                                                                  \
		if (count > 0) {                                                                   \
			__m512i indices = unpack_group(&unpacker, bytes);                          \
			store_last(out, symbols_of_indices, count, exact);                         \
		}                                                                                  \
	} while (0)

/* Loading more symbols than a chunk has is no harm: tree->symbols is CODEC_LIST_SLACK longer. */
static inline void unpack(uint8_t *out, const struct codec_tree *tree,
			  const struct codec_node *node, const uint8_t *coded, size_t position,
			  size_t count, int exact)
{
	const uint8_t *symbols = tree->symbols + node->first, *bytes = coded + position / 8;
	const unsigned width = node->width;
	const struct unpacker unpacker = unpacker_for(width, position % 8);

	if (width <= 6) {
		__m512i table = _mm512_loadu_si512(symbols);
		UNPACK_LOOP(_mm512_permutexvar_epi8(indices, table));
	} else if (width == 7) {
		__m512i low = _mm512_loadu_si512(symbols), high = _mm512_loadu_si512(symbols + 64);
		UNPACK_LOOP(_mm512_permutex2var_epi8(low, indices, high));
	} else {
		UNPACK_LOOP(indices); /* a chunk of all 256 symbols, hence at phase 0 */
	}
}

#include "codec/decode_template.h"

static int supported(void)
{
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	       __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
	       __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vbmi2") &&
	       __builtin_cpu_supports("avx512vpopcntdq") && __builtin_cpu_supports("bmi") &&
	       __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
}

const struct codec_kernel codec_kernel_avx512 = {
    .name = "avx512",
    .supported = supported,
    .decode = decode,
    .encode = codec_encode_avx512,
    .dequant = &dequant_kernel_avx512,
    .planes = &planes_kernel_avx512,
    .ggml_blocks = &ggml_blocks_kernel_avx512,
};
