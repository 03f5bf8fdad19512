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
static int set_fallback(struct tokenizer *t, const json_t *model, struct diag *diag)
{
	const json_t *unknown = json_object_get(model, "unk_token");
	const char *name = json_string_value(unknown);
	char text[8];

	t->unknown = name ? vocabulary_find(&t->vocabulary, name, strlen(name)) : -1;
	if (unknown != NULL && !json_is_null(unknown) && t->unknown < 0)
		return diag_fail(diag, "its unk_token is not a text of its vocabulary");
	for (unsigned byte = 0; byte < 256; byte++) {
		snprintf(text, sizeof(text), "<0x%02X>", byte);
		t->byte_ids[byte] =
		    t->rules.byte_fallback ? vocabulary_find(&t->vocabulary, text, 6) : -1;
	}
	return 0;
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
	if (t->rules.style == CHARACTERS)
		return set_fallback(t, model, diag);
	set_alphabet(t);
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

/* True if a piece of text, which begins the text or not, gets a space in front. */
static bool needs_space(const struct tokenizer *t, const char *piece, size_t n, bool first)
{
	const bool has_one = n > 0 && (piece[0] == ' ' || (t->rules.style == CHARACTERS && n >= 3 &&
							   memcmp(piece, blank, 3) == 0));

	switch (t->rules.prefix_space) {
	case PREFIX_ALWAYS:
		return n > 0;
	case PREFIX_UNLESS:
		return n > 0 && !has_one;
	case PREFIX_FIRST_UNLESS:
		return n > 0 && !has_one && first;
	case PREFIX_NEVER:
		break;
	}
	return false;
}

/* A piece of text between digits, or all of it. */
static int encode_words(const struct tokenizer *t, const char *text, size_t n, struct ids *ids,
			struct diag *diag)
{
	const size_t added = needs_space(t, text, n, false);
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

/* One character, given as its bytes, that may have no token: then its bytes have. Its word begins
   at a token of ids. */
static int encode_character(const struct tokenizer *t, const char *text, size_t n, size_t begin,
			    struct ids *ids, struct diag *diag)
{
	const int id = vocabulary_find(&t->vocabulary, text, n);
	bool bytes = true;

	if (id >= 0)
		return ids_append(ids, id, diag);
	for (size_t i = 0; i < n; i++)
		bytes = bytes && t->byte_ids[(uint8_t)text[i]] >= 0;
	if (!bytes && t->unknown >= 0)
		return t->rules.fuse_unknown && ids->count > begin &&
			       ids->at[ids->count - 1] == t->unknown
			   ? 0
			   : ids_append(ids, t->unknown, diag);
	if (!bytes)
		return diag_fail(diag, "cannot encode the text: a character has no token");
	for (size_t i = 0; i < n; i++)
		if (ids_append(ids, t->byte_ids[(uint8_t)text[i]], diag) != 0)
			return -1;
	return 0;
}

/* A space, which may begin a word: *begin is where in ids the one before began. */
static int encode_blank(const struct tokenizer *t, size_t *begin, struct ids *ids,
			struct diag *diag)
{
	if (t->rules.split_spaces) {
		if (bpe_merge(&t->vocabulary, ids, *begin, diag) != 0)
			return -1;
		*begin = ids->count;
	}
	return encode_character(t, blank, 3, *begin, ids, diag);
}

static int encode_characters(const struct tokenizer *t, const char *text, size_t n, bool first,
			     struct ids *ids, struct diag *diag)
{
	size_t begin = ids->count;

	if (needs_space(t, text, n, first) && encode_blank(t, &begin, ids, diag) != 0)
		return -1;
	for (size_t at = 0, length; at < n; at += length) {
		int result;

		(void)utf8_class(text + at, n - at, &length);
		if (text[at] == ' ' || (length == 3 && memcmp(text + at, blank, 3) == 0))
			result = encode_blank(t, &begin, ids, diag);
		else
			result = encode_character(t, text + at, length, begin, ids, diag);
		if (result != 0)
			return -1;
	}
	return bpe_merge(&t->vocabulary, ids, begin, diag);
}

/* Text without added tokens, which begins the whole text or not. */
static int encode_piece(const struct tokenizer *t, const char *text, size_t n, bool first,
			struct ids *ids, struct diag *diag)
{
	return t->rules.style == BYTE_LEVEL ? encode_bytes(t, text, n, ids, diag)
					    : encode_characters(t, text, n, first, ids, diag);
}

int tokenizer_encode_bare(const struct tokenizer *t, const char *text, size_t n, struct ids *ids,
			  struct diag *diag)
{
	size_t begin = 0;

	for (size_t at = 0; at < n;) {
		const int added = vocabulary_added_at(&t->vocabulary, text + at, n - at);

		if (added < 0) {
			at++;
			continue;
		}
		if (encode_piece(t, text + begin, at - begin, begin == 0, ids, diag) != 0 ||
		    ids_append(ids, added, diag) != 0)
			return -1;
		at += t->vocabulary.tokens[added].length;
		begin = at;
	}
	return encode_piece(t, text + begin, n - begin, begin == 0, ids, diag);
}

int tokenizer_prefix(const struct tokenizer *t, struct ids *ids, struct diag *diag)
{
	for (size_t i = 0; i < t->rules.prefix_count; i++)
		if (ids_append(ids, t->rules.prefix[i], diag) != 0)
			return -1;
	return 0;
}

int tokenizer_encode(const struct tokenizer *t, const char *text, size_t size, struct ids *ids,
		     struct diag *diag)
{
	if (tokenizer_prefix(t, ids, diag) != 0 ||
	    tokenizer_encode_bare(t, text, size, ids, diag) != 0)
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

bool tokenizer_is_added(const struct tokenizer *t, int id)
{
	const struct token *token = token_at(t, id);

	return token != NULL && token->added;
}

bool tokenizer_strips_space(const struct tokenizer *t)
{
	return t->rules.strip_space;
}

/* --- the promise ------------------------------------------------------------------------------ */

/* True if the text of this token decodes to itself: so it does not matter whether it was found as
   an added token or built from merges. */
static bool stands_for_itself(const struct tokenizer *t, const struct token *token)
{
	char *out = malloc(token->length + 1);
	bool same = false;

	if (out != NULL && t->rules.style == BYTE_LEVEL)
		same = decode_bytes(t, token, out) == token->length &&
		       memcmp(out, token->text, token->length) == 0;
	else if (out != NULL)
		same = strstr(token->text, blank) == NULL;
	free(out);
	return same;
}

/* Characters: a byte's token is only that, never part of what merges. */
static bool is_byte_token(const struct tokenizer *t, int id)
{
	for (size_t byte = 0; byte < 256; byte++)
		if (t->byte_ids[byte] == id)
			return true;
	return false;
}

bool tokenizer_is_lossless(const struct tokenizer *t)
{
	const struct vocabulary *v = &t->vocabulary;
	const bool characters = t->rules.style == CHARACTERS;

	for (size_t byte = 0; byte < 256; byte++)
		if (t->byte_ids[byte] < 0 || (characters && v->tokens[t->byte_ids[byte]].added))
			return false;
	for (size_t i = 0; i < v->added_count; i++) {
		const struct token *token = &v->tokens[v->added[i]];

		if (vocabulary_find(v, token->text, token->length) >= 0 &&
		    !stands_for_itself(t, token))
			return false;
	}
	if (!characters)
		return t->rules.prefix_space == PREFIX_NEVER;
	for (size_t i = 0; i < v->merge_count; i++)
		if (is_byte_token(t, v->merges[i].left) || is_byte_token(t, v->merges[i].right) ||
		    is_byte_token(t, v->merges[i].result))
			return false;
	return vocabulary_find(v, blank, 3) >= 0 &&
	       (t->rules.prefix_space == PREFIX_ALWAYS
		    ? t->rules.strip_space
		    : t->rules.prefix_space == PREFIX_NEVER && !t->rules.strip_space);
}
