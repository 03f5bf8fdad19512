/* SPDX-License-Identifier: MIT */
/* tokenizer.c - text to tokens and back, as a tokenizer.json says. */
#include "runtime-demo/tokenizer.h"

#include "runtime-demo/bpe.h"
#include "runtime-demo/rules.h"
#include "runtime-demo/utf8.h"
#include "runtime-demo/vocabulary.h"
#include "runtime-demo/words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char blank[] = "\xe2\x96\x81"; /* U+2581, for a space */

struct tokenizer {
	json_t *json; /* owns the texts */
	struct vocabulary vocabulary;
	struct rules rules;
	size_t longest;
	uint32_t alphabet[256]; /* BYTE_LEVEL: the character that stands for a byte */
	int16_t bytes[512];     /* BYTE_LEVEL: and back; -1: none */
	int byte_ids[256];      /* the token of one byte; -1: none */
	int unknown;            /* CHARACTERS: for what has no token; -1: none */
};

int ids_append(struct ids *ids, int id, struct diag *diag)
{
	if (ids->count == ids->room) {
		const size_t room = ids->room ? 2 * ids->room : 64;
		int *at = reallocarray(ids->at, room, sizeof(*at));

		if (at == NULL)
			return diag_fail(diag, "cannot allocate %zu tokens", room);
		ids->at = at;
		ids->room = room;
	}
	ids->at[ids->count++] = id;
	return 0;
}

/* --- making one ------------------------------------------------------------------------------- */

/* Which character stands for which byte: itself if printable in Latin-1, else the next from U+0100.
 */
static void set_alphabet(struct tokenizer *t)
{
	uint32_t next = 256;
	char text[4];

	memset(t->bytes, 0xff, sizeof(t->bytes));
	for (uint32_t byte = 0; byte < 256; byte++) {
		const bool printable = (byte > ' ' && byte < 0x7f) || (byte > 0xa0 && byte != 0xad);

		t->alphabet[byte] = printable ? byte : next++;
		t->bytes[t->alphabet[byte]] = (int16_t)byte;
		t->byte_ids[byte] =
		    vocabulary_find(&t->vocabulary, text, utf8_write(t->alphabet[byte], text));
	}
}

/* A token <0xNN> for each byte of a character that has none. */
static void set_fallback(struct tokenizer *t, const json_t *model)
{
	const char *unknown = json_string_value(json_object_get(model, "unk_token"));
	const bool fallback = !option_is_unset(model, "byte_fallback");
	char text[8];

	t->unknown = unknown ? vocabulary_find(&t->vocabulary, unknown, strlen(unknown)) : -1;
	for (unsigned byte = 0; byte < 256; byte++) {
		snprintf(text, sizeof(text), "<0x%02X>", byte);
		t->byte_ids[byte] = fallback ? vocabulary_find(&t->vocabulary, text, 6) : -1;
	}
}

static int read_tokenizer(struct tokenizer *t, size_t vocab, struct diag *diag)
{
	json_t *model = json_object_get(t->json, "model");

	if (rules_read(t->json, vocab, &t->rules, diag) != 0 ||
	    vocabulary_read(model, json_object_get(t->json, "added_tokens"), vocab, &t->vocabulary,
			    diag) != 0)
		return -1;
	for (size_t i = 0; i < t->vocabulary.count; i++)
		if (t->vocabulary.tokens[i].length > t->longest)
			t->longest = t->vocabulary.tokens[i].length;
	if (t->rules.style == BYTE_LEVEL)
		set_alphabet(t);
	else
		set_fallback(t, model);
	return 0;
}

struct tokenizer *tokenizer_create(json_t *json, size_t vocab, struct diag *diag)
{
	struct tokenizer *t = diag_allocate(1, sizeof(*t), diag);

	if (t == NULL)
		return NULL;
	t->json = json_incref(json);
	if (read_tokenizer(t, vocab, diag) == 0)
		return t;
	tokenizer_destroy(t);
	return NULL;
}

void tokenizer_destroy(struct tokenizer *t)
{
	if (t == NULL)
		return;
	vocabulary_free(&t->vocabulary);
	json_decref(t->json);
	free(t);
}

