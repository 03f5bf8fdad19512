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
 * Fold: the root's groups go in turns to four partial remainders. Each is moved on by carry-less
 * products, which take a unit that merging leaves idle, and for about as long as merging takes the
 * others: next to nothing is added to its time.
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

/* From its byte 64 - n on, the first n of 64 bytes are set. */
#define EIGHT(byte) byte, byte, byte, byte, byte, byte, byte, byte
#define SIXTY_FOUR(byte)                                                                           \
	EIGHT(byte), EIGHT(byte), EIGHT(byte), EIGHT(byte), EIGHT(byte), EIGHT(byte), EIGHT(byte), \
	    EIGHT(byte)
static const uint8_t first_bytes[128] = {SIXTY_FOUR(0xff), SIXTY_FOUR(0)};

/* In words rather than by a vector: measure() waits for each sum before it can find the next. */
static inline size_t ones_of_first(const uint8_t *bytes, size_t bits)
{
	const uint8_t *masks = first_bytes + 64 - bits / 8;
	size_t even = 0, odd = popcount(_bzhi_u64(bytes[bits / 8], (unsigned)(bits % 8)));

#pragma GCC unroll 4
	for (size_t i = 0; i < 64; i += 16) {
		even += popcount(load64(bytes + i) & load64(masks + i));
		odd += popcount(load64(bytes + i + 8) & load64(masks + i + 8));
	}
	return even + odd;
}

