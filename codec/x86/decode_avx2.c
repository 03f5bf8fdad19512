/* SPDX-License-Identifier: MIT */
/*
 * decode_avx2.c - the AVX2 kernel: 32 elements at a time by byte shuffles.
 *
 * Merge: a group's 32 bits index codec_ranks byte by byte; the four controls, side by side in two
 * 16-byte lanes, pick elements out of 16 bytes loaded at each list's cursor, once per lane. Only
 * the cursors carry from group to group, one addition each, so groups overlap freely. This is
 * bound by instructions issued, about 33 a group.
 *
 * Unpack: a shuffle brings the two bytes that hold a flat index to a 16-bit lane, a multiplication
 * moves it to the top whatever its phase, one shift brings it down. Index to symbol: up to 16
 * symbols by a shuffle; larger chunks by addition where their symbols are one or two runs of
 * consecutive values (weights: a peak, its two flanks), else by one shuffle per 16 symbols.
 *
 * Bounds, besides what decode_template.h says: from a list, a group reads 16 bytes at its cursor
 * and 16 at most 16 further on, whatever its bits are: 2 * WIDTH hold it. Of the coded bytes, a
 * group of a bitmap reads 8 from the one with its first bit on, a group of indices up to 40.
 */
#include "codec/kernels.h"
#include "codec/words.h"

#include <cpuid.h>
#include <immintrin.h>
#include <string.h>

enum { WIDTH = 32 };
_Static_assert(2 * WIDTH <= CODEC_LIST_SLACK, "a group may run on by that much");

/* Whole words within the node's bits, and one more, which starts where they end at the latest. */
static inline size_t count_ones(const uint8_t *coded, size_t position, size_t count)
{
	const uint8_t *bytes = coded + position / 8;
	size_t phase = position % 8, bits = phase + count, i = 0;
	uint64_t ones = 0, more = 0;

	for (; bits - i >= 128; i += 128) {
		ones += (uint64_t)_mm_popcnt_u64(load64(bytes + i / 8));
		more += (uint64_t)_mm_popcnt_u64(load64(bytes + i / 8 + 8));
	}
	if (bits - i >= 64) {
		ones += (uint64_t)_mm_popcnt_u64(load64(bytes + i / 8));
		i += 64;
	}
	more += (uint64_t)_mm_popcnt_u64(_bzhi_u64(load64(bytes + i / 8), (unsigned)(bits - i)));
	ones -= (uint64_t)_mm_popcnt_u64(_bzhi_u64(bytes[0], (unsigned)phase));
	return ones + more;
}

/* Stores a group of which only the first `left` elements count, if fewer than WIDTH. */
static inline void store_last(uint8_t *out, __m256i group, size_t left, int exact)
{
	if (exact) {
		uint8_t whole[WIDTH];
		_mm256_storeu_si256((__m256i *)whole, group);
		memcpy(out, whole, left);
	} else {
		_mm256_storeu_si256((__m256i *)out, group);
	}
}

static inline __m256i load_pair(const void *low, const void *high)
{
	return _mm256_inserti128_si256(
	    _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)low)),
	    _mm_loadu_si128((const __m128i *)high), 1);
}

/* A bitmap read in groups of 32 bits from any bit on; each reads 8 bytes. */
struct bitmap {
	const uint8_t *next;
	unsigned phase;
	__m256i phases;
};

static inline struct bitmap bitmap_at(const uint8_t *coded, size_t position)
{
	return (struct bitmap){coded + position / 8, (unsigned)(position % 8),
			       _mm256_set1_epi64x((long long)(position % 8))};
}

/* A group's bits, and what they say about its elements. */
struct group {
	size_t ones;      /* of its 32 bits */
	size_t half_ones; /* of the first 16, which make the lower lane */
	__m256i bits;     /* 0xff where the bit is set */
	__m256i below;    /* minus the ones up to and with this bit, within its lane of 16 */
};

