/* SPDX-License-Identifier: MIT */
/*
 * safetensors.c - the header of a .safetensors file; see safetensors.h.
 *
 * Format: https://huggingface.co/docs/safetensors (8 bytes of header size, a JSON object of
 * {"name": {"dtype", "shape", "data_offsets": [begin, end]}}, then the data, which the tensors must
 * fill without holes).
 */
#include "mkfs/safetensors.h"

#include "mkfs/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_SHOWN = 200 }; /* bytes of a name in a diagnostic */

static void *allocate_array(size_t count, size_t size)
{
	return calloc(count ? count : 1, size);
}

/* The product of dims, which is 0 if any of them is, in whatever order; -1 if it overflows. */
static int multiply(const uint64_t *dims, unsigned rank, uint64_t *product)
{
	*product = 1;
	for (unsigned i = 0; i < rank; i++) {
		if (!dims[i]) {
			*product = 0;
			return 0;
		}
	}
	for (unsigned i = 0; i < rank; i++) {
		if (__builtin_mul_overflow(*product, dims[i], product))
			return -1;
	}
	return 0;
}

/* The product of the shape, and the shape itself. */
static int parse_shape(const char *name, json_t *shape, struct safetensor *tensor,
		       struct image_diag *diag)
{
	size_t rank = json_array_size(shape);
	if (!json_is_array(shape))
		return image_fail(diag, -EINVAL, "tensor '%.*s': no shape", NAME_SHOWN, name);
	if (rank > EFS_RANK_MAX)
		return image_fail(diag, -EINVAL, "tensor '%.*s': %zu dimensions, more than %d",
				  NAME_SHOWN, name, rank, EFS_RANK_MAX);
	tensor->dims = allocate_array(rank, sizeof *tensor->dims);
	if (!tensor->dims)
		return image_fail(diag, -ENOMEM, "out of memory");
	tensor->rank = (unsigned)rank;
	for (size_t i = 0; i < rank; i++) {
		json_t *dim = json_array_get(shape, i);
		json_int_t value = json_integer_value(dim);
		if (!json_is_integer(dim) || value < 0)
			return image_fail(diag, -EINVAL,
					  "tensor '%.*s': dimension %zu is no number of elements",
					  NAME_SHOWN, name, i);
		tensor->dims[i] = (uint64_t)value;
	}
	if (multiply(tensor->dims, tensor->rank, &tensor->count))
		return image_fail(diag, -EINVAL, "tensor '%.*s': the shape is too large",
				  NAME_SHOWN, name);
	return 0;
}

static int parse_dtype(const char *name, json_t *dtype, struct safetensor *tensor,
		       struct image_diag *diag)
{
	const char *text = json_string_value(dtype);
	if (!text)
		return image_fail(diag, -EINVAL, "tensor '%.*s': no dtype", NAME_SHOWN, name);
	tensor->dtype = dtype_by_name(text);
	if (tensor->dtype)
		return 0;
	if (dtype_is_sub_byte(text))
		return image_fail(diag, -ENOTSUP,
				  "tensor '%.*s': dtype %s has less than a byte per element, which "
				  "is not supported",
				  NAME_SHOWN, name, text);
	return image_fail(diag, -ENOTSUP, "tensor '%.*s': unknown dtype '%.*s'", NAME_SHOWN, name,
			  32, text);
}

static int parse_tensor(const char *name, json_t *info, uint64_t data_size,
			struct safetensor *tensor, struct image_diag *diag)
{
	if (!json_is_object(info))
		return image_fail(diag, -EINVAL, "tensor '%.*s' is not an object", NAME_SHOWN,
				  name);
	int result = parse_dtype(name, json_object_get(info, "dtype"), tensor, diag);
	if (!result)
		result = parse_shape(name, json_object_get(info, "shape"), tensor, diag);
	if (result)
		return result;

	json_t *range = json_object_get(info, "data_offsets");
	json_t *begin = json_array_get(range, 0), *end = json_array_get(range, 1);
	if (json_array_size(range) != 2 || !json_is_integer(begin) || !json_is_integer(end) ||
	    json_integer_value(begin) < 0 || json_integer_value(end) < json_integer_value(begin))
		return image_fail(diag, -EINVAL,
				  "tensor '%.*s': data_offsets are not two ascending numbers",
				  NAME_SHOWN, name);
	tensor->offset = (uint64_t)json_integer_value(begin);
	tensor->size = (uint64_t)json_integer_value(end) - tensor->offset;
	if (tensor->offset > data_size || tensor->size > data_size - tensor->offset)
		return image_fail(diag, -EINVAL,
				  "tensor '%.*s' lies beyond the end of the file (truncated?)",
				  NAME_SHOWN, name);
	uint64_t expected;
	if (__builtin_mul_overflow(tensor->count, (uint64_t)tensor->dtype->size, &expected))
		return image_fail(diag, -EINVAL, "tensor '%.*s': the shape is too large",
				  NAME_SHOWN, name);
	if (expected != tensor->size)
		return image_fail(diag, -EINVAL,
				  "tensor '%.*s' has %llu bytes, but its shape and dtype make %llu",
				  NAME_SHOWN, name, (unsigned long long)tensor->size,
				  (unsigned long long)expected);
	tensor->name = strdup(name);
	return tensor->name ? 0 : image_fail(diag, -ENOMEM, "out of memory");
}

