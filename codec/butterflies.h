/* SPDX-License-Identifier: MIT */
/* butterflies.h - how to merge eight bytes of two lists within a word; private to codec/. */
#ifndef ENTROFS_CODEC_BUTTERFLIES_H
#define ENTROFS_CODEC_BUTTERFLIES_H

#include <stdint.h>

/* For a mask of eight bits; 0xff in each byte that is meant. */
struct codec_butterfly {
	uint64_t rights; /* as many bytes as the mask has ones, from the top */
	uint64_t by_two; /* the lower byte of a pair to exchange, likewise: */
	uint64_t by_one;
	uint32_t by_four; /* of these, all lower bytes lie in the lower half */
	uint32_t ones;    /* in the mask */
};

extern const struct codec_butterfly codec_butterflies[256];

#endif
