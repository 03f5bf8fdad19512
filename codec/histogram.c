/* SPDX-License-Identifier: MIT */
/*
 * histogram.c - how often each byte occurs.
 *
 * Four tables, lest equal neighbours wait for each other's increment. Bound by one store a byte,
 * which is what processors do in a cycle.
 */
#include "codec/codec.h"

#include <string.h>

enum { STRETCH = 1 << 30 }; /* bytes that no 32-bit counter overflows on */

static void count_stretch(const uint8_t *src, size_t size, uint64_t counts[CODEC_SYMBOLS])
{
	uint32_t lanes[4][CODEC_SYMBOLS];
	size_t i = 0;

	memset(lanes, 0, sizeof(lanes));
	for (; size - i >= 4; i += 4) {
		lanes[0][src[i]]++;
		lanes[1][src[i + 1]]++;
		lanes[2][src[i + 2]]++;
		lanes[3][src[i + 3]]++;
	}
	for (; i < size; i++)
		lanes[0][src[i]]++;
	for (unsigned symbol = 0; symbol < CODEC_SYMBOLS; symbol++)
		counts[symbol] += (uint64_t)lanes[0][symbol] + lanes[1][symbol] + lanes[2][symbol] +
				  lanes[3][symbol];
}

void codec_histogram(const uint8_t *src, size_t size, uint64_t counts[CODEC_SYMBOLS])
{
	for (; size > STRETCH; src += STRETCH, size -= STRETCH)
		count_stretch(src, STRETCH, counts);
	count_stretch(src, size, counts);
}
