/* SPDX-License-Identifier: MIT */
/*
 * decode_neon.c - the NEON kernel: eight elements at a time by table lookup.
 *
 * Merge: eight bytes from each list's cursor make one register; the byte of bits finds the control
 * that picks eight of the sixteen, in a one-register TBL, which is cheap on every core. The places
 * of all cursors within 64 elements come from one CNT and one multiplication, so no group waits
 * for the one before.
 *
 * Unpack: TBL brings the two bytes that hold a flat index to a 16-bit lane, a shift by lane brings
 * it down, a mask ends it. Symbols are looked up 16, 32 or 64 at a time.
 */
#include "codec/kernels.h"

#include <arm_neon.h>
#include <string.h>

/* Bytes stored at once. Loads from a list take at most twice that. */
enum { WIDTH = 16 };
_Static_assert(2 * WIDTH <= CODEC_LIST_SLACK, "a group may run on by that much");

/*
 * Byte i of controls[m]: from eight left and eight right elements the one that comes i-th. It is
 * 8 + the ones below bit i where bit i is set, else the zeros below bit i.
 */
#define BIT(m, i)     ((uint64_t)(m) >> (i)&1)
#define ONES2(m)      (BIT(m, 0) + BIT(m, 1))
#define ONES4(m)      (ONES2(m) + ONES2((m) >> 2))
#define ONES8(m)      (ONES4(m) + ONES4((m) >> 4))
#define BELOW(m, i)   ONES8((m) & ((1 << (i)) - 1))
#define CONTROL(m, i) ((BIT(m, i) ? 8 + BELOW(m, i) : (i)-BELOW(m, i)) << 8 * (i))
#define ENTRY(m)                                                                                   \
	(CONTROL(m, 0) | CONTROL(m, 1) | CONTROL(m, 2) | CONTROL(m, 3) | CONTROL(m, 4) |           \
	 CONTROL(m, 5) | CONTROL(m, 6) | CONTROL(m, 7))
#define ENTRIES4(m)  ENTRY(m), ENTRY((m) + 1), ENTRY((m) + 2), ENTRY((m) + 3)
#define ENTRIES16(m) ENTRIES4(m), ENTRIES4((m) + 4), ENTRIES4((m) + 8), ENTRIES4((m) + 12)
#define ENTRIES64(m) ENTRIES16(m), ENTRIES16((m) + 16), ENTRIES16((m) + 32), ENTRIES16((m) + 48)

static const uint64_t controls[256]
    __attribute__((aligned(64))) = {ENTRIES64(0), ENTRIES64(64), ENTRIES64(128), ENTRIES64(192)};

static inline uint64_t load64(const uint8_t *bytes)
{
	uint64_t word;

	memcpy(&word, bytes, sizeof(word));
	return word;
}

/* The 64 bits from a bit position on: reads 16 bytes. */
static inline uint64_t load_bits(const uint8_t *coded, size_t position)
{
	const uint8_t *bytes = coded + position / 8;
	unsigned phase = position % 8;

	return load64(bytes) >> phase | load64(bytes + 8) << 1 << (63 - phase);
}

static inline size_t count_ones(const uint8_t *coded, size_t position, size_t count)
{
	const uint8_t *bytes = coded + position / 8;
	size_t phase = position % 8, bits = phase + count, ones;
	uint16x8_t sums = vdupq_n_u16(0); /* 65536 bits: at most 8192 in a lane */

	for (; bits >= 128; bits -= 128, bytes += 16)
		sums = vpadalq_u8(sums, vcntq_u8(vld1q_u8(bytes)));
	ones = vaddlvq_u16(sums);
	for (; bits >= 64; bits -= 64, bytes += 8)
		ones += (size_t)__builtin_popcountll(load64(bytes));
	ones += (size_t)__builtin_popcountll(load64(bytes) & ((UINT64_C(1) << bits) - 1));
	return ones - (size_t)__builtin_popcountll(coded[position / 8] & ((1u << phase) - 1));
}

/* A list that eight elements are taken from, or one element for all. */
struct source {
	const uint8_t *next; /* NULL: constant */
	uint8x8_t constant;
};

static inline struct source list_source(const uint8_t *list)
{
	return (struct source){list, vdup_n_u8(0)};
}

