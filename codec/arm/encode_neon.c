/* SPDX-License-Identifier: MIT */
/*
 * encode_neon.c - the NEON encoder: table lookups.
 *
 * Rank: a table of 256 is four lookups of 64 each, of which the one in range counts. Split: eight
 * elements by a control for the mask of eight bits, in one-register TBL, which is cheap on every
 * core. Pack: neighbours are joined in twos, fours and eights by moving the upper one down.
 */
#include "codec/bit_writer.h"
#include "codec/byte_table.h"
#include "codec/kernels.h"
#include "codec/separations.h"

#include <arm_neon.h>

static inline size_t popcount(uint64_t word)
{
	return (size_t)__builtin_popcountll(word);
}

/* By table: the way to CNT and back is long. */
static const uint8_t ones_of[256] = BYTE_TABLE(ONES);

static inline size_t popcount8(unsigned mask)
{
	return ones_of[mask];
}

struct lookup {
	uint8x16x4_t quarters[4];
};

static inline struct lookup lookup_of(const uint8_t table[CODEC_SYMBOLS])
{
	return (struct lookup){{vld1q_u8_x4(table), vld1q_u8_x4(table + 64),
				vld1q_u8_x4(table + 128), vld1q_u8_x4(table + 192)}};
}

/* A place out of range leaves what has been found before. */
static inline uint8x16_t look_up(const struct lookup *lookup, uint8x16_t symbols)
{
	const uint8x16_t quarter = vdupq_n_u8(64);
	uint8x16_t found = vqtbl4q_u8(lookup->quarters[0], symbols);

	symbols = vsubq_u8(symbols, quarter);
	found = vqtbx4q_u8(found, lookup->quarters[1], symbols);
	symbols = vsubq_u8(symbols, quarter);
	found = vqtbx4q_u8(found, lookup->quarters[2], symbols);
	symbols = vsubq_u8(symbols, quarter);
	return vqtbx4q_u8(found, lookup->quarters[3], symbols);
}

/* Two passes, as a table takes half of all registers. CODEC_ABSENT is the largest length. */
static uint64_t rank(const struct codec_tree *tree, const uint8_t *src, size_t size, uint8_t *list)
{
	const struct lookup ranks = lookup_of(tree->ranks), lengths = lookup_of(tree->lengths);
	const size_t whole = size / 16 * 16;
	uint8x16_t most = vdupq_n_u8(0);
	uint32x4_t sums = vdupq_n_u32(0);
	uint64_t sum;

	for (size_t i = 0; i < whole; i += 16)
		vst1q_u8(list + i, look_up(&ranks, vld1q_u8(src + i)));
	for (size_t i = 0; i < whole; i += 16) {
		uint8x16_t found = look_up(&lengths, vld1q_u8(src + i));
		most = vmaxq_u8(most, found);
		sums = vpadalq_u16(sums, vpaddlq_u8(found));
	}
	if (vmaxvq_u8(most) == CODEC_ABSENT)
		return CODEC_NO_LENGTH;
	sum = vaddlvq_u32(sums);
	for (size_t i = whole; i < size; i++) {
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
	/* The upper half is not asked for: at most 8 bytes more than the eight are read. */
	uint8x16_t elements = vld1q_u8(list);
	uint8x8_t lefts = vqtbl1_u8(elements, vcreate_u8(separations[mask][0]));
	uint8x8_t rights = vqtbl1_u8(elements, vcreate_u8(separations[mask][1]));

	if (keep & KEEP_LEFT)
		vst1_u8(left, lefts);
	if (keep & KEEP_RIGHT)
		vst1_u8(right, rights);
}

struct comparison {
	uint8x16_t thresholds;
};

/* The bit of its place in a byte, for each of 16 elements that is the threshold or above. */
static inline uint8x16_t compare16(const uint8_t *list, const struct comparison *comparison)
{
	const uint8x16_t places = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201));

	return vandq_u8(vcgeq_u8(vld1q_u8(list), comparison->thresholds), places);
}

