/* SPDX-License-Identifier: MIT */
/*
 * decode_neon.c - the NEON kernel: two times eight elements from one place in each list.
 *
 * Merge: sixteen elements are looked at from their middle. Sixteen bytes of each list around the
 * place that its cursor has there hold whatever the eight elements before need, and the eight
 * after: each eight find in a table by their bits which of the 32 bytes they are, counted from the
 * middle, so that no index depends on any other bits. The places in the middle of all sixteens of a
 * word of bits come from one CNT and one multiplication, so nothing waits for the group before. TBL
 * in its eight-byte form is cheap on every core, and two loads serve sixteen elements.
 *
 * Unpack: a chunk of two symbols is a choice by bits, nibbles are split by a shift; of any other
 * width, TBL brings the two bytes that hold a flat index to a 16-bit lane, a shift by lane brings
 * it down, a mask ends it.
 *
 * Bounds, besides what decode_template.h says: only sixteens with an element that counts are looked
 * at, and their middle lies eight elements further on at most than their start, where a cursor
 * stands at its list's end at most. So a load begins BACK bytes before a list at the earliest and
 * ends 16 past its end at the latest. Of a bitmap, the word that begins where the node's bits end
 * may be fetched in vain: 16 bytes from there on. Sixteen indices read 16 bytes.
 */
#include "codec/byte_table.h"
#include "codec/kernels.h"
#include "codec/words.h"

#include <arm_neon.h>
#include <string.h>

/* Bytes stored at once. Loads reach eight bytes back and not further than that ahead. */
enum { WIDTH = 16, BACK = 8 };
_Static_assert(2 * WIDTH <= CODEC_LIST_SLACK, "a group may run on by that much");

/*
 * Byte i of an entry m: where, among 16 bytes of the right list and 16 of the left, the i-th of
 * eight elements is whose bits are m. The cursors stand in the middle of the 16: at their places
 * behind these eight elements (behind[]), or before them (ahead[]).
 */
#define BELOW(m, i) ONES((m) & ((1 << (i)) - 1))
#define AHEAD(m, i) ((BIT(m, i) ? 8 + BELOW(m, i) : 24 + (i)-BELOW(m, i)) << 8 * (i))
#define BEHIND(m, i)                                                                               \
	((BIT(m, i) ? 8 + BELOW(m, i) - ONES(m) : 16 + (i)-BELOW(m, i) + ONES(m)) << 8 * (i))
#define EIGHT(which, m)                                                                            \
	(which(m, 0) | which(m, 1) | which(m, 2) | which(m, 3) | which(m, 4) | which(m, 5) |       \
	 which(m, 6) | which(m, 7))
#define AHEADS(m)  EIGHT(AHEAD, m)
#define BEHINDS(m) EIGHT(BEHIND, m)

static const uint64_t behind[256] __attribute__((aligned(64))) = BYTE_TABLE(BEHINDS);
static const uint64_t ahead[256] __attribute__((aligned(64))) = BYTE_TABLE(AHEADS);

/* Whole words within the node's bits, and one more, which starts where they end at the latest. */
static inline size_t count_ones(const uint8_t *coded, size_t position, size_t count)
{
	const uint8_t *bytes = coded + position / 8;
	size_t phase = position % 8, bits = phase + count, ones;
	uint16x8_t sums = vdupq_n_u16(0); /* 65536 bits: at most 8192 in a lane */

	for (; bits >= 256; bits -= 256, bytes += 32) {
		uint8x16_t counts = vcntq_u8(vld1q_u8(bytes));
		sums = vpadalq_u8(sums, vaddq_u8(counts, vcntq_u8(vld1q_u8(bytes + 16))));
	}
	ones = vaddlvq_u16(sums);
	for (; bits >= 64; bits -= 64, bytes += 8)
		ones += (size_t)__builtin_popcountll(load64(bytes));
	ones += (size_t)__builtin_popcountll(load64(bytes) & ((UINT64_C(1) << bits) - 1));
	return ones - (size_t)__builtin_popcountll(coded[position / 8] & ((1u << phase) - 1));
}

/* A bitmap in words of 64 bits, from any bit on; each reads 16 bytes. */
struct bitmap {
	const uint8_t *next;
	unsigned down, up;
};

static inline struct bitmap bitmap_at(const uint8_t *coded, size_t position)
{
	return (struct bitmap){coded + position / 8, position % 8, 63 - position % 8};
}

static inline uint64_t next_bits(struct bitmap *bitmap)
{
	uint64_t low = load64(bitmap->next), high = load64(bitmap->next + 8);

	bitmap->next += 8;
	return low >> bitmap->down | high << 1 << bitmap->up;
}

