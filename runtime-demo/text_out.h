/* SPDX-License-Identifier: MIT */
/*
 * text_out.h - text on its way to the standard output, piece by piece.
 *
 * Only whole characters are written: a token may end in the middle of one, and what is not whole
 * waits. Bytes that are no UTF-8 and control characters, by which a model could drive the terminal,
 * come out as U+FFFD. The handlers of signals.h are told whether a line is open.
 */
#ifndef ENTROFS_RUN_TEXT_OUT_H
#define ENTROFS_RUN_TEXT_OUT_H

#include "runtime-demo/diag.h"

#include <stdbool.h>
#include <stddef.h>

struct text_out {
	char pending[4];
	size_t count;
	bool skip_space;  /* a space that comes first is not of the text */
	bool line_begins; /* the last character was a newline, or there was none */
};

/* Writes bytes as they are. These three write at once; -1 if that fails: see text_out_failed(). */
int text_out_raw(struct text_out *out, const char *bytes, size_t n, struct diag *diag);

/* Writes what is whole. */
int text_out_write(struct text_out *out, const char *bytes, size_t n, struct diag *diag);

/* Ends what is not whole, and the line. */
int text_out_end(struct text_out *out, struct diag *diag);

/* Why the standard output failed, from errno; always -1. The text is empty if whoever read it is
   gone, which is nothing to complain about. */
int text_out_failed(struct diag *diag);

#endif
