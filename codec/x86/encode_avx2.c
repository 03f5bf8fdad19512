/* SPDX-License-Identifier: MIT */
/*
 * encode_avx2.c - the AVX2 encoder: byte shuffles. (No pext: AMD had a slow one before Zen 3.)
 *
 * Rank: a shuffle looks up 16 symbols that share their upper half; as many as the table has such
 * rows, each answering for its own. Split: a control by the mask of eight bits brings the left
 * elements of eight to the lower half of a register, the right ones to the upper. Pack:
 * multiplications that add neighbours join indices in twos and fours, a shift in eights; as these
 * start at the same phase of a byte, one shift moves all of them into place, and a shuffle brings
 * their bytes together.
 */
#include "codec/bit_writer.h"
#include "codec/kernels.h"
#include "codec/separations.h"

#include <immintrin.h>

static inline size_t popcount(uint64_t word)
{
	return (size_t)_mm_popcnt_u64(word);
}

static inline size_t popcount8(unsigned mask)
{
	return (size_t)_mm_popcnt_u32(mask);
}

static inline __m256i load256(const void *bytes)
{
	return _mm256_loadu_si256((const __m256i *)bytes);
}

static inline void store256(uint8_t *bytes, __m256i value)
{
	_mm256_storeu_si256((__m256i *)bytes, value);
}

/* Sixteen bytes, in both lanes. */
static inline __m256i load_twice(const uint8_t *bytes)
{
	return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)bytes));
}

/* Sixteen symbols with the same upper half. */
struct row {
	__m256i symbols; /* the first of them */
	__m256i ranks;
	__m256i lengths; /* plus PRESENT; of absent symbols 0 */
};

enum { PRESENT = 0x40 };
_Static_assert(PRESENT > CODEC_DEPTH_MAX + CODEC_BITS_MAX, "a bit above all lengths");

static unsigned find_rows(const struct codec_tree *tree, struct row rows[16])
{
	const __m256i absent = _mm256_set1_epi8((char)CODEC_ABSENT);
	unsigned count = 0;

	for (unsigned symbol = 0; symbol < CODEC_SYMBOLS; symbol += 16) {
		__m256i lengths = load_twice(tree->lengths + symbol);
		__m256i missing = _mm256_cmpeq_epi8(lengths, absent);
		if (_mm256_movemask_epi8(missing) == -1)
			continue;
		lengths = _mm256_or_si256(lengths, _mm256_set1_epi8(PRESENT));
		rows[count++] =
		    (struct row){_mm256_set1_epi8((char)symbol), load_twice(tree->ranks + symbol),
				 _mm256_andnot_si256(missing, lengths)};
	}
	return count;
}

struct ranker {
	struct row rows[16];
	const struct row *end;
	__m256i all; /* and of all lengths */
	__m256i sum;
};

/* 64 symbols. A symbol of another row saturates to 0x80 or more, which selects zero. */
static inline void rank64(struct ranker *ranker, const uint8_t *src, uint8_t *list)
{
	const __m256i elsewhere = _mm256_set1_epi8(0x70), zero = _mm256_setzero_si256();
	__m256i low = load256(src), high = load256(src + 32);
	__m256i low_ranks = zero, high_ranks = zero, low_lengths = zero, high_lengths = zero;

	for (const struct row *row = ranker->rows; row < ranker->end; row++) {
		__m256i a = _mm256_adds_epu8(_mm256_xor_si256(low, row->symbols), elsewhere);
		__m256i b = _mm256_adds_epu8(_mm256_xor_si256(high, row->symbols), elsewhere);
		low_ranks = _mm256_or_si256(low_ranks, _mm256_shuffle_epi8(row->ranks, a));
		high_ranks = _mm256_or_si256(high_ranks, _mm256_shuffle_epi8(row->ranks, b));
		low_lengths = _mm256_or_si256(low_lengths, _mm256_shuffle_epi8(row->lengths, a));
		high_lengths = _mm256_or_si256(high_lengths, _mm256_shuffle_epi8(row->lengths, b));
	}
	store256(list, low_ranks);
	store256(list + 32, high_ranks);
	ranker->all = _mm256_and_si256(ranker->all, _mm256_and_si256(low_lengths, high_lengths));
	ranker->sum = _mm256_add_epi64(ranker->sum, _mm256_sad_epu8(low_lengths, zero));
	ranker->sum = _mm256_add_epi64(ranker->sum, _mm256_sad_epu8(high_lengths, zero));
}

