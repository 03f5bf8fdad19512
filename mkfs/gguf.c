/* SPDX-License-Identifier: MIT */
/*
 * gguf.c - the header of a GGUF file; see gguf.h.
 *
 * Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; what is refused beyond that
 * follows llama.cpp's loader, ggml/src/gguf.cpp, but that data may lie in any order and with gaps.
 */
#include "mkfs/gguf.h"

#include "mkfs/gguf_cursor.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are read as they lie");

enum { TENSOR_MIN = 8 + 4 + 4 + 8 }; /* bytes of an info: the name's length, rank, type, offset */

static const char magic[] = {'G', 'G', 'U', 'F'};

/* A version of few bits in the other byte order has them in the upper half. */
static int check_version(uint32_t version, struct image_diag *diag)
{
	if (version == GGUF_VERSION)
		return 0;
	if (version && !(version & 0xffff))
		return image_fail(diag, -ENOTSUP, "a big-endian GGUF file, which is not supported");
	return image_fail(diag, -ENOTSUP,
			  "version %lu of the GGUF format, of which only %d is supported",
			  (unsigned long)version, GGUF_VERSION);
}

static int parse_prefix(struct gguf_cursor *cursor, uint64_t *tensors, uint64_t *pairs)
{
	size_t known = cursor->given < sizeof magic ? cursor->given : sizeof magic;
	uint64_t wanted = cursor->file_size < sizeof magic ? cursor->file_size : sizeof magic;
	uint32_t version = 0;

	if (known && memcmp(cursor->bytes, magic, known) != 0)
		return image_fail(cursor->diag, -EINVAL, "not a GGUF file");
	int result = gguf_skip(cursor, wanted, 1);
	if (!result && cursor->file_size < GGUF_PREFIX)
		result =
		    image_fail(cursor->diag, -EINVAL,
			       "the file ends within its first %d bytes (truncated?)", GGUF_PREFIX);
	if (!result)
		result = gguf_take_u32(cursor, &version);
	if (!result)
		result = check_version(version, cursor->diag);
	if (!result)
		result = gguf_take_u64(cursor, tensors);
	return result ? result : gguf_take_u64(cursor, pairs);
}

/* The product of dims, which is 0 if any of them is, in whatever order; -1 if it is too large. */
static int multiply(const uint64_t dims[GGUF_RANK_MAX], uint64_t *product)
{
	*product = 1;
	for (unsigned i = 0; i < GGUF_RANK_MAX; i++) {
		if (!dims[i]) {
			*product = 0;
			return 0;
		}
	}
	for (unsigned i = 0; i < GGUF_RANK_MAX; i++) {
		if (__builtin_mul_overflow(*product, dims[i], product) || *product > INT64_MAX)
			return -1;
	}
	return 0;
}

static int parse_shape(struct gguf_cursor *cursor, struct gguf_tensor *tensor)
{
	uint32_t rank;
	int result = gguf_take_u32(cursor, &rank);
	if (result)
		return result;
	if (rank > GGUF_RANK_MAX)
		return image_fail(cursor->diag, -EINVAL,
				  "tensor '%.*s': %lu dimensions, more than %d", GGUF_SHOWN,
				  tensor->name, (unsigned long)rank, GGUF_RANK_MAX);
	tensor->rank = rank;
	for (unsigned i = 0; i < GGUF_RANK_MAX; i++) {
		tensor->dims[i] = 1;
		if (i < rank)
			result = gguf_take_u64(cursor, &tensor->dims[i]);
		if (result)
			return result;
		if (tensor->dims[i] > INT64_MAX)
			return image_fail(cursor->diag, -EINVAL,
					  "tensor '%.*s': dimension %u is no number of elements",
					  GGUF_SHOWN, tensor->name, i);
	}
	if (multiply(tensor->dims, &tensor->count))
		return image_fail(cursor->diag, -EINVAL, "tensor '%.*s': the shape is too large",
				  GGUF_SHOWN, tensor->name);
	return 0;
}