static int compare_pairs(const void *a, const void *b)
{
	return strcmp(((const struct safetensors_pair *)a)->key,
		      ((const struct safetensors_pair *)b)->key);
}

static int parse_metadata(json_t *metadata, struct safetensors *out, struct image_diag *diag)
{
	const char *key;
	json_t *value;

	if (!metadata)
		return 0;
	if (!json_is_object(metadata))
		return image_fail(diag, -EINVAL, "__metadata__ is not an object");
	out->metadata = allocate_array(json_object_size(metadata), sizeof *out->metadata);
	if (!out->metadata)
		return image_fail(diag, -ENOMEM, "out of memory");
	json_object_foreach(metadata, key, value)
	{
		if (!json_is_string(value))
			return image_fail(diag, -EINVAL, "__metadata__ '%.*s' is not a string",
					  NAME_SHOWN, key);
		struct safetensors_pair *pair = &out->metadata[out->metadata_count++];
		pair->key = strdup(key);
		pair->value = strdup(json_string_value(value));
		if (!pair->key || !pair->value)
			return image_fail(diag, -ENOMEM, "out of memory");
	}
	qsort(out->metadata, out->metadata_count, sizeof *out->metadata, compare_pairs);
	return 0;
}

static int compare_tensors(const void *a, const void *b)
{
	const struct safetensor *left = a, *right = b;
	if (left->offset != right->offset)
		return left->offset < right->offset ? -1 : 1;
	/* Empty tensors come before the one that starts at the same byte. */
	if (left->size != right->size)
		return left->size < right->size ? -1 : 1;
	return strcmp(left->name, right->name);
}

static int check_layout(struct safetensors *header, uint64_t data_size, struct image_diag *diag)
{
	uint64_t expected = 0;

	qsort(header->tensors, header->tensor_count, sizeof *header->tensors, compare_tensors);
	for (size_t i = 0; i < header->tensor_count; i++) {
		const struct safetensor *tensor = &header->tensors[i];
		if (tensor->offset < expected)
			return image_fail(diag, -EINVAL, "tensor '%.*s' overlaps '%.*s'",
					  NAME_SHOWN, tensor->name, NAME_SHOWN, tensor[-1].name);
		if (tensor->offset > expected)
			return image_fail(diag, -EINVAL,
					  "a hole of %llu bytes lies before tensor '%.*s'",
					  (unsigned long long)(tensor->offset - expected),
					  NAME_SHOWN, tensor->name);
		expected += tensor->size;
	}
	if (expected != data_size)
		return image_fail(diag, -EINVAL,
				  "behind the last tensor lies data that belongs to none, "
				  "%llu bytes",
				  (unsigned long long)(data_size - expected));
	return 0;
}

static int parse_object(json_t *root, uint64_t data_size, struct safetensors *out,
			struct image_diag *diag)
{
	const char *name;
	json_t *info;

	if (!json_is_object(root))
		return image_fail(diag, -EINVAL, "the header is not a JSON object");
	out->tensors = allocate_array(json_object_size(root), sizeof *out->tensors);
	if (!out->tensors)
		return image_fail(diag, -ENOMEM, "out of memory");
	json_object_foreach(root, name, info)
	{
		if (strcmp(name, "__metadata__") == 0)
			continue;
		int result =
		    parse_tensor(name, info, data_size, &out->tensors[out->tensor_count++], diag);
		if (result)
			return result;
	}
	int result = parse_metadata(json_object_get(root, "__metadata__"), out, diag);
	return result ? result : check_layout(out, data_size, diag);
}

int safetensors_parse(const char *header, size_t size, uint64_t data_size, struct safetensors *out,
		      struct image_diag *diag)
{
	memset(out, 0, sizeof *out);
	json_t *root = json_parse(header, size, SAFETENSORS_PARSE_BUDGET, diag);
	if (!root)
		return -EINVAL;
	int result = parse_object(root, data_size, out, diag);
	json_decref(root);
	if (result)
		safetensors_free(out);
	return result;
}

void safetensors_free(struct safetensors *header)
{
	for (size_t i = 0; i < header->tensor_count; i++) {
		free(header->tensors[i].name);
		free(header->tensors[i].dims);
	}
	for (size_t i = 0; i < header->metadata_count; i++) {
		free(header->metadata[i].key);
		free(header->metadata[i].value);
	}
	free(header->tensors);
	free(header->metadata);
	memset(header, 0, sizeof *header);
}
