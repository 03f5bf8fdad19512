/* SPDX-License-Identifier: MIT */
/*
 * bit_writer.h - bits into the bytes of a coded block, for the encoders; private to codec/.
 *
 * A writer knows where its block ends, and its user writes exactly the bits that this room was
 * computed for. What is stored beyond the bits written so far, but before the end, is overwritten
 * by what follows; so a store of eight bytes needs nothing more than eight bytes before the end.
 */
#ifndef ENTROFS_CODEC_BIT_WRITER_H
#define ENTROFS_CODEC_BIT_WRITER_H

#include "codec/words.h"

struct bit_writer {
	uint8_t *next;
	const uint8_t *end;
	uint64_t pending; /* bits that do not fill a byte yet */
	unsigned fill;    /* how many: below 8 */
};

/* 64 bits. They and those pending fill eight bytes, which therefore lie before the end. */
static inline void put_word(struct bit_writer *writer, uint64_t bits)
{
	store64(writer->next, writer->pending | bits << writer->fill);
	writer->pending = bits >> 1 >> (63 - writer->fill);
	writer->next += 8;
}

/* Up to 64 bits; those above them are zero. Only bytes that they fill go past end - 8. */
static inline void put_bits(struct bit_writer *writer, uint64_t bits, unsigned count)
{
	uint64_t word = writer->pending | bits << writer->fill;
	uint64_t rest = bits >> 1 >> (63 - writer->fill);
	unsigned total = writer->fill + count, bytes = total / 8;

	if (writer->end - writer->next >= 8) {
		store64(writer->next, word);
	} else {
		for (unsigned i = 0; i < bytes; i++)
			writer->next[i] = (uint8_t)(word >> 8 * i);
	}
	writer->next += bytes;
	writer->pending = bytes == 8 ? rest : word >> 8 * bytes;
	writer->fill = total % 8;
}

/* The last byte, filled up with zeros. */
static inline void finish_bits(struct bit_writer *writer)
{
	if (writer->fill > 0)
		*writer->next = (uint8_t)writer->pending;
}

#endif