static inline struct source constant_source(uint8_t symbol)
{
	return (struct source){NULL, vdup_n_u8(symbol)};
}

static inline uint8x8_t take(const struct source *source, size_t offset)
{
	return source->next ? vld1_u8(source->next + offset) : source->constant;
}

/* Eight elements, group k of a word of bits; ones[k] in `before` are set in the groups below. */
static inline uint8x8_t merge_group(const struct source *left, const struct source *right,
				    uint64_t bits, uint64_t before, unsigned k)
{
	size_t ones = before >> 8 * k & 0xff;
	uint8x16_t both = vcombine_u8(take(left, 8 * k - ones), take(right, ones));

	return vqtbl1_u8(both, vcreate_u8(controls[bits >> 8 * k & 0xff]));
}

/* Byte k: the ones in the bytes below byte k. */
static inline uint64_t ones_before(uint64_t bits, size_t *total)
{
	uint64_t counts = vget_lane_u64(vreinterpret_u64_u8(vcnt_u8(vcreate_u8(bits))), 0);
	uint64_t sums = counts * 0x0101010101010101; /* 64 at most: no carry between bytes */

	*total = sums >> 56;
	return sums << 8;
}

static inline __attribute__((always_inline)) void
merge_sources(uint8_t *out, struct source left, struct source right, const uint8_t *coded,
	      size_t position, size_t count, int exact)
{
	uint64_t bits, before;
	size_t ones;

	for (; count >= 64; count -= 64, position += 64, out += 64) {
		bits = load_bits(coded, position);
		before = ones_before(bits, &ones);
		vst1_u8(out, merge_group(&left, &right, bits, before, 0));
		vst1_u8(out + 8, merge_group(&left, &right, bits, before, 1));
		vst1_u8(out + 16, merge_group(&left, &right, bits, before, 2));
		vst1_u8(out + 24, merge_group(&left, &right, bits, before, 3));
		vst1_u8(out + 32, merge_group(&left, &right, bits, before, 4));
		vst1_u8(out + 40, merge_group(&left, &right, bits, before, 5));
		vst1_u8(out + 48, merge_group(&left, &right, bits, before, 6));
		vst1_u8(out + 56, merge_group(&left, &right, bits, before, 7));
		if (left.next)
			left.next += 64 - ones;
		if (right.next)
			right.next += ones;
	}
	bits = load_bits(coded, position);
	before = ones_before(bits, &ones);
	for (unsigned k = 0; count > 0; k++) {
		uint8x8_t group = merge_group(&left, &right, bits, before, k);
		if (count < 8 && exact) {
			uint8_t whole[8];
			vst1_u8(whole, group);
			memcpy(out, whole, count);
			return;
		}
		vst1_u8(out, group);
		out += 8;
		count -= count < 8 ? count : 8;
	}
}

static inline void merge(uint8_t *out, const uint8_t *left, const uint8_t *right,
			 const uint8_t *coded, size_t position, size_t count, int exact)
{
	merge_sources(out, list_source(left), list_source(right), coded, position, count, exact);
}

static inline void merge_left_constant(uint8_t *out, uint8_t left, const uint8_t *right,
				       const uint8_t *coded, size_t position, size_t count,
				       int exact)
{
	merge_sources(out, constant_source(left), list_source(right), coded, position, count,
		      exact);
}

static inline void merge_right_constant(uint8_t *out, const uint8_t *left, uint8_t right,
					const uint8_t *coded, size_t position, size_t count,
					int exact)
{
	merge_sources(out, list_source(left), constant_source(right), coded, position, count,
		      exact);
}

static inline void merge_constants(uint8_t *out, uint8_t left, uint8_t right, const uint8_t *coded,
				   size_t position, size_t count, int exact)
{
	merge_sources(out, constant_source(left), constant_source(right), coded, position, count,
		      exact);
}

/* How to bring eight flat indices, which take `width` bytes, to 16-bit lanes. */
struct unpacker {
	uint8x16_t bytes; /* the two bytes that hold an index */
	int16x8_t down;   /* minus the index's place in them */
	uint8x16_t mask;
};