/* --- text to tokens --------------------------------------------------------------------------- */

/* The token that a word as a whole is; -1: none, -2 on failure. */
static int find_word(const struct tokenizer *t, const char *word, size_t n, struct diag *diag)
{
	char *text = diag_allocate(n, 2, diag);
	size_t length = 0;
	int id;

	if (text == NULL)
		return -2;
	for (size_t i = 0; i < n; i++)
		length += utf8_write(t->alphabet[(uint8_t)word[i]], text + length);
	id = vocabulary_find(&t->vocabulary, text, length);
	free(text);
	return id;
}

static int encode_word(const struct tokenizer *t, const char *word, size_t n, struct ids *ids,
		       struct diag *diag)
{
	const size_t begin = ids->count;
	int id = t->rules.whole_words ? find_word(t, word, n, diag) : -1;

	if (id != -1)
		return id < 0 ? -1 : ids_append(ids, id, diag);
	for (size_t i = 0; i < n; i++) {
		id = t->byte_ids[(uint8_t)word[i]];
		if (id < 0)
			return diag_fail(
			    diag, "cannot encode the text: there is no token for byte 0x%02x",
			    (uint8_t)word[i]);
		if (ids_append(ids, id, diag) != 0)
			return -1;
	}
	return bpe_merge(&t->vocabulary, ids, begin, diag);
}

/* A piece of text between digits, or all of it. */
static int encode_words(const struct tokenizer *t, const char *text, size_t n, struct ids *ids,
			struct diag *diag)
{
	const size_t added = t->rules.prefix_space && n > 0 && text[0] != ' ';
	char *copy = diag_allocate(n + 1, 1, diag);
	int result = copy ? 0 : -1;

	if (copy != NULL) {
		copy[0] = ' ';
		memcpy(copy + added, text, n);
	}
	for (size_t at = 0, length; result == 0 && at < n + added; at += length) {
		length = word_length(copy + at, n + added - at);
		result = encode_word(t, copy + at, length, ids, diag);
	}
	free(copy);
	return result;
}

static int encode_bytes(const struct tokenizer *t, const char *text, size_t n, struct ids *ids,
			struct diag *diag)
{
	size_t begin = 0, length;

	for (size_t at = 0; t->rules.split_digits && at < n; at += length) {
		if (utf8_class(text + at, n - at, &length) != NUMBER)
			continue;
		if (encode_words(t, text + begin, at - begin, ids, diag) != 0 ||
		    encode_words(t, text + at, length, ids, diag) != 0)
			return -1;
		begin = at + length;
	}
	return encode_words(t, text + begin, n - begin, ids, diag);
}

/* One character, given as its bytes, that may have no token: then its bytes have. */
static int encode_character(const struct tokenizer *t, const char *text, size_t n, struct ids *ids,
			    struct diag *diag)
{
	const int id = vocabulary_find(&t->vocabulary, text, n);
	bool bytes = true;

	if (id >= 0)
		return ids_append(ids, id, diag);
	for (size_t i = 0; i < n; i++)
		bytes = bytes && t->byte_ids[(uint8_t)text[i]] >= 0;
	if (!bytes && t->unknown >= 0)
		return ids_append(ids, t->unknown, diag);
	if (!bytes)
		return diag_fail(diag, "cannot encode the text: a character has no token");
	for (size_t i = 0; i < n; i++)
		if (ids_append(ids, t->byte_ids[(uint8_t)text[i]], diag) != 0)
			return -1;
	return 0;
}

static int encode_characters(const struct tokenizer *t, const char *text, size_t n, struct ids *ids,
			     struct diag *diag)
{
	const size_t begin = ids->count;

	if (n == 0)
		return 0;
	if (t->rules.prefix_space && encode_character(t, blank, 3, ids, diag) != 0)
		return -1;
	for (size_t at = 0, length; at < n; at += length) {
		(void)utf8_class(text + at, n - at, &length);
		if (text[at] == ' ' ? encode_character(t, blank, 3, ids, diag)
				    : encode_character(t, text + at, length, ids, diag))
			return -1;
	}
	return bpe_merge(&t->vocabulary, ids, begin, diag);
}

