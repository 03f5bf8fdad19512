/* SPDX-License-Identifier: MIT */
/*
 * rules.h - what a tokenizer.json says beside its tables: how a text is prepared and what is put
 * around it. Part of tokenizer.h's implementation.
 */
#ifndef ENTROFS_RUN_RULES_H
#define ENTROFS_RUN_RULES_H

#include "runtime-demo/diag.h"

#include <jansson.h>
#include <stdbool.h>

#define RULES_MAX_AFFIXES 8

struct rules {
	/* BYTE_LEVEL: a token is written in 256 printable characters, one for each byte.
	   CHARACTERS: a token is text with U+2581 for a space (as SentencePiece writes it). */
	enum { BYTE_LEVEL, CHARACTERS } style;
	/* A space put in front of a text, or of each piece of it between added tokens; UNLESS: of
	   those that do not begin with one. */
	enum { PREFIX_NEVER, PREFIX_FIRST_UNLESS, PREFIX_UNLESS, PREFIX_ALWAYS } prefix_space;
	bool strip_space;   /* decoding takes a space away from the beginning of a text */
	bool split_spaces;  /* CHARACTERS: every space begins a word; else the text is one */
	bool byte_fallback; /* CHARACTERS: what has no token is written in tokens of its bytes */
	bool fuse_unknown;  /* CHARACTERS: one unknown token for several in a row */
	bool split_digits;  /* every digit is a word of its own */
	bool whole_words;   /* a word that is a token is not built from merges */
	int prefix[RULES_MAX_AFFIXES], suffix[RULES_MAX_AFFIXES]; /* around every text */
	size_t prefix_count, suffix_count;
};

/* Reads all but the tables. Every id is below limit. What is not known is refused by name. Errors
   do not name the file. */
int rules_read(const json_t *json, size_t limit, struct rules *rules, struct diag *diag);

#endif
