/* SPDX-License-Identifier: MIT */
/* byte_masks.h - eight bits widened to bytes, for pdep and pext; private to codec/x86/. */
#ifndef ENTROFS_CODEC_X86_BYTE_MASKS_H
#define ENTROFS_CODEC_X86_BYTE_MASKS_H

#include <stdint.h>

/*
 * Tables of masks widened to bytes, because every processor has one unit for pdep, and two or three
 * for loads; and of their complements, because pdep and pext take their masks from memory for
 * nothing.
 */
#define ONE(mask, bit) ((mask) >> (bit)&1 ? UINT64_C(0xff) << 8 * (bit) : 0)
#define BYTES(mask)                                                                                \
	(ONE(mask, 0) | ONE(mask, 1) | ONE(mask, 2) | ONE(mask, 3) | ONE(mask, 4) | ONE(mask, 5) | \
	 ONE(mask, 6) | ONE(mask, 7))
#define BYTES4(mask, flip)                                                                         \
	BYTES((mask) ^ (flip)), BYTES(((mask) + 1) ^ (flip)), BYTES(((mask) + 2) ^ (flip)),        \
	    BYTES(((mask) + 3) ^ (flip))
#define BYTES16(mask, flip)                                                                        \
	BYTES4(mask, flip), BYTES4((mask) + 4, flip), BYTES4((mask) + 8, flip),                    \
	    BYTES4((mask) + 12, flip)
#define BYTES64(mask, flip)                                                                        \
	BYTES16(mask, flip), BYTES16((mask) + 16, flip), BYTES16((mask) + 32, flip),               \
	    BYTES16((mask) + 48, flip)
#define BYTES256(flip) BYTES64(0, flip), BYTES64(64, flip), BYTES64(128, flip), BYTES64(192, flip)

static const uint64_t byte_ones[256] = {BYTES256(0)};
static const uint64_t byte_zeros[256] = {BYTES256(0xff)};

#undef ONE
#undef BYTES
#undef BYTES4
#undef BYTES16
#undef BYTES64
#undef BYTES256

/* 0xff for each one of eight bits. */
static inline uint64_t byte_mask(unsigned mask)
{
	return byte_ones[mask];
}

#endif
