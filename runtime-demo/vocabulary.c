/* SPDX-License-Identifier: MIT */
/* vocabulary.c - the tables of a tokenizer. */
#include "runtime-demo/vocabulary.h"

#include <stdlib.h>
#include <string.h>

bool option_is_unset(const json_t *json, const char *key)
{
	const json_t *value = json_object_get(json, key);

	return value == NULL || json_is_null(value) || json_is_false(value) ||
	       (json_is_string(value) && *json_string_value(value) == '\0');
}

/* --- tokens ----------------------------------------------------------------------------------- */

static int read_id(const json_t *number, const char *text, size_t limit, int *id, struct diag *diag)
{
	const json_int_t value = json_integer_value(number);

	if (!json_is_integer(number) || value < 0 || (uint64_t)value >= limit)
		return diag_fail(diag,
				 "the id of '%.100s' is not a whole number below the model's %zu",
				 text, limit);
	*id = (int)value;
	return 0;
}

/* Makes room for ids up to this one. */
static int reserve(struct vocabulary *v, int id, struct diag *diag)
{
	const size_t needed = (size_t)id + 1;
	size_t room = v->count < 64 ? 64 : v->count;
	struct token *tokens;

	if (needed <= v->count)
		return 0;
	while (room < needed)
		room *= 2;
	tokens = reallocarray(v->tokens, room, sizeof(*tokens));
	if (tokens == NULL)
		return diag_fail(diag, "cannot allocate %zu tokens", room);
	memset(tokens + v->count, 0, (room - v->count) * sizeof(*tokens));
	v->tokens = tokens;
	v->count = room;
	return 0;
}

static int add_token(struct vocabulary *v, const char *text, int id, struct diag *diag)
{
	if (reserve(v, id, diag) != 0)
		return -1;
	if (v->tokens[id].text != NULL)
		return diag_fail(diag, "token %d ('%.100s') is given twice", id, text);
	v->tokens[id] = (struct token){.text = text, .length = strlen(text)};
	return 0;
}

static int read_tokens(struct vocabulary *v, size_t limit, struct diag *diag)
{
	for (void *i = json_object_iter(v->json); i != NULL;
	     i = json_object_iter_next(v->json, i)) {
		const char *text = json_object_iter_key(i);
		int id = -1;

		if (read_id(json_object_iter_value(i), text, limit, &id, diag) != 0 ||
		    add_token(v, text, id, diag) != 0)
			return -1;
	}
	return 0;
}

int vocabulary_find(const struct vocabulary *v, const char *text, size_t length)
{
	const json_t *id = json_object_getn(v->json, text, length);

	return id == NULL ? -1 : (int)json_integer_value(id);
}

/* --- added tokens ----------------------------------------------------------------------------- */

static int compare_texts(const void *a, const void *b, void *tokens)
{
	const struct token *first = (const struct token *)tokens + *(const int *)a;
	const struct token *second = (const struct token *)tokens + *(const int *)b;

	return strcmp(first->text, second->text);
}

/* Absent, null, true or false. */
static bool is_flag(const json_t *json, const char *key)
{
	const json_t *value = json_object_get(json, key);

	return value == NULL || json_is_null(value) || json_is_boolean(value);
}

/* One entry, which may be of the vocabulary, too: then with the same id. */
static int add_added(struct vocabulary *v, const json_t *entry, size_t number, size_t limit,
		     struct diag *diag)
{
	const char *text = json_string_value(json_object_get(entry, "content"));
	int id = -1, known;

	if (text == NULL || *text == '\0')
		return diag_fail(diag, "added token %zu has no content", number);
	if (!is_flag(entry, "special") || !is_flag(entry, "normalized"))
		return diag_fail(diag, "an option of '%.100s' is neither true nor false", text);
	if (!option_is_unset(entry, "lstrip") || !option_is_unset(entry, "rstrip") ||
	    !option_is_unset(entry, "single_word"))
		return diag_fail(diag, "the options of '%.100s' are not supported", text);
	if (read_id(json_object_get(entry, "id"), text, limit, &id, diag) != 0)
		return -1;
	known = vocabulary_find(v, text, strlen(text));
	if ((known >= 0 && known != id) || (known == id && v->tokens[id].added))
		return diag_fail(diag, "token %d ('%.100s') is given twice", id, text);
	if (known < 0 && add_token(v, text, id, diag) != 0)
		return -1;
	v->tokens[id].added = true;
	v->tokens[id].special = json_is_true(json_object_get(entry, "special"));
	v->added[v->added_count++] = id;
	return 0;
}

static int read_added(struct vocabulary *v, const json_t *added, size_t limit, struct diag *diag)
{
	if (added != NULL && !json_is_null(added) && !json_is_array(added))
		return diag_fail(diag, "its added_tokens are not a list");
	v->added = diag_allocate(json_array_size(added), sizeof(*v->added), diag);
	if (v->added == NULL)
		return -1;
	for (size_t i = 0; i < json_array_size(added); i++)
		if (add_added(v, json_array_get(added, i), i, limit, diag) != 0)
			return -1;
	if (v->added_count > 1)
		qsort_r(v->added, v->added_count, sizeof(*v->added), compare_texts, v->tokens);
	for (size_t i = 1; i < v->added_count; i++)
		if (compare_texts(&v->added[i - 1], &v->added[i], v->tokens) == 0)
			return diag_fail(diag, "token %d ('%.100s') is given twice", v->added[i],
					 v->tokens[v->added[i]].text);
	return 0;
}

