/* SPDX-License-Identifier: MIT */
/*
 * tokenizer.h - text to tokens and back, as a tokenizer.json says.
 *
 * Two styles of BPE are known. At byte level every byte has a token to begin with, and a pattern
 * cuts the text into words within which tokens merge. On characters, as SentencePiece does it, a
 * text begins with a space that is put there, U+2581 stands for a space, and a character without a
 * token is written in tokens of its bytes. Whatever a file asks for beyond that is refused by name.
 *
 * A tokenizer does not change once made: any number of threads may use it. Errors: see diag.h.
 */
#ifndef ENTROFS_RUN_TOKENIZER_H
#define ENTROFS_RUN_TOKENIZER_H

#include "runtime-demo/diag.h"

#include <jansson.h>
#include <stdbool.h>

struct tokenizer;

/* A growing list of token ids. Begin with a zeroed one; free(at) when done. */
struct ids {
	int *at;
	size_t count, room;
};

/* -1 with a diagnostic if there is no memory. */
int ids_append(struct ids *ids, int id, struct diag *diag);

/* Takes the content of tokenizer.json, of which it keeps a reference; every id must be below vocab,
   the number of rows of the model's embedding. NULL on failure. */
struct tokenizer *tokenizer_create(json_t *json, size_t vocab, struct diag *diag);
void tokenizer_destroy(struct tokenizer *tokenizer); /* NULL is fine */

/* Appends the tokens of the text and what the post-processor puts around it. Any bytes are a text:
   those that are not UTF-8 are characters by themselves. Fails for a character that has no token,
   none for its bytes, and that no token stands for; then ids hold some of the text. */
int tokenizer_encode(const struct tokenizer *tokenizer, const char *text, size_t size,
		     struct ids *ids, struct diag *diag);

/* The same without what the post-processor puts around it. */
int tokenizer_encode_bare(const struct tokenizer *tokenizer, const char *text, size_t size,
			  struct ids *ids, struct diag *diag);

/* Appends what the post-processor puts before a text. */
int tokenizer_prefix(const struct tokenizer *tokenizer, struct ids *ids, struct diag *diag);

/* The most bytes that one token stands for. */
size_t tokenizer_longest(const struct tokenizer *tokenizer);

/* Writes the bytes that the token stands for and returns their number, at most
   tokenizer_longest(): none if there is no such token. They may begin or end within a character. */
size_t tokenizer_decode(const struct tokenizer *tokenizer, int id, char *out);

/* True for a token that marks something and is not shown. */
bool tokenizer_is_special(const struct tokenizer *tokenizer, int id);

/* True for a token that is found in a text before anything else, special ones among them. */
bool tokenizer_is_added(const struct tokenizer *tokenizer, int id);

/* True if decoding takes a space away from the beginning of a text. */
bool tokenizer_strips_space(const struct tokenizer *tokenizer);

/* True if every text can be encoded and decodes to itself, after tokenizer_strips_space(). On
   characters, only a text without U+2581 and added tokens. */
bool tokenizer_is_lossless(const struct tokenizer *tokenizer);

#endif