static inline struct group next_group(struct bitmap *bitmap)
{
	const __m256i spread =
	    _mm256_set_epi64x(0x0303030303030303, 0x0202020202020202, 0x0101010101010101, 0);
	const __m256i select = _mm256_set1_epi64x((long long)0x8040201008040201);
	const __m256i carry = _mm256_set_epi64x(0x0707070707070707, -1, 0x0707070707070707, -1);
	uint32_t scalar = (uint32_t)(load64(bitmap->next) >> bitmap->phase);
	__m256i bits = _mm256_set1_epi64x((long long)load64(bitmap->next)), sums;

	bitmap->next += 4;
	bits = _mm256_shuffle_epi8(_mm256_srlv_epi64(bits, bitmap->phases), spread);
	bits = _mm256_cmpeq_epi8(_mm256_and_si256(bits, select), select);
	/* Running sums of 8 in three doublings; then the upper 8 take on the lower's total. */
	sums = _mm256_add_epi8(bits, _mm256_slli_epi64(bits, 8));
	sums = _mm256_add_epi8(sums, _mm256_slli_epi64(sums, 16));
	sums = _mm256_add_epi8(sums, _mm256_slli_epi64(sums, 32));
	sums = _mm256_add_epi8(sums, _mm256_shuffle_epi8(sums, carry));
	return (struct group){(size_t)_mm_popcnt_u32(scalar),
			      (size_t)_mm_popcnt_u32(scalar & 0xffff), bits, sums};
}

/* The left elements at their places; anything where the bit is set. */
static inline __m256i spread_left(const struct group *group, const uint8_t **left)
{
	const __m256i places = _mm256_set_epi64x(0x0f0e0d0c0b0a0908, 0x0706050403020100,
						 0x0f0e0d0c0b0a0908, 0x0706050403020100);
	const uint8_t *upper = *left - group->half_ones;
	__m256i lefts = load_pair(*left, upper + 16);

	*left -= group->ones;
	*left += WIDTH;
	return _mm256_shuffle_epi8(lefts, _mm256_add_epi8(places, group->below));
}

/* The right elements at their places; anything where the bit is clear. */
static inline __m256i spread_right(const struct group *group, const uint8_t **right)
{
	__m256i rights = load_pair(*right, *right + group->half_ones);

	*right += group->ones;
	return _mm256_shuffle_epi8(rights, _mm256_xor_si256(group->below, _mm256_set1_epi8(-1)));
}

#define MERGE_LOOP(lefts, rights)                                                                  \
	do {                                                                                       \
		struct bitmap bitmap = bitmap_at(coded, position);                                 \
		size_t i = 0;                                                                      \
		for (; count - i >= WIDTH; i += WIDTH) {                                           \
			struct group group = next_group(&bitmap);                                  \
			_mm256_storeu_si256((__m256i *)(out + i),                                  \
					    _mm256_blendv_epi8(lefts, rights, group.bits));        \
		}                                                                                  \
		if (i < count) {                                                                   \
			struct group group = next_group(&bitmap);                                  \
			store_last(out + i, _mm256_blendv_epi8(lefts, rights, group.bits),         \
				   count - i, root != NULL);                                       \
		}                                                                                  \
	} while (0)

static inline void merge(uint8_t *out, const uint8_t *left, const uint8_t *right,
			 const uint8_t *coded, size_t position, size_t count,
			 struct codec_fold *root)
{
	MERGE_LOOP(spread_left(&group, &left), spread_right(&group, &right));
}

static inline void merge_left_constant(uint8_t *out, uint8_t left, const uint8_t *right,
				       const uint8_t *coded, size_t position, size_t count,
				       struct codec_fold *root)
{
	__m256i constant = _mm256_set1_epi8((char)left);
	MERGE_LOOP(constant, spread_right(&group, &right));
}

static inline void merge_right_constant(uint8_t *out, const uint8_t *left, uint8_t right,
					const uint8_t *coded, size_t position, size_t count,
					struct codec_fold *root)
{
	__m256i constant = _mm256_set1_epi8((char)right);
	MERGE_LOOP(spread_left(&group, &left), constant);
}