static int parse_type(struct gguf_cursor *cursor, struct gguf_tensor *tensor)
{
	uint32_t id;
	int result = gguf_take_u32(cursor, &id);
	if (result)
		return result;
	tensor->type = gguf_type_by_id(id);
	if (!tensor->type)
		return image_fail(cursor->diag, -ENOTSUP, "tensor '%.*s': unknown type %lu",
				  GGUF_SHOWN, tensor->name, (unsigned long)id);
	if (tensor->dims[0] % tensor->type->block)
		return image_fail(
		    cursor->diag, -EINVAL,
		    "tensor '%.*s': rows of %llu elements are no whole blocks of %s, which have %u",
		    GGUF_SHOWN, tensor->name, (unsigned long long)tensor->dims[0],
		    tensor->type->name, tensor->type->block);
	if (__builtin_mul_overflow(tensor->count / tensor->type->block,
				   (uint64_t)tensor->type->bytes, &tensor->size))
		return image_fail(cursor->diag, -EINVAL, "tensor '%.*s': the shape is too large",
				  GGUF_SHOWN, tensor->name);
	return 0;
}

static int parse_tensors(struct gguf_cursor *cursor, uint64_t count, struct gguf *header)
{
	size_t capacity = 0;

	cursor->part = "tensor";
	cursor->number = 0;
	int result = gguf_has_room(cursor, count, TENSOR_MIN);
	for (uint64_t i = 0; !result && i < count; i++) {
		cursor->number = (size_t)i;
		result = gguf_grow(cursor, (void **)&header->tensors, &capacity,
				   header->tensor_count, count, sizeof *header->tensors);
		if (result)
			break;
		struct gguf_tensor *tensor = &header->tensors[header->tensor_count++];
		*tensor = (struct gguf_tensor){.info_offset = cursor->at};
		result = gguf_take_name(cursor, "name", GGUF_NAME_MAX, &tensor->name);
		if (!result)
			result = parse_shape(cursor, tensor);
		if (!result)
			result = parse_type(cursor, tensor);
		if (!result)
			result = gguf_take_u64(cursor, &tensor->offset);
		tensor->info_size = cursor->at - tensor->info_offset;
	}
	return result;
}

static int compare_names(const void *a, const void *b)
{
	const struct gguf_tensor *const *left = a, *const *right = b;
	return strcmp((*left)->name, (*right)->name);
}

static int check_names(struct gguf_cursor *cursor, const struct gguf *header)
{
	int result;
	const struct gguf_tensor **sorted =
	    (const struct gguf_tensor **)gguf_sort(cursor, header->tensors, header->tensor_count,
						   sizeof *header->tensors, compare_names, &result);
	if (!sorted)
		return result;
	for (size_t i = 1; !result && i < header->tensor_count; i++) {
		if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0)
			result = image_fail(cursor->diag, -EINVAL, "two tensors are called '%.*s'",
					    GGUF_SHOWN, sorted[i]->name);
	}
	free(sorted);
	return result;
}

static int compare_places(const void *a, const void *b)
{
	const struct gguf_tensor *left = *(const struct gguf_tensor *const *)a;
	const struct gguf_tensor *right = *(const struct gguf_tensor *const *)b;
	if (left->offset != right->offset)
		return left->offset < right->offset ? -1 : 1;
	/* Empty tensors come before the one that starts at the same byte. */
	if (left->size != right->size)
		return left->size < right->size ? -1 : 1;
	return left < right ? -1 : left > right;
}

static int check_overlaps(struct gguf_cursor *cursor, const struct gguf *header)
{
	uint64_t end = 0;
	int result;
	const struct gguf_tensor **sorted = (const struct gguf_tensor **)gguf_sort(
	    cursor, header->tensors, header->tensor_count, sizeof *header->tensors, compare_places,
	    &result);
	if (!sorted)
		return result;
	for (size_t i = 0; !result && i < header->tensor_count; i++) {
		if (sorted[i]->offset < end)
			result = image_fail(cursor->diag, -EINVAL, "tensor '%.*s' overlaps '%.*s'",
					    GGUF_SHOWN, sorted[i]->name, GGUF_SHOWN,
					    sorted[i - 1]->name);
		end = sorted[i]->offset + sorted[i]->size;
	}
	free(sorted);
	return result;
}

