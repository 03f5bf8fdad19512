/* SPDX-License-Identifier: MIT */
/*
 * text_out.h - text on its way to the standard output, piece by piece.
 *
 * Only whole characters are written: a token may end in the middle of one, and what is not whole
 * waits. Bytes that are no UTF-8 and control characters, by which a model could drive the terminal,
 * come out as U+FFFD.
 */
#ifndef ENTROFS_RUN_TEXT_OUT_H
#define ENTROFS_RUN_TEXT_OUT_H

#include <stdbool.h>
#include <stddef.h>

struct text_out {
	char pending[4];
	size_t count;
	bool skip_space; /* a space that comes first is not of the text */
};

/* Writes what is whole and flushes it. */
void text_out_write(struct text_out *out, const char *bytes, size_t n);

/* Ends what is not whole, and the line. */
void text_out_end(struct text_out *out);

#endif