static inline void merge_constants(uint8_t *out, uint8_t left, uint8_t right, const uint8_t *coded,
				   size_t position, size_t count, struct codec_fold *root)
{
	__m256i lefts = _mm256_set1_epi8((char)left), rights = _mm256_set1_epi8((char)right);
	MERGE_LOOP(lefts, rights);
}

/* How to bring 32 flat indices, eight to a group of `width` bytes, to bytes of their own. */
struct unpacker {
	__m256i bytes;    /* shuffle: the two bytes that hold an index */
	__m256i multiply; /* 1 << (16 - width - phase): moves an index to the top of 16 bits */
	__m256i down;     /* 1 << width: the high product is the index, at the bottom */
};

/* Index j of a group starts at bit phase + j * width; with width <= 8 it ends within 16 bits. */
static inline struct unpacker unpacker_for(unsigned width, unsigned phase)
{
	const __m128i powers_low = _mm_set_epi64x(0, (long long)0x8040201008040201);
	const __m128i powers_high = _mm_set_epi64x((long long)0x8040201008040201, 0);
	__m128i starts = _mm_add_epi16(
	    _mm_mullo_epi16(_mm_set_epi16(7, 6, 5, 4, 3, 2, 1, 0), _mm_set1_epi16((short)width)),
	    _mm_set1_epi16((short)phase));
	__m128i byte = _mm_srli_epi16(starts, 3);
	__m128i up = _mm_sub_epi16(_mm_set1_epi16((short)(16 - width)),
				   _mm_and_si128(starts, _mm_set1_epi16(7)));
	__m128i bytes =
	    _mm_add_epi16(_mm_or_si128(byte, _mm_slli_epi16(byte, 8)), _mm_set1_epi16(0x0100));
	/* Low byte of 1 << up in the even bytes, high byte in the odd ones; 0x80 selects zero. */
	__m128i multiply = _mm_or_si128(
	    _mm_shuffle_epi8(powers_low, _mm_or_si128(up, _mm_set1_epi16((short)0x8000))),
	    _mm_shuffle_epi8(powers_high,
			     _mm_or_si128(_mm_slli_epi16(up, 8), _mm_set1_epi16(0x80))));

	return (struct unpacker){_mm256_broadcastsi128_si256(bytes),
				 _mm256_broadcastsi128_si256(multiply),
				 _mm256_set1_epi16((short)(1 << width))};
}

/* Reads 3 * width + 16 bytes. */
static inline __m256i unpack_group(const struct unpacker *unpacker, const uint8_t *bytes,
				   unsigned width)
{
	/* In this order the final pack, which works by lanes, leaves them in sequence. */
	__m256i even = load_pair(bytes, bytes + 2 * width);
	__m256i odd = load_pair(bytes + width, bytes + 3 * width);

	even = _mm256_shuffle_epi8(even, unpacker->bytes);
	odd = _mm256_shuffle_epi8(odd, unpacker->bytes);
	even = _mm256_mulhi_epu16(_mm256_mullo_epi16(even, unpacker->multiply), unpacker->down);
	odd = _mm256_mulhi_epu16(_mm256_mullo_epi16(odd, unpacker->multiply), unpacker->down);
	return _mm256_packus_epi16(even, odd);
}

/* Also where a chunk has fewer: tree->symbols is longer by CODEC_LIST_SLACK. */
static inline __m256i load_symbols(const uint8_t *symbols)
{
	return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)symbols));
}

/* Any symbols: each 16 of them answer for the indices with their upper half. */
static inline __m256i look_up(const uint8_t *symbols, unsigned count, __m256i indices)
{
	__m256i result = _mm256_setzero_si256();

	for (unsigned base = 0; base < count; base += 16) {
		__m256i near = _mm256_xor_si256(indices, _mm256_set1_epi8((char)base));
		/* An index elsewhere saturates to 0x80 or more, which selects zero. */
		near = _mm256_adds_epu8(near, _mm256_set1_epi8(0x70));
		result = _mm256_or_si256(result,
					 _mm256_shuffle_epi8(load_symbols(symbols + base), near));
	}
	return result;
}

