/* SPDX-License-Identifier: MIT */
/*
 * gguf_pairs.c - the metadata of a GGUF file; see gguf.h.
 *
 * Values are stepped over, not kept: a tokenizer has millions of bytes of them, and what asks for
 * one finds it in the bytes of the header. Bytes of a BOOL other than 0 and 1, which the format
 * forbids, and strings that are no text, which tokenizers have, are read by llama.cpp, so they are
 * here.
 */
#include "mkfs/gguf_cursor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	PAIR_MIN = 8 + 1 + 4 + 1, /* bytes: the key's length, a letter, the type, a U8 */
	STRING_MIN = 8,           /* bytes: its length */
	ARRAY_MIN = 4 + 8,        /* bytes: type and number of its elements */
};

static int take_value_type(struct gguf_cursor *cursor, const char *key, enum gguf_value *type)
{
	uint32_t id;
	int result = gguf_take_u32(cursor, &id);
	if (result)
		return result;
	if (id >= GGUF_VALUE_END)
		return image_fail(cursor->diag, -EINVAL, "'%.*s': unknown type %lu of a value",
				  GGUF_SHOWN, key, (unsigned long)id);
	*type = (enum gguf_value)id;
	return 0;
}

/* Steps over values that are no arrays. */
static int skip_values(struct gguf_cursor *cursor, enum gguf_value type, uint64_t count)
{
	if (type != GGUF_VALUE_STRING)
		return gguf_skip(cursor, count, gguf_value_size(type));
	int result = gguf_has_room(cursor, count, STRING_MIN);
	for (uint64_t i = 0; !result && i < count; i++) {
		uint64_t size;
		result = gguf_take_u64(cursor, &size);
		if (!result)
			result = gguf_skip(cursor, size, 1);
	}
	return result;
}

/* Steps over an array, whose elements may be arrays: of each that it is in, left[] are to come. */
static int skip_array(struct gguf_cursor *cursor, struct gguf_pair *pair)
{
	uint64_t left[GGUF_NESTING_MAX];
	unsigned depth = 0;

	do {
		enum gguf_value type = GGUF_VALUE_END;
		uint64_t count = 0;
		int first = !depth;
		int result = take_value_type(cursor, pair->key, &type);
		if (!result)
			result = gguf_take_u64(cursor, &count);
		if (result)
			return result;
		if (type != GGUF_VALUE_ARRAY) {
			result = skip_values(cursor, type, count);
		} else if (depth + 1 == GGUF_NESTING_MAX) {
			result = image_fail(cursor->diag, -EFBIG,
					    "'%.*s': arrays within each other, more than %d",
					    GGUF_SHOWN, pair->key, GGUF_NESTING_MAX);
		} else {
			result = gguf_has_room(cursor, count, ARRAY_MIN);
			left[depth++] = count;
		}
		if (result)
			return result;
		if (first) {
			pair->element = type;
			pair->count = count;
		}
		while (depth && !left[depth - 1])
			depth--;
	} while (depth && left[depth - 1]--);
	return 0;
}

static int parse_pair(struct gguf_cursor *cursor, struct gguf_pair *pair)
{
	pair->start = cursor->at;
	int result = gguf_take_name(cursor, "key", GGUF_KEY_MAX, &pair->key);
	if (result)
		return result;
	if (!*pair->key)
		return image_fail(cursor->diag, -EINVAL, "metadata pair %zu: the key is empty",
				  cursor->number);
	result = take_value_type(cursor, pair->key, &pair->type);
	if (result)
		return result;
	pair->element = pair->type;
	pair->count = 1;
	pair->offset = cursor->at;
	result = pair->type == GGUF_VALUE_ARRAY ? skip_array(cursor, pair)
						: skip_values(cursor, pair->type, 1);
	pair->size = cursor->at - pair->offset;
	return result;
}

static int compare_keys(const void *a, const void *b)
{
	const struct gguf_pair *const *left = a, *const *right = b;
	return strcmp((*left)->key, (*right)->key);
}

static int check_keys(struct gguf_cursor *cursor, const struct gguf *header)
{
	int result;
	const struct gguf_pair **sorted =
	    (const struct gguf_pair **)gguf_sort(cursor, header->pairs, header->pair_count,
						 sizeof *header->pairs, compare_keys, &result);
	if (!sorted)
		return result;
	for (size_t i = 1; !result && i < header->pair_count; i++) {
		if (strcmp(sorted[i - 1]->key, sorted[i]->key) == 0)
			result = image_fail(cursor->diag, -EINVAL, "two pairs have the key '%.*s'",
					    GGUF_SHOWN, sorted[i]->key);
	}
	free(sorted);
	return result;
}

