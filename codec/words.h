/* SPDX-License-Identifier: MIT */
/* words.h - eight bytes from and to anywhere; private to codec/. */
#ifndef ENTROFS_CODEC_WORDS_H
#define ENTROFS_CODEC_WORDS_H

#include <assert.h>
#include <stdint.h>
#include <string.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words are read and written as they lie");

static inline uint64_t load64(const uint8_t *bytes)
{
	uint64_t word;

	memcpy(&word, bytes, sizeof(word));
	return word;
}

static inline void store64(uint8_t *bytes, uint64_t word)
{
	memcpy(bytes, &word, sizeof(word));
}

#endif