/* Stores sixteen elements of which `left` count, if fewer than WIDTH. */
static inline void store_last(uint8_t *out, uint8x16_t group, size_t left, int exact)
{
	if (exact && left < WIDTH) {
		uint8_t whole[WIDTH];
		vst1q_u8(whole, group);
		memcpy(out, whole, left);
	} else {
		vst1q_u8(out, group);
	}
}

/*
 * Eight bytes out of two registers. gcc 12 copies a pair of registers before each use of the
 * intrinsic function, 16 moves for 64 elements; these two stay where they were loaded to.
 */
static inline __attribute__((always_inline)) uint8x8_t look_up_pair(uint8x16_t low, uint8x16_t high,
								    uint64_t indices)
{
	register uint8x16_t first __asm__("v30") = low;
	register uint8x16_t second __asm__("v31") = high;
	uint8x8_t found;

	__asm__("tbl %0.8b, {v30.16b, v31.16b}, %1.8b"
		: "=w"(found)
		: "w"(vcreate_u8(indices)), "w"(first), "w"(second));
	return found;
}

/* What a merge takes elements from: a list, or one symbol for ever. */
struct source {
	int is_list;         /* known at compile time wherever it is inlined */
	const uint8_t *next; /* BACK bytes before the next element */
	uint8x16_t constant;
};

static inline struct source list_of(const uint8_t *list)
{
	return (struct source){1, list - BACK, vdupq_n_u8(0)};
}

static inline struct source constant_of(uint8_t symbol)
{
	return (struct source){0, NULL, vdupq_n_u8(symbol)};
}

static inline uint8x16_t around(const struct source *source, size_t offset)
{
	return source->is_list ? vld1q_u8(source->next + offset) : source->constant;
}

/* A word of a bitmap; byte j of `ones` counts its ones up to its j-th byte, 64 at most. */
struct word {
	uint64_t bits, ones;
};

static inline struct word next_word(struct bitmap *bitmap)
{
	uint64_t bits = next_bits(bitmap);
	uint64_t counts = vget_lane_u64(vreinterpret_u64_u8(vcnt_u8(vcreate_u8(bits))), 0);

	return (struct word){bits, counts * 0x0101010101010101};
}

/* The k-th sixteen of a word. */
static inline __attribute__((always_inline)) uint8x16_t
merge_sixteen(const struct source *left, const struct source *right, struct word word, unsigned k)
{
	size_t skip = word.ones >> 16 * k & 0xff;
	uint8x16_t rights = around(right, skip), lefts = around(left, 16 * k + 8 - skip);
	uint64_t before = behind[word.bits >> 16 * k & 0xff];
	uint64_t after = ahead[word.bits >> (16 * k + 8) & 0xff];

	return vcombine_u8(look_up_pair(rights, lefts, before), look_up_pair(rights, lefts, after));
}

/* Each word is fetched and counted while the one before is merged: it takes some twenty cycles. */
static inline __attribute__((always_inline)) void
merge_sources(uint8_t *out, struct source left, struct source right, const uint8_t *coded,
	      size_t position, size_t count, struct codec_fold *root)
{
	struct bitmap bitmap = bitmap_at(coded, position);
	struct word word = next_word(&bitmap);

	for (; count >= 64; count -= 64, out += 64) {
		struct word next = next_word(&bitmap);
		vst1q_u8(out, merge_sixteen(&left, &right, word, 0));
		vst1q_u8(out + 16, merge_sixteen(&left, &right, word, 1));
		vst1q_u8(out + 32, merge_sixteen(&left, &right, word, 2));
		vst1q_u8(out + 48, merge_sixteen(&left, &right, word, 3));
		if (left.is_list)
			left.next += 64 - (word.ones >> 56);
		if (right.is_list)
			right.next += word.ones >> 56;
		word = next;
	}
	for (unsigned k = 0; count > 0; k++, out += WIDTH) {
		size_t elements = count < WIDTH ? count : WIDTH;
		store_last(out, merge_sixteen(&left, &right, word, k), elements, root != NULL);
		count -= elements;
	}
}

static void merge(uint8_t *out, const uint8_t *left, const uint8_t *right, const uint8_t *coded,
		  size_t position, size_t count, struct codec_fold *root)
{
	merge_sources(out, list_of(left), list_of(right), coded, position, count, root);
}

static void merge_left_constant(uint8_t *out, uint8_t left, const uint8_t *right,
				const uint8_t *coded, size_t position, size_t count,
				struct codec_fold *root)
{
	merge_sources(out, constant_of(left), list_of(right), coded, position, count, root);
}