/* Index j of a group starts at bit phase + j * width; with width <= 8 it ends within 16 bits. */
static inline struct unpacker unpacker_for(unsigned width, unsigned phase)
{
	static const uint16_t numbers[8] = {0, 1, 2, 3, 4, 5, 6, 7};
	uint16x8_t starts =
	    vmlaq_n_u16(vdupq_n_u16((uint16_t)phase), vld1q_u16(numbers), (uint16_t)width);
	uint16x8_t byte = vshrq_n_u16(starts, 3);
	uint16x8_t bytes = vaddq_u16(vmulq_n_u16(byte, 0x0101), vdupq_n_u16(0x0100));

	return (struct unpacker){
	    vreinterpretq_u8_u16(bytes),
	    vnegq_s16(vreinterpretq_s16_u16(vandq_u16(starts, vdupq_n_u16(7)))),
	    vdupq_n_u8((uint8_t)((1u << width) - 1))};
}

/* Sixteen indices; reads up to width + 16 bytes. */
static inline uint8x16_t unpack_group(const struct unpacker *unpacker, const uint8_t *bytes,
				      unsigned width)
{
	uint8x16_t low = vqtbl1q_u8(vld1q_u8(bytes), unpacker->bytes);
	uint8x16_t high = vqtbl1q_u8(vld1q_u8(bytes + width), unpacker->bytes);

	low = vreinterpretq_u8_u16(vshlq_u16(vreinterpretq_u16_u8(low), unpacker->down));
	high = vreinterpretq_u8_u16(vshlq_u16(vreinterpretq_u16_u8(high), unpacker->down));
	return vandq_u8(vuzp1q_u8(low, high), unpacker->mask);
}

static inline uint8x16x4_t load_symbols64(const uint8_t *symbols)
{
	return (uint8x16x4_t){{vld1q_u8(symbols), vld1q_u8(symbols + 16), vld1q_u8(symbols + 32),
			       vld1q_u8(symbols + 48)}};
}

static inline void store_last(uint8_t *out, uint8x16_t group, size_t left, int exact)
{
	if (exact) {
		uint8_t whole[WIDTH];
		vst1q_u8(whole, group);
		memcpy(out, whole, left);
	} else {
		vst1q_u8(out, group);
	}
}

#define UNPACK_LOOP(symbols_of_indices)                                                            \
	do {                                                                                       \
		for (; count >= WIDTH; count -= WIDTH, out += WIDTH, bytes += 2 * width) {         \
			uint8x16_t indices = unpack_group(&unpacker, bytes, width);                \
			vst1q_u8(out, symbols_of_indices);                                         \
		}                                                                                  \
		if (count > 0) {                                                                   \
			uint8x16_t indices = unpack_group(&unpacker, bytes, width);                \
			store_last(out, symbols_of_indices, count, exact);                         \
		}                                                                                  \
	} while (0)

/* Loading more symbols than a chunk has is no harm: tree->symbols is CODEC_LIST_SLACK longer. */
static void unpack(uint8_t *out, const struct codec_tree *tree, const struct codec_node *node,
		   const uint8_t *coded, size_t position, size_t count, int exact)
{
	const uint8_t *symbols = tree->symbols + node->first, *bytes = coded + position / 8;
	const unsigned width = node->width;
	const struct unpacker unpacker = unpacker_for(width, position % 8);

	if (width <= 4) {
		uint8x16_t table = vld1q_u8(symbols);
		UNPACK_LOOP(vqtbl1q_u8(table, indices));
	} else if (width <= 6) {
		uint8x16x4_t table = load_symbols64(symbols);
		UNPACK_LOOP(vqtbl4q_u8(table, indices));
	} else if (width == 7) {
		uint8x16x4_t low = load_symbols64(symbols), high = load_symbols64(symbols + 64);
		UNPACK_LOOP(
		    vqtbx4q_u8(vqtbl4q_u8(low, indices), high, vsubq_u8(indices, vdupq_n_u8(64))));
	} else {
		UNPACK_LOOP(indices); /* a chunk of all 256 symbols */
	}
}

#include "codec/decode_template.h"

/* Advanced SIMD is part of every AArch64 processor that runs Linux. */
static int supported(void)
{
	return 1;
}

const struct codec_kernel codec_kernel_neon = {"neon", supported, decode, &dequant_kernel_neon};
