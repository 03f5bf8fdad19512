/* SPDX-License-Identifier: MIT */
/*
 * vocabulary.h - the tables of a tokenizer: tokens by id and by text, merges by pair, added tokens
 * by the text they are found at. Part of tokenizer.h's implementation.
 *
 * No search degenerates on a table made to do so: texts are looked up in jansson's seeded hash
 * table, all else by halving sorted arrays.
 */
#ifndef ENTROFS_RUN_VOCABULARY_H
#define ENTROFS_RUN_VOCABULARY_H

#include "runtime-demo/diag.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct token {
	const char *text; /* as in tokenizer.json, owned by it; NULL: no such id */
	size_t length;    /* bytes */
	bool added;       /* found in a text before anything else, and stands for itself */
	bool special;     /* marks something, is not shown */
};

struct merge {
	int left, right, result;
	uint32_t rank; /* its line: lower merges first */
};

struct vocabulary {
	json_t *json;         /* {text: id}: model.vocab, a reference */
	struct token *tokens; /* [count] by id */
	size_t count;
	struct merge *merges; /* [merge_count] by (left, right) */
	size_t merge_count;
	int *added; /* [added_count] by text */
	size_t added_count;
};

/* Reads "model" and "added_tokens", whose texts must outlive the vocabulary; every id must be below
   limit. On failure, too, end with vocabulary_free(). */
int vocabulary_read(json_t *model, const json_t *added, size_t limit, struct vocabulary *v,
		    struct diag *diag);
void vocabulary_free(struct vocabulary *v);

/* The id of this text in model.vocab; -1: none. */
int vocabulary_find(const struct vocabulary *v, const char *text, size_t length);

/* NULL if these do not merge. */
const struct merge *vocabulary_merge(const struct vocabulary *v, int left, int right);

/* The longest added token that the n bytes begin with; -1: none. */
int vocabulary_added_at(const struct vocabulary *v, const char *s, size_t n);

/* Absent, null, false or "": an option that is not in use. */
bool option_is_unset(const json_t *json, const char *key);

#endif
