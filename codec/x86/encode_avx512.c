/* SPDX-License-Identifier: MIT */
/*
 * encode_avx512.c - the AVX-512 VBMI2 encoder: 64 elements at a time, bits as masks.
 *
 * Rank: a table of 256 is two permutes over two registers each, of which the symbol's upper bit
 * says whose result counts. Split: a comparison gives 64 bits of a bitmap as a mask register; a
 * compressing move brings elements together where the mask has its ones, another where it has
 * zeros. Pack: multiplications that add neighbours join indices in twos and fours, a shift in
 * eights; as these start at the same phase of a byte, one shift moves all of them into place, and
 * a compressing move brings their bytes together.
 */
#include "codec/bit_writer.h"
#include "codec/kernels.h"

#include <immintrin.h>

enum { WIDTH = 64 };
_Static_assert((int)WIDTH <= (int)CODEC_LIST_SLACK, "a last group may be stored whole");

static inline size_t popcount(uint64_t word)
{
	return (size_t)_mm_popcnt_u64(word);
}

static inline __mmask64 first_of_64(size_t count)
{
	return _bzhi_u64(UINT64_MAX, (unsigned)count);
}

struct lookup {
	__m512i quarters[4];
};

static inline struct lookup lookup_of(const uint8_t table[CODEC_SYMBOLS])
{
	return (struct lookup){{_mm512_loadu_si512(table), _mm512_loadu_si512(table + 64),
				_mm512_loadu_si512(table + 128), _mm512_loadu_si512(table + 192)}};
}

static inline __m512i look_up(const struct lookup *lookup, __m512i symbols)
{
	const __m512i *quarters = lookup->quarters;
	__m512i low = _mm512_permutex2var_epi8(quarters[0], symbols, quarters[1]);
	__m512i high = _mm512_permutex2var_epi8(quarters[2], symbols, quarters[3]);

	return _mm512_mask_blend_epi8(_mm512_movepi8_mask(symbols), low, high);
}

struct lengths {
	__m512i sum, any;
};

static inline void add_lengths(struct lengths *lengths, __m512i more)
{
	lengths->any = _mm512_or_si512(lengths->any, more);
	lengths->sum =
	    _mm512_add_epi64(lengths->sum, _mm512_sad_epu8(more, _mm512_setzero_si512()));
}

/* CODEC_ABSENT is the one length with its upper bit set. */
static uint64_t rank(const struct codec_tree *tree, const uint8_t *src, size_t size, uint8_t *list)
{
	const struct lookup ranks = lookup_of(tree->ranks), lengths = lookup_of(tree->lengths);
	struct lengths found = {_mm512_setzero_si512(), _mm512_setzero_si512()};

	for (; size >= WIDTH; size -= WIDTH, src += WIDTH, list += WIDTH) {
		__m512i symbols = _mm512_loadu_si512(src);
		_mm512_storeu_si512(list, look_up(&ranks, symbols));
		add_lengths(&found, look_up(&lengths, symbols));
	}
	if (size > 0) {
		__m512i symbols = _mm512_maskz_loadu_epi8(first_of_64(size), src);
		_mm512_storeu_si512(list, look_up(&ranks, symbols));
		add_lengths(&found,
			    _mm512_maskz_mov_epi8(first_of_64(size), look_up(&lengths, symbols)));
	}
	if (_mm512_movepi8_mask(found.any) != 0)
		return CODEC_NO_LENGTH;
	return (uint64_t)_mm512_reduce_add_epi64(found.sum);
}

/*
 * Zen 5 makes a zeroing compress, like a zeroing expand, wait for the old value of its
 * destination. The compiler must not see through it.
 */
static inline __m512i fresh_zero(void)
{
	__m512i zero;

	__asm__ volatile("vpxor %x0, %x0, %x0" : "=x"(zero));
	return zero;
}

/* What has been read is all that is overwritten: left <= list for the group at hand. */
static inline void separate(__m512i group, uint64_t bits, uint8_t *left, uint8_t *right,
			    unsigned keep)
{
	if (keep & KEEP_LEFT)
		_mm512_storeu_si512(left, _mm512_mask_compress_epi8(fresh_zero(), ~bits, group));
	if (keep & KEEP_RIGHT)
		_mm512_storeu_si512(right, _mm512_mask_compress_epi8(fresh_zero(), bits, group));
}

static inline __attribute__((always_inline)) size_t split(uint8_t *list, size_t count,
							  unsigned threshold, uint8_t *right,
							  unsigned keep, struct bit_writer *writer)
{
	const __m512i thresholds = _mm512_set1_epi8((char)threshold);
	struct bit_writer out = *writer; /* in registers, whatever bytes are stored */
	uint8_t *left = list;
	size_t total = 0;

	for (; count >= WIDTH; count -= WIDTH, list += WIDTH) {
		__m512i group = _mm512_loadu_si512(list);
		uint64_t bits = _mm512_cmpge_epu8_mask(group, thresholds);
		size_t ones = popcount(bits);
		put_word(&out, bits);
		separate(group, bits, left, right + total, keep);
		left += WIDTH - ones;
		total += ones;
	}
	if (count > 0) {
		__m512i group = _mm512_loadu_si512(list);
		uint64_t bits =
		    _mm512_cmpge_epu8_mask(group, thresholds) & (uint64_t)first_of_64(count);
		put_bits(&out, bits, (unsigned)count);
		separate(group, bits, left, right + total, keep);
		total += popcount(bits);
	}
	*writer = out;
	return total;
}