static uint64_t rank(const struct codec_tree *tree, const uint8_t *src, size_t size, uint8_t *list)
{
	const __m256i present = _mm256_set1_epi8(PRESENT);
	struct ranker ranker = {.all = present};
	uint64_t sums[4], sum = 0;
	size_t i = 0;

	ranker.end = ranker.rows + find_rows(tree, ranker.rows);
	for (; size - i >= 64; i += 64)
		rank64(&ranker, src + i, list + i);
	if (_mm256_testc_si256(ranker.all, present) == 0)
		return CODEC_NO_LENGTH;
	_mm256_storeu_si256((__m256i *)sums, ranker.sum);
	sum = sums[0] + sums[1] + sums[2] + sums[3] - PRESENT * i;
	for (; i < size; i++) {
		if (tree->lengths[src[i]] == CODEC_ABSENT)
			return CODEC_NO_LENGTH;
		sum += tree->lengths[src[i]];
		list[i] = tree->ranks[src[i]];
	}
	return sum;
}

static inline void separate(const uint8_t *list, unsigned mask, uint8_t *left, uint8_t *right,
			    unsigned keep)
{
	__m128i elements = _mm_loadl_epi64((const __m128i *)list);

	elements = _mm_shuffle_epi8(
	    elements, _mm_load_si128((const __m128i *)(const void *)separations[mask]));
	if (keep & KEEP_LEFT)
		_mm_storel_epi64((__m128i *)left, elements);
	if (keep & KEEP_RIGHT)
		_mm_storeh_pi((__m64 *)right, _mm_castsi128_ps(elements));
}

struct comparison {
	__m256i thresholds;
};

static inline uint32_t compare32(const uint8_t *list, __m256i thresholds)
{
	__m256i elements = load256(list);
	__m256i above = _mm256_cmpeq_epi8(_mm256_max_epu8(elements, thresholds), elements);

	return (uint32_t)_mm256_movemask_epi8(above);
}

static inline uint64_t compare64(const uint8_t *list, const struct comparison *comparison)
{
	return compare32(list, comparison->thresholds) |
	       (uint64_t)compare32(list + 32, comparison->thresholds) << 32;
}

#include "codec/encode_eights.h"

static inline __attribute__((always_inline)) size_t split(uint8_t *list, size_t count,
							  unsigned threshold, uint8_t *right,
							  unsigned keep, struct bit_writer *writer)
{
	return split_eights(list, count, (struct comparison){_mm256_set1_epi8((char)threshold)},
			    right, keep, writer);
}

/* How to pack 32 indices of one width in eights of `width` bytes each, at one phase. */
struct packer {
	__m256i first, pairs, fours, upper;
	__m256i bytes; /* shuffle: the lower `width` bytes of both halves of a lane */
	__m128i half_down, phase, next; /* shifts */
};