/* In [low, high), which share their first depth bytes and are longer: the first whose next byte is
   at least this. */
static size_t bound(const struct vocabulary *v, size_t low, size_t high, size_t depth, int byte)
{
	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if ((uint8_t)v->tokens[v->added[middle]].text[depth] < byte)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int vocabulary_added_at(const struct vocabulary *v, const char *s, size_t n)
{
	size_t low = 0, high = v->added_count;
	int best = -1;

	for (size_t depth = 0; low < high; depth++) {
		if (v->tokens[v->added[low]].length == depth)
			best = v->added[low++]; /* a prefix is sorted before what it begins */
		if (depth == n)
			break;
		low = bound(v, low, high, depth, (uint8_t)s[depth]);
		high = bound(v, low, high, depth, (uint8_t)s[depth] + 1);
	}
	return best;
}

/* --- merges ----------------------------------------------------------------------------------- */

static int compare_pairs(const void *a, const void *b)
{
	const struct merge *first = a, *second = b;

	if (first->left != second->left)
		return first->left < second->left ? -1 : 1;
	return (first->right > second->right) - (first->right < second->right);
}

const struct merge *vocabulary_merge(const struct vocabulary *v, int left, int right)
{
	const struct merge key = {.left = left, .right = right};

	return bsearch(&key, v->merges, v->merge_count, sizeof(key), compare_pairs);
}

/* A merge is "left right" or, in newer files, ["left", "right"]. */
static int read_merge(const struct vocabulary *v, const json_t *line, size_t rank,
		      struct merge *merge, struct diag *diag)
{
	const char *text = json_string_value(line), *space = text ? strchr(text, ' ') : NULL;
	const char *left = text ? text : json_string_value(json_array_get(line, 0));
	const char *right = space ? space + 1 : json_string_value(json_array_get(line, 1));
	size_t left_length, right_length;
	char *both;

	if (left == NULL || right == NULL || (text == NULL && json_array_size(line) != 2))
		return diag_fail(diag, "merge %zu is not a pair", rank);
	left_length = space ? (size_t)(space - text) : strlen(left);
	right_length = strlen(right);
	both = diag_allocate(left_length + right_length, 1, diag);
	if (both == NULL)
		return -1;
	memcpy(both, left, left_length);
	memcpy(both + left_length, right, right_length);
	*merge = (struct merge){
	    vocabulary_find(v, left, left_length), vocabulary_find(v, right, right_length),
	    vocabulary_find(v, both, left_length + right_length), (uint32_t)rank};
	free(both);
	if (merge->left < 0 || merge->right < 0 || merge->result < 0)
		return diag_fail(diag, "merge %zu is of tokens that do not exist", rank);
	return 0;
}

static int read_merges(struct vocabulary *v, const json_t *lines, struct diag *diag)
{
	if (!json_is_array(lines))
		return diag_fail(diag, "its merges are not a list");
	if (json_array_size(lines) >= UINT32_MAX)
		return diag_fail(diag, "it has too many merges");
	v->merge_count = json_array_size(lines);
	v->merges = diag_allocate(v->merge_count, sizeof(*v->merges), diag);
	if (v->merges == NULL)
		return -1;
	for (size_t rank = 0; rank < v->merge_count; rank++)
		if (read_merge(v, json_array_get(lines, rank), rank, &v->merges[rank], diag) != 0)
			return -1;
	if (v->merge_count > 1)
		qsort(v->merges, v->merge_count, sizeof(*v->merges), compare_pairs);
	for (size_t i = 1; i < v->merge_count; i++)
		if (compare_pairs(&v->merges[i - 1], &v->merges[i]) == 0)
			return diag_fail(diag, "merge %u is given twice",
					 (unsigned)(v->merges[i].rank > v->merges[i - 1].rank
							? v->merges[i].rank
							: v->merges[i - 1].rank));
	return 0;
}

/* --- all of it -------------------------------------------------------------------------------- */

int vocabulary_read(json_t *model, const json_t *added, size_t limit, struct vocabulary *v,
		    struct diag *diag)
{
	*v = (struct vocabulary){.json = json_incref(json_object_get(model, "vocab"))};
	if (read_tokens(v, limit, diag) != 0 || read_added(v, added, limit, diag) != 0 ||
	    read_merges(v, json_object_get(model, "merges"), diag) != 0)
		return -1;
	json_object_del(model, "merges"); /* nothing points into it, and it is large */
	return 0;
}

void vocabulary_free(struct vocabulary *v)
{
	free(v->tokens);
	free(v->merges);
	free(v->added);
	json_decref(v->json);
}