static void merge_right_constant(uint8_t *out, const uint8_t *left, uint8_t right,
				 const uint8_t *coded, size_t position, size_t count,
				 struct codec_fold *root)
{
	merge_sources(out, list_of(left), constant_of(right), coded, position, count, root);
}

/* The k-th sixteen bits of a word as bytes: 0xff where the bit is set. */
static inline uint8x16_t spread_bits(uint64_t bits, unsigned k)
{
	const uint8x16_t select = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201));
	const uint8x16_t bytes =
	    vreinterpretq_u8_u64(vcombine_u64(vcreate_u64(0x0101010101010101 * (2 * k)),
					      vcreate_u64(0x0101010101010101 * (2 * k + 1))));

	return vtstq_u8(vqtbl1q_u8(vcombine_u8(vcreate_u8(bits), vcreate_u8(0)), bytes), select);
}

static void merge_constants(uint8_t *out, uint8_t left, uint8_t right, const uint8_t *coded,
			    size_t position, size_t count, struct codec_fold *root)
{
	const uint8x16_t lefts = vdupq_n_u8(left), rights = vdupq_n_u8(right);
	struct bitmap bitmap = bitmap_at(coded, position);

	for (; count >= 64; count -= 64, out += 64) {
		uint64_t bits = next_bits(&bitmap);
		vst1q_u8(out, vbslq_u8(spread_bits(bits, 0), rights, lefts));
		vst1q_u8(out + 16, vbslq_u8(spread_bits(bits, 1), rights, lefts));
		vst1q_u8(out + 32, vbslq_u8(spread_bits(bits, 2), rights, lefts));
		vst1q_u8(out + 48, vbslq_u8(spread_bits(bits, 3), rights, lefts));
	}
	if (count == 0)
		return;
	uint64_t bits = next_bits(&bitmap);
	for (; count > 0; bits >>= WIDTH, out += WIDTH) {
		size_t elements = count < WIDTH ? count : WIDTH;
		store_last(out, vbslq_u8(spread_bits(bits, 0), rights, lefts), elements,
			   root != NULL);
		count -= elements;
	}
}

/* A chunk of 16 symbols: nibbles, 32 at a time. Reads 17 bytes for them. */
static void unpack_nibbles(uint8_t *out, const uint8_t *symbols, const uint8_t *coded,
			   size_t position, size_t count, struct codec_fold *root)
{
	const uint8x16_t table = vld1q_u8(symbols);
	const int8x16_t down = vdupq_n_s8((int8_t) - (int)(position % 8));
	const int8x16_t up = vdupq_n_s8((int8_t)(8 - (int)(position % 8)));
	const uint8_t *bytes = coded + position / 8;

	while (count > 0) {
		uint8x16_t pairs =
		    vorrq_u8(vshlq_u8(vld1q_u8(bytes), down), vshlq_u8(vld1q_u8(bytes + 1), up));
		uint8x16_t even = vandq_u8(pairs, vdupq_n_u8(15)), odd = vshrq_n_u8(pairs, 4);
		uint8x16_t low = vqtbl1q_u8(table, vzip1q_u8(even, odd));
		uint8x16_t high = vqtbl1q_u8(table, vzip2q_u8(even, odd));
		if (count < 2 * WIDTH) {
			store_last(out, low, count, root != NULL);
			if (count > WIDTH)
				store_last(out + WIDTH, high, count - WIDTH, root != NULL);
			return;
		}
		vst1q_u8(out, low);
		vst1q_u8(out + WIDTH, high);
		out += 2 * WIDTH;
		bytes += WIDTH;
		count -= 2 * WIDTH;
	}
}

/* How to bring sixteen flat indices, two times eight in `width` bytes, to 16-bit lanes. */
struct unpacker {
	uint8x16_t low, high; /* the two bytes that hold an index */
	int16x8_t down;       /* minus the index's place in them */
	uint8x16_t mask;
};

/* Index j of eight starts at bit phase + j * width; with width <= 8 it ends within 16 bits. */
static inline struct unpacker unpacker_for(unsigned width, unsigned phase)
{
	static const uint16_t numbers[8] = {0, 1, 2, 3, 4, 5, 6, 7};
	uint16x8_t starts =
	    vmlaq_n_u16(vdupq_n_u16((uint16_t)phase), vld1q_u16(numbers), (uint16_t)width);
	uint16x8_t byte = vshrq_n_u16(starts, 3);
	uint8x16_t bytes =
	    vreinterpretq_u8_u16(vaddq_u16(vmulq_n_u16(byte, 0x0101), vdupq_n_u16(0x0100)));

	return (struct unpacker){
	    bytes, vaddq_u8(bytes, vdupq_n_u8((uint8_t)width)),
	    vnegq_s16(vreinterpretq_s16_u16(vandq_u16(starts, vdupq_n_u16(7)))),
	    vdupq_n_u8((uint8_t)((1u << width) - 1))};
}