static inline struct packer packer_for(unsigned first, unsigned width, unsigned phase)
{
	static const uint8_t bytes[8][16] = {
	    {0},
	    {0, 8, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80},
	    {0, 1, 8, 9, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80},
	    {0, 1, 2, 8, 9, 10, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80},
	    {0, 1, 2, 3, 8, 9, 10, 11, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80},
	    {0, 1, 2, 3, 4, 8, 9, 10, 11, 12, 0x80, 0x80, 0x80, 0x80},
	    {0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 13, 0x80, 0x80},
	    {0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14},
	};

	return (struct packer){.first = _mm256_set1_epi8((char)first),
			       .pairs = _mm256_set1_epi16((short)(1 << width << 8 | 1)),
			       .fours = _mm256_set1_epi32(1 << 2 * width << 16 | 1),
			       .upper = _mm256_set1_epi64x((long long)(UINT64_MAX << 4 * width)),
			       .bytes = load_twice(bytes[width]),
			       .half_down = _mm_cvtsi32_si128((int)(32 - 4 * width)),
			       .phase = _mm_cvtsi32_si128((int)phase),
			       .next = _mm_cvtsi32_si128((int)(8 * width))};
}

/*
 * Each eight in 64 bits, shifted by the phase: with width < 8, at most 63 bits. In twos they have
 * at most 14 bits, which maddubs takes for signed without harm, and in fours 28.
 */
static inline __m256i join_eights(const struct packer *packer, __m256i elements)
{
	__m256i eights = _mm256_sub_epi8(elements, packer->first), moved;

	eights = _mm256_maddubs_epi16(packer->pairs, eights);
	eights = _mm256_madd_epi16(eights, packer->fours);
	moved = _mm256_srl_epi64(eights, packer->half_down);
	eights = _mm256_or_si256(_mm256_and_si256(packer->upper, moved),
				 _mm256_andnot_si256(packer->upper, eights));
	return _mm256_sll_epi64(eights, packer->phase);
}

/*
 * 32 indices fill 4 * width bytes. They are stored by lanes, the upper 16 bytes last, as long as
 * these lie before the end; fewer, or the last ones of a block, go out by eights.
 */
static void pack(const uint8_t *list, size_t count, unsigned first, unsigned width,
		 struct bit_writer *writer)
{
	const struct packer packer = packer_for(first, width, writer->fill);
	uint8_t *next = writer->next;
	/* The pending bits, as if they were left over from a group before. */
	__m256i eights = _mm256_set1_epi64x((long long)(writer->pending << 8 * width));

	for (; count >= 32 && writer->end - next >= 2 * width + 16; count -= 32, list += 32) {
		__m256i before = eights;
		eights = join_eights(&packer, load256(list));
		/* What lies above the `width` bytes of an eight goes to the bottom of the next. */
		__m256i rotated = _mm256_blend_epi32(_mm256_permute4x64_epi64(eights, 0x93),
						     _mm256_permute4x64_epi64(before, 0x93), 0x03);
		__m256i group = _mm256_or_si256(eights, _mm256_srl_epi64(rotated, packer.next));
		group = _mm256_shuffle_epi8(group, packer.bytes);
		_mm_storeu_si128((__m128i *)next, _mm256_castsi256_si128(group));
		_mm_storeu_si128((__m128i *)(next + 2 * width), _mm256_extracti128_si256(group, 1));
		next += 4 * width;
	}
	writer->next = next;
	writer->pending = (uint64_t)_mm256_extract_epi64(eights, 3) >> 8 * width;
	for (; count > 0; list += 8) {
		size_t elements = count < 8 ? count : 8;
		__m256i eight = _mm256_castsi128_si256(_mm_loadl_epi64((const __m128i *)list));
		uint64_t bits = (uint64_t)_mm256_extract_epi64(join_eights(&packer, eight), 0);
		/* Eights leave the phase as it is, so that it can be undone. */
		bits = _bzhi_u64(bits >> writer->fill, (unsigned)elements * width);
		put_bits(writer, bits, (unsigned)elements * width);
		count -= elements;
	}
}

#include "codec/encode_template.h"

enum codec_result codec_encode_avx2(const struct codec_tree *tree, const uint8_t *src, size_t size,
				    uint8_t *dst, size_t capacity, size_t *coded_size,
				    struct codec_scratch *scratch)
{
	return encode(tree, src, size, dst, capacity, coded_size, scratch);
}
