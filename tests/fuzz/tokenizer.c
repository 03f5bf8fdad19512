/* SPDX-License-Identifier: MIT */
/*
 * tokenizer.c - fuzz target: whatever a tokenizer.json holds, it is refused with a line or encodes
 * and decodes any text within its bounds, with the post-processor's tokens around it; and where a
 * round trip is promised, it is kept. Parsing has a budget.
 *
 * Input: 2 bytes, the size of the text (little-endian), the text, then the JSON.
 */
#include "runtime-demo/tokenizer.h"
#include "runtime-demo/json.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Most inputs fit the budget; those of many small values do not. */
enum { VOCAB = 1 << 16, BUDGET = 128 << 10 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
	if (!condition)
		abort();
}

/* What went wrong is a line without control characters. */
static void require_line(const struct diag *diag)
{
	require(diag->text[0] != '\0');
	for (const char *c = diag->text; *c != '\0'; c++)
		require((unsigned char)*c >= ' ' && *c != 0x7f);
}

static void *allocate(size_t size)
{
	void *memory = malloc(size ? size : 1);

	require(memory != NULL);
	return memory;
}

/* Decodes all; every token fits where it is promised to. *any_added: an added token is there. */
static char *decode(const struct tokenizer *t, const struct ids *ids, size_t *length,
		    int *any_added)
{
	const size_t longest = tokenizer_longest(t);
	char *text = allocate(longest * ids->count), *piece = allocate(longest);

	*length = 0;
	*any_added = 0;
	for (size_t i = 0; i < ids->count; i++) {
		const size_t n = tokenizer_decode(t, ids->at[i], piece);

		require(ids->at[i] >= 0 && ids->at[i] < VOCAB && n <= longest);
		memcpy(text + *length, piece, n);
		*length += n;
		*any_added |= tokenizer_is_added(t, ids->at[i]);
	}
	free(piece);
	return text;
}

static void check_round_trip(const struct tokenizer *t, const char *text, size_t n,
			     const struct ids *ids)
{
	int any_added;
	size_t length, stripped;
	char *back = decode(t, ids, &length, &any_added);
	const int strips = tokenizer_strips_space(t);

	stripped = strips && length > 0 && back[0] == ' ';
	if (tokenizer_is_lossless(t) && (!strips || !any_added) &&
	    memmem(text, n, "\xe2\x96\x81", 3) == NULL)
		require(length - stripped == n && memcmp(back + stripped, text, n) == 0);
	free(back);
}

static void check_text(const struct tokenizer *t, const char *text, size_t n)
{
	struct ids bare = {0}, whole = {0}, prefix = {0};
	struct diag diag = {""};

	if (tokenizer_encode_bare(t, text, n, &bare, &diag) == 0) {
		check_round_trip(t, text, n, &bare);
		require(tokenizer_encode(t, text, n, &whole, &diag) == 0);
		require(tokenizer_prefix(t, &prefix, &diag) == 0);
		require(whole.count >= prefix.count + bare.count);
		for (size_t i = 0; i < prefix.count; i++)
			require(whole.at[i] == prefix.at[i]);
		for (size_t i = 0; i < bare.count; i++)
			require(whole.at[prefix.count + i] == bare.at[i]);
		require(diag.text[0] == '\0');
	} else {
		require(!tokenizer_is_lossless(t));
		require_line(&diag);
	}
	free(bare.at);
	free(whole.at);
	free(prefix.at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t n = size < 2 ? 0 : (size_t)(data[0] | data[1] << 8);
	struct diag diag = {""};
	struct tokenizer *tokenizer;
	char *text;
	json_t *json;

	if (size < 2 + n)
		return 0;
	json = bounded_json_load((const char *)data + 2 + n, size - 2 - n, BUDGET, &diag);
	if (json == NULL) {
		require_line(&diag);
		return 0;
	}
	tokenizer = tokenizer_create(json, VOCAB, &diag);
	json_decref(json);
	if (tokenizer == NULL) {
		require_line(&diag);
		return 0;
	}
	text = allocate(n); /* exactly, so that the address sanitizer sees the first byte beyond */
	memcpy(text, data + 2, n);
	check_text(tokenizer, text, n);
	free(text);
	tokenizer_destroy(tokenizer);
	return 0;
}