static int read_alignment(struct gguf_cursor *cursor, struct gguf *header)
{
	const struct gguf_pair *pair = gguf_find(header, "general.alignment");

	header->alignment = GGUF_ALIGNMENT_DEFAULT;
	if (!pair)
		return 0;
	if (pair->type != GGUF_VALUE_U32)
		return image_fail(cursor->diag, -EINVAL, "general.alignment is no U32");
	memcpy(&header->alignment, header->bytes + pair->offset, sizeof header->alignment);
	if (!header->alignment || header->alignment & (header->alignment - 1))
		return image_fail(cursor->diag, -EINVAL,
				  "general.alignment is %lu, which is no power of two",
				  (unsigned long)header->alignment);
	if (header->alignment > GGUF_ALIGNMENT_MAX)
		return image_fail(cursor->diag, -EFBIG, "general.alignment is %lu, more than %d",
				  (unsigned long)header->alignment, GGUF_ALIGNMENT_MAX);
	return 0;
}

static int read_general(struct gguf_cursor *cursor, struct gguf *header)
{
	const char *text;
	size_t size;

	if (gguf_get_signed(header, "general.file_type", &header->file_type) ||
	    header->file_type < 0)
		header->file_type = -1;
	if (gguf_get_string(header, "general.architecture", &text, &size) || size > GGUF_NAME_MAX ||
	    !gguf_is_text((const uint8_t *)text, size))
		return 0;
	header->architecture = strndup(text, size);
	return header->architecture ? 0 : image_fail(cursor->diag, -ENOMEM, "out of memory");
}

int gguf_parse_pairs(struct gguf_cursor *cursor, uint64_t count, struct gguf *header)
{
	size_t capacity = 0;

	cursor->part = "metadata pair";
	cursor->number = 0;
	int result = gguf_has_room(cursor, count, PAIR_MIN);
	for (uint64_t i = 0; !result && i < count; i++) {
		cursor->number = (size_t)i;
		result = gguf_grow(cursor, (void **)&header->pairs, &capacity, header->pair_count,
				   count, sizeof *header->pairs);
		if (result)
			break;
		struct gguf_pair *pair = &header->pairs[header->pair_count++];
		*pair = (struct gguf_pair){0};
		result = parse_pair(cursor, pair);
	}
	if (!result)
		result = check_keys(cursor, header);
	if (!result)
		result = read_alignment(cursor, header);
	return result ? result : read_general(cursor, header);
}

const struct gguf_pair *gguf_find(const struct gguf *header, const char *key)
{
	for (size_t i = 0; i < header->pair_count; i++) {
		if (strcmp(header->pairs[i].key, key) == 0)
			return &header->pairs[i];
	}
	return NULL;
}

/* Loads an integer, whose bits above the stored ones are those of its sign. */
static int get_integer(const struct gguf *header, const char *key, uint64_t *value, int *negative)
{
	const struct gguf_pair *pair = gguf_find(header, key);

	if (!pair)
		return -ENOENT;
	switch (pair->type) {
	case GGUF_VALUE_U8:
	case GGUF_VALUE_U16:
	case GGUF_VALUE_U32:
	case GGUF_VALUE_U64:
		*negative = 0;
		break;
	case GGUF_VALUE_I8:
	case GGUF_VALUE_I16:
	case GGUF_VALUE_I32:
	case GGUF_VALUE_I64:
		*negative = header->bytes[pair->offset + pair->size - 1] >> 7;
		break;
	default:
		return -EINVAL;
	}
	*value = *negative ? UINT64_MAX : 0;
	memcpy(value, header->bytes + pair->offset, pair->size);
	return 0;
}

int gguf_get_unsigned(const struct gguf *header, const char *key, uint64_t *value)
{
	uint64_t bits;
	int negative;
	int result = get_integer(header, key, &bits, &negative);
	if (result)
		return result;
	if (negative)
		return -EINVAL;
	*value = bits;
	return 0;
}

int gguf_get_signed(const struct gguf *header, const char *key, int64_t *value)
{
	uint64_t bits;
	int negative;
	int result = get_integer(header, key, &bits, &negative);
	if (result)
		return result;
	if (!negative && bits > INT64_MAX)
		return -EINVAL;
	memcpy(value, &bits, sizeof *value);
	return 0;
}

int gguf_get_number(const struct gguf *header, const char *key, double *value)
{
	const struct gguf_pair *pair = gguf_find(header, key);
	float single;

	if (!pair)
		return -ENOENT;
	if (pair->type == GGUF_VALUE_F64) {
		memcpy(value, header->bytes + pair->offset, sizeof *value);
		return 0;
	}
	if (pair->type != GGUF_VALUE_F32)
		return -EINVAL;
	memcpy(&single, header->bytes + pair->offset, sizeof single);
	*value = single;
	return 0;
}

int gguf_get_bool(const struct gguf *header, const char *key, int *value)
{
	const struct gguf_pair *pair = gguf_find(header, key);

	if (!pair)
		return -ENOENT;
	if (pair->type != GGUF_VALUE_BOOL)
		return -EINVAL;
	*value = header->bytes[pair->offset] != 0;
	return 0;
}

int gguf_get_string(const struct gguf *header, const char *key, const char **text, size_t *size)
{
	const struct gguf_pair *pair = gguf_find(header, key);

	if (!pair)
		return -ENOENT;
	if (pair->type != GGUF_VALUE_STRING)
		return -EINVAL;
	*text = (const char *)header->bytes + pair->offset + STRING_MIN;
	*size = pair->size - STRING_MIN;
	return 0;
}
