/* SPDX-License-Identifier: MIT */
/* butterflies.h - how to merge eight bytes of two lists within a word; private to codec/. */
#ifndef ENTROFS_CODEC_BUTTERFLIES_H
#define ENTROFS_CODEC_BUTTERFLIES_H

#include <stdint.h>

/*
 * By mask of eight bits; 0xff in each byte that is meant. An array for each of them: so one
 * register with the mask and one with the address of all reach every entry.
 */
struct codec_butterflies {
	uint64_t rights[256]; /* as many bytes as the mask has ones, from the top */
	uint64_t by_two[256]; /* the lower byte of a pair to exchange, likewise: */
	uint64_t by_one[256];
	uint32_t by_four[256]; /* of these, all lower bytes lie in the lower half */
	uint8_t ones[256];     /* in the mask */
};

extern const struct codec_butterflies codec_butterflies;

#endif