/* How to pack 64 indices of one width in eights of `width` bytes each, at one phase. */
struct packer {
	__m512i first, pairs, fours, upper;
	__m128i half_down, phase, next; /* shifts */
	__mmask64 bytes;
};

static inline struct packer packer_for(unsigned first, unsigned width, unsigned phase)
{
	return (struct packer){.first = _mm512_set1_epi8((char)first),
			       .pairs = _mm512_set1_epi16((short)(1 << width << 8 | 1)),
			       .fours = _mm512_set1_epi32(1 << 2 * width << 16 | 1),
			       .upper = _mm512_set1_epi64((long long)(UINT64_MAX << 4 * width)),
			       .half_down = _mm_cvtsi32_si128((int)(32 - 4 * width)),
			       .phase = _mm_cvtsi32_si128((int)phase),
			       .next = _mm_cvtsi32_si128((int)(8 * width)),
			       .bytes = UINT64_C(0x0101010101010101) * ((1u << width) - 1)};
}

/*
 * Each eight in a lane of 64 bits, shifted by the phase: with width < 8, at most 63 bits. In twos
 * they have at most 14 bits, which maddubs takes for signed without harm, and in fours 28.
 */
static inline __m512i join_eights(const struct packer *packer, __m512i elements)
{
	__m512i lanes = _mm512_sub_epi8(elements, packer->first);

	lanes = _mm512_maddubs_epi16(packer->pairs, lanes);
	lanes = _mm512_madd_epi16(lanes, packer->fours);
	/* upper ? the upper four, moved down : the lower four */
	lanes = _mm512_ternarylogic_epi64(packer->upper, _mm512_srl_epi64(lanes, packer->half_down),
					  lanes, 0xca);
	return _mm512_sll_epi64(lanes, packer->phase);
}

/* What lies above the `width` bytes of each lane, moved to the bottom of the next; of the last lane
 * of the group before, to the first. */
static inline __m512i carry(const struct packer *packer, __m512i lanes, __m512i before)
{
	return _mm512_srl_epi64(_mm512_alignr_epi64(lanes, before, 7), packer->next);
}

/*
 * A last group of fewer than 64. Its bits fill 8 * width bytes at most, but what is left over may
 * be the first of the byte after them.
 */
static inline void pack_last(const struct packer *packer, __m512i group, __m512i last_lanes,
			     unsigned width, size_t count, struct bit_writer *writer)
{
	unsigned bits = writer->fill + (unsigned)count * width;
	uint8_t whole[WIDTH + 8];

	_mm512_storeu_si512(whole, group);
	store64(whole + 8 * width, (uint64_t)_mm_cvtsi128_si64(_mm512_castsi512_si128(
				       carry(packer, last_lanes, last_lanes))));
	_mm512_mask_storeu_epi8(writer->next, first_of_64(bits / 8), group);
	writer->next += bits / 8;
	writer->pending = whole[bits / 8];
	writer->fill = bits % 8;
}

/* 64 indices fill 8 * width bytes, so these lie before the end, and no more is stored. */
static inline void pack(const uint8_t *list, size_t count, unsigned first, unsigned width,
			struct bit_writer *writer)
{
	const struct packer packer = packer_for(first, width, writer->fill);
	const __mmask64 stored = first_of_64((size_t)8 * width);
	/* The pending bits, as if they were left over from a group before. */
	__m512i lanes = _mm512_set1_epi64((long long)(writer->pending << 8 * width));

	for (;; count -= WIDTH, list += WIDTH) {
		__mmask64 present = first_of_64(count < WIDTH ? count : WIDTH);
		__m512i elements = _mm512_mask_loadu_epi8(packer.first, present, list);
		__m512i before = lanes;
		lanes = join_eights(&packer, elements);
		__m512i group = _mm512_maskz_compress_epi8(
		    packer.bytes, _mm512_or_si512(lanes, carry(&packer, lanes, before)));
		if (count < WIDTH) {
			pack_last(&packer, group, lanes, width, count, writer);
			return;
		}
		_mm512_mask_storeu_epi8(writer->next, stored, group);
		writer->next += 8 * width;
	}
}

#include "codec/encode_template.h"

enum codec_result codec_encode_avx512(const struct codec_tree *tree, const uint8_t *src,
				      size_t size, uint8_t *dst, size_t capacity,
				      size_t *coded_size, struct codec_scratch *scratch)
{
	return encode(tree, src, size, dst, capacity, coded_size, scratch);
}