static inline size_t count_ones(const uint8_t *coded, size_t position, size_t count)
{
	const uint8_t *bytes = coded + position / 8;
	size_t phase = position % 8, bits = phase + count;
	__m512i sums = _mm512_setzero_si512();

	for (; bits > 512; bits -= 512, bytes += 64)
		sums = _mm512_add_epi64(sums, _mm512_popcnt_epi64(_mm512_loadu_si512(bytes)));
	return (size_t)_mm512_reduce_add_epi64(sums) + ones_of_first(bytes, bits) -
	       popcount(_bzhi_u64(coded[position / 8], (unsigned)phase));
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

/* Partial remainders: parts[k] of the root's groups k, k + 4, k + 8, ... */
struct folder {
	__m512i parts[4];
};

enum { FOLD_SEED = 0x437e23e9 }; /* x^-2048 times a register of all ones */

static inline struct folder fold_begin(void)
{
	struct folder folder = {{_mm512_zextsi128_si512(_mm_cvtsi32_si128(FOLD_SEED))}};
	return folder;
}

/* Moves a partial remainder 2048 bits on: its halves times x^(2048 + 32) and x^(2048 - 32). */
static inline __m512i fold_group(__m512i part, __m512i group)
{
	const __m512i powers =
	    _mm512_set4_epi64(0x1322d1430, 0x11542778a, 0x1322d1430, 0x11542778a);
	__m512i first = _mm512_clmulepi64_epi128(part, powers, 0x00);
	__m512i second = _mm512_clmulepi64_epi128(part, powers, 0x11);

	return _mm512_ternarylogic_epi64(first, second, group, 0x96); /* their sum */
}

static inline void fold_end(const struct folder *folder, size_t covered, struct codec_fold *fold)
{
	fold->covered = (uint32_t)covered;
	fold->size = sizeof(folder->parts);
	for (unsigned i = 0; i < 4; i++)
		_mm512_store_si512(fold->bytes + i * sizeof(__m512i), folder->parts[i]);
}
_Static_assert(sizeof(struct folder) <= CODEC_FOLD_MAX, "a fold has room for all parts");

/* `merged` is an expression of `bits`, which says where 64 elements come from; `folded` is 1 or 0,
 * for the compiler to leave out what is not needed. */
#define MERGE_GROUP(word, merged, folded)                                                          \
	do {                                                                                       \
		uint64_t bits = bitmap.words[word];                                                \
		__m512i group = merged;                                                            \
		_mm512_storeu_si512(out, group);                                                   \
		out += WIDTH;                                                                      \
		if (folded)                                                                        \
			folder.parts[(word) % 4] = fold_group(folder.parts[(word) % 4], group);    \
	} while (0)

#define MERGE_LOOP(merged, folded)                                                                 \
	do {                                                                                       \
		struct bitmap bitmap = bitmap_at(coded, position);                                 \
		struct folder folder = fold_begin();                                               \
		size_t covered = count / (8 * WIDTH) * (8 * WIDTH);                                \
		for (; count >= 8 * WIDTH; count -= 8 * WIDTH) {                                   \
			next_words(&bitmap, 8 * WIDTH);                                            \
			MERGE_GROUP(0, merged, folded);                                            \
			MERGE_GROUP(1, merged, folded);                                            \
			MERGE_GROUP(2, merged, folded);                                            \
			MERGE_GROUP(3, merged, folded);                                            \
			MERGE_GROUP(4, merged, folded);                                            \
			MERGE_GROUP(5, merged, folded);                                            \
			MERGE_GROUP(6, merged, folded);                                            \
			MERGE_GROUP(7, merged, folded);                                            \
		}                                                                                  \
		if ((folded) && covered > 0)                                                       \
			fold_end(&folder, covered, root);                                          \
		if (count == 0)                                                                    \
			break;                                                                     \
		next_words(&bitmap, count);                                                        \
		size_t word = 0;                                                                   \
		for (; count >= WIDTH; count -= WIDTH, word++)                                     \
			MERGE_GROUP(word, merged, 0);                                              \
		if (count > 0) {                                                                   \
			uint64_t bits = bitmap.words[word];                                        \
			store_last(out, merged, count, root != NULL);                              \
		}                                                                                  \
	} while (0)

#define MERGE(merged)                                                                              \
	do {                                                                                       \
		if (root)                                                                          \
			MERGE_LOOP(merged, 1);                                                     \
		else                                                                               \
			MERGE_LOOP(merged, 0);                                                     \
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

/* Which of 64 elements come from where. By one move to a mask register: the compiler takes two, in
 * which they wait for the unit that also expands. */
struct sources {
	__mmask64 left, right;
};

static inline struct sources sources_of(uint64_t bits)
{
	struct sources sources;

	__asm__("kmovq %2, %1\n\tknotq %1, %0"
		: "=Yk"(sources.left), "=&Yk"(sources.right)
		: "r"(bits));
	return sources;
}

static inline __m512i expand_left(__m512i rest, __mmask64 places, const uint8_t **left,
				  uint64_t bits)
{
	__m512i group = _mm512_mask_expand_epi8(rest, places, _mm512_loadu_si512(*left));

	*left += WIDTH - popcount(bits);
	return group;
}

static inline __m512i expand_right(__m512i rest, __mmask64 places, const uint8_t **right,
				   uint64_t bits)
{
	__m512i group = _mm512_mask_expand_epi8(rest, places, _mm512_loadu_si512(*right));

	*right += popcount(bits);
	return group;
}

static inline __m512i expand_both(const uint8_t **left, const uint8_t **right, uint64_t bits)
{
	struct sources sources = sources_of(bits);
	__m512i lefts = expand_left(fresh_zero(), sources.left, left, bits);

	return expand_right(lefts, sources.right, right, bits);
}

static inline void merge(uint8_t *out, const uint8_t *left, const uint8_t *right,
			 const uint8_t *coded, size_t position, size_t count,
			 struct codec_fold *root)
{
	MERGE(expand_both(&left, &right, bits));
}

static inline void merge_left_constant(uint8_t *out, uint8_t left, const uint8_t *right,
				       const uint8_t *coded, size_t position, size_t count,
				       struct codec_fold *root)
{
	__m512i constant = _mm512_set1_epi8((char)left);
	MERGE(expand_right(constant, bits, &right, bits));
}

static inline void merge_right_constant(uint8_t *out, const uint8_t *left, uint8_t right,
					const uint8_t *coded, size_t position, size_t count,
					struct codec_fold *root)
{
	__m512i constant = _mm512_set1_epi8((char)right);
	MERGE(expand_left(constant, ~bits, &left, bits));
}

static inline void merge_constants(uint8_t *out, uint8_t left, uint8_t right, const uint8_t *coded,
				   size_t position, size_t count, struct codec_fold *root)
{
	__m512i lefts = _mm512_set1_epi8((char)left), rights = _mm512_set1_epi8((char)right);
	MERGE(_mm512_mask_blend_epi8(bits, lefts, rights));
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
			store_last(out, symbols_of_indices, count, root != NULL);                  \
		}                                                                                  \
	} while (0)

/* Loading more symbols than a chunk has is no harm: tree->symbols is CODEC_LIST_SLACK longer. */
static inline void unpack(uint8_t *out, const struct codec_tree *tree,
			  const struct codec_node *node, const uint8_t *coded, size_t position,
			  size_t count, struct codec_fold *root)
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
	       __builtin_cpu_supports("avx512vpopcntdq") && __builtin_cpu_supports("vpclmulqdq") &&
	       __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("bmi") &&
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