/* Bits of neighbours meet in one byte by three additions. */
static inline uint64_t compare64(const uint8_t *list, const struct comparison *comparison)
{
	uint8x16_t low = vpaddq_u8(compare16(list, comparison), compare16(list + 16, comparison));
	uint8x16_t high =
	    vpaddq_u8(compare16(list + 32, comparison), compare16(list + 48, comparison));
	uint8x16_t fours = vpaddq_u8(low, high);

	return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(fours, fours)), 0);
}

#include "codec/encode_eights.h"

static inline __attribute__((always_inline)) size_t split(uint8_t *list, size_t count,
							  unsigned threshold, uint8_t *right,
							  unsigned keep, struct bit_writer *writer)
{
	return split_eights(list, count, (struct comparison){vdupq_n_u8((uint8_t)threshold)}, right,
			    keep, writer);
}

/* In pairs, fours and eights, by how much less than half of their field the upper half moves up. */
struct packer {
	uint8x16_t first;
	uint16_t pairs;
	uint32_t fours;
	int64x2_t eights;
};

static inline struct packer packer_for(unsigned first, unsigned width)
{
	return (struct packer){vdupq_n_u8((uint8_t)first), (uint16_t)(256 - (1u << width)),
			       65536 - (1u << 2 * width), vdupq_n_s64(4 * (int)width)};
}

/* Each eight of the indices in 64 bits, from the lowest on. */
static inline uint64x2_t join_eights(const struct packer *packer, uint8x16_t elements)
{
	uint16x8_t pairs = vreinterpretq_u16_u8(vsubq_u8(elements, packer->first));
	pairs = vmlsq_n_u16(pairs, vshrq_n_u16(pairs, 8), packer->pairs);
	uint32x4_t fours = vreinterpretq_u32_u16(pairs);
	fours = vmlsq_n_u32(fours, vshrq_n_u32(fours, 16), packer->fours);
	uint64x2_t eights = vreinterpretq_u64_u32(fours);
	uint64x2_t upper = vshlq_u64(vshrq_n_u64(eights, 32), packer->eights);

	return vorrq_u64(vandq_u64(eights, vdupq_n_u64(UINT32_MAX)), upper);
}

/*
 * An eight fills `width` bytes, so the phase stays; with the bits pending it has at most 63 bits.
 * Two are stored, the second at next + width, as long as both stores lie before the end.
 */
static void pack(const uint8_t *list, size_t count, unsigned first, unsigned width,
		 struct bit_writer *writer)
{
	const struct packer packer = packer_for(first, width);
	struct bit_writer out = *writer;

	for (; count >= 16 && out.end - out.next >= width + 8; count -= 16, list += 16) {
		uint64x2_t eights = join_eights(&packer, vld1q_u8(list));
		uint64_t low = vgetq_lane_u64(eights, 0) << out.fill | out.pending;
		store64(out.next, low);
		uint64_t high = vgetq_lane_u64(eights, 1) << out.fill | low >> 8 * width;
		store64(out.next + width, high);
		out.next += 2 * width;
		out.pending = high >> 8 * width;
	}
	for (; count > 0; list += 8) {
		unsigned elements = count < 8 ? (unsigned)count : 8;
		uint64_t bits = vgetq_lane_u64(join_eights(&packer, vld1q_u8(list)), 0);
		bits &= (UINT64_C(1) << elements * width) - 1;
		put_bits(&out, bits, elements * width);
		count -= elements;
	}
	*writer = out;
}

#include "codec/encode_template.h"

enum codec_result codec_encode_neon(const struct codec_tree *tree, const uint8_t *src, size_t size,
				    uint8_t *dst, size_t capacity, size_t *coded_size,
				    struct codec_scratch *scratch)
{
	return encode(tree, src, size, dst, capacity, coded_size, scratch);
}