/* Sixteen indices of width < 8 take, with the phase, at most 15 bytes: reads 16. */
static inline uint8x16_t unpack_group(const struct unpacker *unpacker, const uint8_t *bytes)
{
	uint8x16_t all = vld1q_u8(bytes);
	uint16x8_t low = vreinterpretq_u16_u8(vqtbl1q_u8(all, unpacker->low));
	uint16x8_t high = vreinterpretq_u16_u8(vqtbl1q_u8(all, unpacker->high));

	low = vshlq_u16(low, unpacker->down);
	high = vshlq_u16(high, unpacker->down);
	return vandq_u8(vuzp1q_u8(vreinterpretq_u8_u16(low), vreinterpretq_u8_u16(high)),
			unpacker->mask);
}

static inline uint8x16x2_t load_symbols32(const uint8_t *symbols)
{
	return (uint8x16x2_t){{vld1q_u8(symbols), vld1q_u8(symbols + 16)}};
}

static inline uint8x16x4_t load_symbols64(const uint8_t *symbols)
{
	return (uint8x16x4_t){{vld1q_u8(symbols), vld1q_u8(symbols + 16), vld1q_u8(symbols + 32),
			       vld1q_u8(symbols + 48)}};
}

#define UNPACK_LOOP(symbols_of_indices)                                                            \
	do {                                                                                       \
		for (; count >= WIDTH; count -= WIDTH, out += WIDTH, bytes += 2 * width) {         \
			uint8x16_t indices = unpack_group(&unpacker, bytes);                       \
			vst1q_u8(out, symbols_of_indices);                                         \
		}                                                                                  \
		if (count > 0) {                                                                   \
			uint8x16_t indices = unpack_group(&unpacker, bytes);                       \
			store_last(out, symbols_of_indices, count, root != NULL);                  \
		}                                                                                  \
	} while (0)

/* Loading more symbols than a chunk has is no harm: tree->symbols is CODEC_LIST_SLACK longer. */
static void unpack(uint8_t *out, const struct codec_tree *tree, const struct codec_node *node,
		   const uint8_t *coded, size_t position, size_t count, struct codec_fold *root)
{
	const uint8_t *symbols = tree->symbols + node->first, *bytes = coded + position / 8;
	const unsigned width = node->width;
	const struct unpacker unpacker = unpacker_for(width, position % 8);

	if (width == 1) {
		merge_constants(out, symbols[0], symbols[1], coded, position, count, root);
	} else if (width == 4) {
		unpack_nibbles(out, symbols, coded, position, count, root);
	} else if (width == 8) {
		memcpy(out, bytes,
		       count); /* a chunk of all 256 symbols, hence in order, at phase 0 */
	} else if (node->runs == 1) {
		uint8x16_t first = vdupq_n_u8(symbols[0]);
		UNPACK_LOOP(vaddq_u8(indices, first));
	} else if (width <= 3) {
		uint8x16_t table = vld1q_u8(symbols);
		UNPACK_LOOP(vqtbl1q_u8(table, indices));
	} else if (width == 5) {
		uint8x16x2_t table = load_symbols32(symbols);
		UNPACK_LOOP(vqtbl2q_u8(table, indices));
	} else if (width == 6) {
		uint8x16x4_t table = load_symbols64(symbols);
		UNPACK_LOOP(vqtbl4q_u8(table, indices));
	} else {
		uint8x16x4_t low = load_symbols64(symbols), high = load_symbols64(symbols + 64);
		UNPACK_LOOP(
		    vqtbx4q_u8(vqtbl4q_u8(low, indices), high, vsubq_u8(indices, vdupq_n_u8(64))));
	}
}

#include "codec/decode_template.h"

/* Advanced SIMD is part of every AArch64 processor that runs Linux. */
static int supported(void)
{
	return 1;
}

const struct codec_kernel codec_kernel_neon = {
    .name = "neon",
    .supported = supported,
    .decode = decode,
    .encode = codec_encode_neon,
    .dequant = &dequant_kernel_neon,
    .planes = &planes_kernel_neon,
    .ggml_blocks = &ggml_blocks_kernel_neon,
};