/* Text without added tokens. */
static int encode_piece(const struct tokenizer *t, const char *text, size_t n, struct ids *ids,
			struct diag *diag)
{
	return t->rules.style == BYTE_LEVEL ? encode_bytes(t, text, n, ids, diag)
					    : encode_characters(t, text, n, ids, diag);
}

static int encode_text(const struct tokenizer *t, const char *text, size_t n, struct ids *ids,
		       struct diag *diag)
{
	size_t begin = 0;

	for (size_t at = 0; at < n;) {
		const int added = vocabulary_added_at(&t->vocabulary, text + at, n - at);

		if (added < 0) {
			at++;
			continue;
		}
		if (encode_piece(t, text + begin, at - begin, ids, diag) != 0 ||
		    ids_append(ids, added, diag) != 0)
			return -1;
		at += t->vocabulary.tokens[added].length;
		begin = at;
	}
	return encode_piece(t, text + begin, n - begin, ids, diag);
}

static int check_utf8(const char *text, size_t n, struct diag *diag)
{
	uint32_t code;

	for (size_t at = 0; at < n;) {
		const int length = utf8_read(text + at, n - at, &code);

		if (length <= 0)
			return diag_fail(diag, "cannot encode the prompt: it is not UTF-8");
		at += (size_t)length;
	}
	return 0;
}

int tokenizer_encode(const struct tokenizer *t, const char *text, size_t size, struct ids *ids,
		     struct diag *diag)
{
	if (check_utf8(text, size, diag) != 0)
		return -1;
	for (size_t i = 0; i < t->rules.prefix_count; i++)
		if (ids_append(ids, t->rules.prefix[i], diag) != 0)
			return -1;
	if (encode_text(t, text, size, ids, diag) != 0)
		return -1;
	for (size_t i = 0; i < t->rules.suffix_count; i++)
		if (ids_append(ids, t->rules.suffix[i], diag) != 0)
			return -1;
	return 0;
}

/* --- tokens to text --------------------------------------------------------------------------- */

/* The token, if there is one. */
static const struct token *token_at(const struct tokenizer *t, int id)
{
	if (id < 0 || (size_t)id >= t->vocabulary.count || t->vocabulary.tokens[id].text == NULL)
		return NULL;
	return &t->vocabulary.tokens[id];
}

static size_t decode_bytes(const struct tokenizer *t, const struct token *token, char *out)
{
	size_t written = 0;

	for (size_t at = 0, length; at < token->length; at += length) {
		uint32_t code = 0;

		length = (size_t)utf8_read(token->text + at, token->length - at, &code);
		if (code < 512 && t->bytes[code] >= 0) {
			out[written++] = (char)t->bytes[code];
		} else {
			memcpy(out + written, token->text + at, length);
			written += length;
		}
	}
	return written;
}

static size_t decode_characters(const struct token *token, char *out)
{
	unsigned byte;
	char end;
	size_t written = 0;

	if (token->length == 6 && sscanf(token->text, "<0x%2X%c", &byte, &end) == 2 && end == '>') {
		out[0] = (char)byte;
		return 1;
	}
	for (size_t at = 0; at < token->length;) {
		if (strncmp(token->text + at, blank, 3) == 0) {
			out[written++] = ' ';
			at += 3;
		} else {
			out[written++] = token->text[at++];
		}
	}
	return written;
}

size_t tokenizer_longest(const struct tokenizer *t)
{
	return t->longest;
}

size_t tokenizer_decode(const struct tokenizer *t, int id, char *out)
{
	const struct token *token = token_at(t, id);

	if (token == NULL)
		return 0;
	if (token->added) {
		memcpy(out, token->text, token->length);
		return token->length;
	}
	return t->rules.style == BYTE_LEVEL ? decode_bytes(t, token, out)
					    : decode_characters(token, out);
}

bool tokenizer_is_special(const struct tokenizer *t, int id)
{
	const struct token *token = token_at(t, id);

	return token != NULL && token->special;
}

bool tokenizer_begins_with_space(const struct tokenizer *t)
{
	return t->rules.style == CHARACTERS && t->rules.prefix_space;
}