/* How a chunk's indices become symbols. */
struct mapping {
	const uint8_t *symbols;
	unsigned count;
	int by_runs;
	__m256i table;           /* count <= 16 */
	__m256i first, cut, gap; /* by_runs: index + first, + gap too where index > cut */
};

static inline struct mapping mapping_for(const struct codec_node *node, const uint8_t *symbols)
{
	struct mapping mapping = {.symbols = symbols, .count = 1u << node->width};

	/* Signed comparison: indices above 127 only occur in the one chunk of all 256 symbols. */
	mapping.by_runs = node->runs <= 2;
	mapping.table = load_symbols(symbols);
	mapping.first = _mm256_set1_epi8((char)symbols[0]);
	mapping.cut = _mm256_set1_epi8((char)(node->cut - 1));
	mapping.gap = _mm256_set1_epi8((char)(symbols[node->cut] - symbols[0] - node->cut));
	return mapping;
}

static inline __m256i map(const struct mapping *mapping, __m256i indices)
{
	if (mapping->count <= 16)
		return _mm256_shuffle_epi8(mapping->table, indices);
	if (!mapping->by_runs)
		return look_up(mapping->symbols, mapping->count, indices);
	__m256i above = _mm256_cmpgt_epi8(indices, mapping->cut);
	return _mm256_add_epi8(_mm256_add_epi8(indices, mapping->first),
			       _mm256_and_si256(above, mapping->gap));
}

/* Inlined for each width, which thereby is a constant. */
static inline __attribute__((always_inline)) void
unpack_width(uint8_t *out, unsigned width, const struct codec_node *node, const uint8_t *symbols,
	     const uint8_t *coded, size_t position, size_t count, struct codec_fold *root)
{
	struct unpacker unpacker = unpacker_for(width, position % 8);
	struct mapping mapping = mapping_for(node, symbols);
	const uint8_t *bytes = coded + position / 8;

	mapping.count = 1u << width;
	for (; count >= WIDTH; count -= WIDTH, out += WIDTH, bytes += 4 * width)
		_mm256_storeu_si256((__m256i *)out,
				    map(&mapping, unpack_group(&unpacker, bytes, width)));
	if (count > 0)
		store_last(out, map(&mapping, unpack_group(&unpacker, bytes, width)), count,
			   root != NULL);
}

static void unpack(uint8_t *out, const struct codec_tree *tree, const struct codec_node *node,
		   const uint8_t *coded, size_t position, size_t count, struct codec_fold *root)
{
	const uint8_t *symbols = tree->symbols + node->first;

	switch (node->width) {
#define UNPACK_CASE(width)                                                                         \
	case width:                                                                                \
		unpack_width(out, width, node, symbols, coded, position, count, root);             \
		break
		UNPACK_CASE(1);
		UNPACK_CASE(2);
		UNPACK_CASE(3);
		UNPACK_CASE(4);
		UNPACK_CASE(5);
		UNPACK_CASE(6);
		UNPACK_CASE(7);
		UNPACK_CASE(8);
	}
}

#include "codec/decode_template.h"

/* clang 14 does not know its name. */
static int has_f16c(void)
{
	unsigned eax, ebx, ecx = 0, edx;

	return __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_F16C) != 0;
}

/* The last two are for dequantizing. */
static int supported(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
	       __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt") &&
	       __builtin_cpu_supports("fma") && has_f16c();
}

const struct codec_kernel codec_kernel_avx2 = {
    .name = "avx2",
    .supported = supported,
    .decode = decode,
    .encode = codec_encode_avx2,
    .dequant = &dequant_kernel_avx2,
    .planes = &planes_kernel_avx2,
    .ggml_blocks = &ggml_blocks_kernel_avx2,
};
