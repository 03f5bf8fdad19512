/* SPDX-License-Identifier: MIT */
/*
 * gguf.c - fuzz target: in a header of a GGUF file that parses, pairs and infos of tensors fill the
 * header, keys and names are text and each there once, and tensors lie aligned in the file, apart
 * from each other; whether they are contiguous is said rightly. More bytes than a header's change
 * nothing, fewer ask for more.
 *
 * Input: 8 bytes, the size of the file behind the bytes given (little-endian), then the bytes.
 */
#include "mkfs/gguf.h"
#include "mkfs/names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
	if (!condition)
		abort();
}

static void check_text(const char *text, size_t max)
{
	const char *end = text + strlen(text);

	require(end - text <= (ptrdiff_t)max);
	while (text < end)
		require(names_take_character(&text, end) < NAMES_BYTE);
}

/* Accessors take what fits and nothing else, and read within the header. */
static void check_value(const struct gguf *header, const struct gguf_pair *pair)
{
	uint64_t number;
	int64_t integer;
	double real;
	int truth;
	const char *text;
	size_t size;
	int is_unsigned = !gguf_get_unsigned(header, pair->key, &number);
	int is_signed = !gguf_get_signed(header, pair->key, &integer);

	require(!is_unsigned || !is_signed || (integer >= 0 && (uint64_t)integer == number));
	require(is_unsigned || !is_signed || integer < 0);
	int others =
	    !gguf_get_number(header, pair->key, &real) + !gguf_get_bool(header, pair->key, &truth);
	if (!gguf_get_string(header, pair->key, &text, &size)) {
		others++;
		require((const uint8_t *)text == header->bytes + pair->offset + 8);
		require(size == pair->size - 8);
	}
	require((is_unsigned || is_signed) + others == (pair->type != GGUF_VALUE_ARRAY));
}

static void check_pairs(const struct gguf *header)
{
	size_t at = GGUF_PREFIX;

	for (size_t i = 0; i < header->pair_count; i++) {
		const struct gguf_pair *pair = &header->pairs[i];
		check_text(pair->key, GGUF_KEY_MAX);
		require(*pair->key && gguf_find(header, pair->key) == pair);
		require(pair->start == at);
		require(pair->offset == at + 8 + strlen(pair->key) + 4);
		if (pair->type != GGUF_VALUE_ARRAY) {
			require(pair->count == 1 && pair->element == pair->type);
			require(!gguf_value_size(pair->type) ||
				gguf_value_size(pair->type) == pair->size);
		} else if (gguf_value_size(pair->element)) {
			require(pair->size == 12 + pair->count * gguf_value_size(pair->element));
		}
		check_value(header, pair);
		at = pair->offset + pair->size;
	}
	require(at == header->infos_offset);
	require(!gguf_find(header, ""));
}

static int overlap(const struct gguf_tensor *a, const struct gguf_tensor *b)
{
	return a->offset < b->offset + b->size && b->offset < a->offset + a->size;
}

static void check_shape(const struct gguf_tensor *tensor)
{
	uint64_t count = 1;
	int empty = 0, fits = 1;

	require(tensor->rank <= GGUF_RANK_MAX);
	require(tensor->type == gguf_type_by_id(tensor->type->id));
	require(tensor->dims[0] % tensor->type->block == 0);
	for (unsigned d = 0; d < GGUF_RANK_MAX; d++) {
		require(d < tensor->rank || tensor->dims[d] == 1);
		empty |= !tensor->dims[d];
		fits &= !__builtin_mul_overflow(count, tensor->dims[d], &count);
	}
	if (empty)
		count = 0;
	require((fits || empty) && count == tensor->count);
	require(tensor->size == count / tensor->type->block * tensor->type->bytes);
}

static void check_tensors(const struct gguf *header, uint64_t file_size)
{
	size_t at = header->infos_offset;
	uint64_t next = 0;
	int contiguous = 1;

	for (size_t i = 0; i < header->tensor_count; i++) {
		const struct gguf_tensor *tensor = &header->tensors[i];
		check_text(tensor->name, GGUF_NAME_MAX);
		check_shape(tensor);
		require(tensor->info_offset == at);
		at += tensor->info_size;
		require(tensor->offset % header->alignment == 0);
		require(tensor->offset + tensor->size <= header->data_size);
		contiguous &= tensor->offset == next;
		next = (tensor->offset + tensor->size + header->alignment - 1) / header->alignment *
		       header->alignment;
		for (size_t j = 0; j < i; j++) {
			require(strcmp(header->tensors[j].name, tensor->name) != 0);
			require(!overlap(&header->tensors[j], tensor));
		}
	}
	require(at == header->header_size);
	require(contiguous == header->contiguous);
	require(header->data_offset <= file_size);
	require(header->data_size <= file_size - header->data_offset);
	require(!header->tensor_count || header->data_offset % header->alignment == 0);
	require(header->data_offset >= header->header_size);
}

/* What the first bytes parse to: what all do, or a wish for more. */
static void check_cut(const uint8_t *bytes, size_t cut, uint64_t file_size, int whole,
		      const char *why, size_t header_size)
{
	struct image_diag diag = {""};
	struct gguf header;
	/* A copy of that size, so that reading behind it is seen. */
	uint8_t *copy = malloc(cut ? cut : 1);
	require(copy != NULL);
	if (cut)
		memcpy(copy, bytes, cut);
	int result = gguf_parse(copy, cut, file_size, &header, &diag);
	if (!result) {
		require(!whole && header.header_size == header_size && header_size <= cut);
		gguf_free(&header);
	} else if (result == -EAGAIN) {
		require(cut < file_size && (whole || cut < header_size));
	} else {
		require(result == whole && strcmp(diag.text, why) == 0);
	}
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct image_diag diag = {""};
	struct gguf header;
	uint64_t file_size;
	size_t header_size = 0;

	if (size < sizeof file_size)
		return 0;
	memcpy(&file_size, data, sizeof file_size);
	data += sizeof file_size;
	size -= sizeof file_size;
	if (__builtin_add_overflow(file_size, size, &file_size) || file_size > INT64_MAX)
		return 0;
	int result = gguf_parse(data, size, file_size, &header, &diag);
	if (result) {
		require(diag.text[0] != '\0' && !header.pairs && !header.tensors);
		require(result != -EAGAIN || size < file_size);
	} else {
		check_pairs(&header);
		check_tensors(&header, file_size);
		header_size = header.header_size;
		gguf_free(&header);
	}
	const size_t cuts[] = {0, 4, size / 2, size - size / 4, size - !!size, header_size};
	for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
		if (cuts[i] <= size)
			check_cut(data, cuts[i], file_size, result, diag.text, header_size);
	}
	return 0;
}