/* Rounds up, from within the file. */
static uint64_t align(uint64_t offset, uint32_t alignment)
{
	return (offset + alignment - 1) & ~(uint64_t)(alignment - 1);
}

/* Where the data starts, and that each tensor lies where one may, within the file. */
static int check_places(struct gguf_cursor *cursor, struct gguf *header)
{
	uint64_t next = 0;

	header->contiguous = 1;
	header->data_offset = align(header->header_size, header->alignment);
	if (header->data_offset > cursor->file_size) {
		if (header->tensor_count)
			return image_fail(cursor->diag, -EINVAL,
					  "the file ends where the data should start (truncated?)");
		header->data_offset = cursor->file_size;
	}
	uint64_t room = cursor->file_size - header->data_offset;
	for (size_t i = 0; i < header->tensor_count; i++) {
		const struct gguf_tensor *tensor = &header->tensors[i];
		if (tensor->offset & (header->alignment - 1))
			return image_fail(cursor->diag, -EINVAL,
					  "tensor '%.*s': offset %llu is no multiple of %lu, "
					  "the alignment",
					  GGUF_SHOWN, tensor->name,
					  (unsigned long long)tensor->offset,
					  (unsigned long)header->alignment);
		if (tensor->offset > room || tensor->size > room - tensor->offset)
			return image_fail(
			    cursor->diag, -EINVAL,
			    "tensor '%.*s' lies beyond the end of the file (truncated?)",
			    GGUF_SHOWN, tensor->name);
		if (tensor->offset != next)
			header->contiguous = 0;
		next = align(tensor->offset + tensor->size, header->alignment);
		if (tensor->offset + tensor->size > header->data_size)
			header->data_size = tensor->offset + tensor->size;
	}
	return 0;
}

static int parse(struct gguf_cursor *cursor, struct gguf *header)
{
	uint64_t tensors = 0, pairs = 0;
	int result = parse_prefix(cursor, &tensors, &pairs);
	if (!result)
		result = gguf_parse_pairs(cursor, pairs, header);
	header->infos_offset = cursor->at;
	if (!result)
		result = parse_tensors(cursor, tensors, header);
	header->header_size = cursor->at;
	if (!result)
		result = check_names(cursor, header);
	if (!result)
		result = check_places(cursor, header);
	return result ? result : check_overlaps(cursor, header);
}

int gguf_parse_within(const uint8_t *bytes, size_t size, uint64_t file_size, size_t budget,
		      struct gguf *out, struct image_diag *diag)
{
	/* No file is larger; so ends and padding do not overflow. */
	if (file_size > INT64_MAX)
		file_size = INT64_MAX;
	uint64_t reach = file_size < GGUF_HEADER_MAX ? file_size : GGUF_HEADER_MAX;
	struct gguf_cursor cursor = {.bytes = bytes,
				     .given = size < reach ? size : (size_t)reach,
				     .reach = reach,
				     .file_size = file_size,
				     .budget = budget,
				     .diag = diag};

	*out = (struct gguf){.bytes = bytes};
	int result = parse(&cursor, out);
	if (result)
		gguf_free(out);
	return result;
}

int gguf_parse(const uint8_t *bytes, size_t size, uint64_t file_size, struct gguf *out,
	       struct image_diag *diag)
{
	return gguf_parse_within(bytes, size, file_size, GGUF_PARSE_BUDGET, out, diag);
}

void gguf_free(struct gguf *header)
{
	for (size_t i = 0; i < header->pair_count; i++)
		free(header->pairs[i].key);
	for (size_t i = 0; i < header->tensor_count; i++)
		free(header->tensors[i].name);
	free(header->pairs);
	free(header->tensors);
	free(header->architecture);
	memset(header, 0, sizeof *header);
}
