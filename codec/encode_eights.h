/* SPDX-License-Identifier: MIT */
/*
 * encode_eights.h - splits a list eight elements at a time, for kernels without wider means.
 *
 * The including file defines, as static inline functions:
 *
 *   uint64_t compare64(const uint8_t *list, const struct comparison *)
 *       one bit for each of 64 elements; struct comparison is its own affair
 *   void separate(const uint8_t *list, unsigned mask, uint8_t *left, uint8_t *right,
 *                 unsigned keep)
 *       of eight elements, those with a zero in the mask to left if keep & KEEP_LEFT, those with a
 *       one to right if keep & KEEP_RIGHT; stores eight bytes whatever their number, and reads
 *       before it stores
 *   size_t popcount(uint64_t word)
 *   size_t popcount8(unsigned mask)
 *       of eight bits
 *
 * 64 elements are compared at once: list may be read that far past its end, which is within
 * CODEC_LIST_SLACK. From one eight to the next only the cursors carry, by one operation each: the
 * left one moves back by the ones, and eight on for all.
 */
#ifndef ENTROFS_CODEC_ENCODE_EIGHTS_H
#define ENTROFS_CODEC_ENCODE_EIGHTS_H

#include "codec/bit_writer.h"
#include "codec/kernels.h"

struct split_cursors {
	const uint8_t *list;
	uint8_t *left, *right;
};

/*
 * Elements 8 * k to 8 * k + 7 of a group. Before them, 8 * k + list - left elements went right: so
 * left + 8 * k stands at or before what is read here, and only what has been read is overwritten.
 */
static inline __attribute__((always_inline)) void
split_eight(struct split_cursors *cursors, uint64_t bits, unsigned k, unsigned keep)
{
	unsigned mask = bits >> 8 * k & 0xff;
	size_t ones = popcount8(mask);

	separate(cursors->list + 8 * k, mask, cursors->left + 8 * k, cursors->right, keep);
	cursors->left -= ones;
	cursors->right += ones;
}

static inline __attribute__((always_inline)) size_t split_eights(uint8_t *list, size_t count,
								 struct comparison comparison,
								 uint8_t *right, unsigned keep,
								 struct bit_writer *writer)
{
	struct split_cursors cursors = {list, list, right};
	struct bit_writer out = *writer; /* in registers, whatever bytes are stored */
	size_t total = 0;

	for (; count >= 64; count -= 64) {
		uint64_t bits = compare64(cursors.list, &comparison);
		put_word(&out, bits);
		total += popcount(bits);
		if (keep) {
			split_eight(&cursors, bits, 0, keep);
			split_eight(&cursors, bits, 1, keep);
			split_eight(&cursors, bits, 2, keep);
			split_eight(&cursors, bits, 3, keep);
			split_eight(&cursors, bits, 4, keep);
			split_eight(&cursors, bits, 5, keep);
			split_eight(&cursors, bits, 6, keep);
			split_eight(&cursors, bits, 7, keep);
		}
		cursors.list += 64;
		cursors.left += 64;
	}
	if (count > 0) {
		uint64_t bits = compare64(cursors.list, &comparison);
		bits &= (UINT64_C(1) << count) - 1;
		put_bits(&out, bits, (unsigned)count);
		total += popcount(bits);
		for (unsigned k = 0; keep && 8 * k < count; k++)
			split_eight(&cursors, bits, k, keep);
	}
	*writer = out;
	return total;
}

#endif
