/* SPDX-License-Identifier: MIT */
/* manifest.c - quantized/manifest.json of a model folder. */
#include "runtime-demo/manifest.h"

#include <math.h>
#include <string.h>

/* Bytes: some 200,000 tensors, and what parsing them takes. */
enum { MANIFEST_LIMIT = 64 << 20, MANIFEST_BUDGET = 256 << 20 };

static int index_entries(const json_t *tensors, json_t *entries, struct diag *diag)
{
	for (size_t i = 0; i < json_array_size(tensors); i++) {
		json_t *entry = json_array_get(tensors, i);
		const char *name = json_string_value(json_object_get(entry, "name"));

		if (name == NULL)
			return diag_fail(diag, "tensor %zu has no name", i);
		if (json_object_get(entries, name) != NULL)
			return diag_fail(diag, "tensor '%.200s' is listed twice", name);
		if (json_object_set(entries, name, entry) != 0)
			return diag_fail(diag, "out of memory");
	}
	return 0;
}

static int index_manifest(const json_t *json, struct manifest *manifest, struct diag *diag)
{
	const json_t *tensors = json_object_get(json, "tensors");

	manifest->entries = json_object();
	if (json_integer_value(json_object_get(json, "format")) != 1)
		return diag_fail(diag, "its format is not 1");
	if (!json_is_array(tensors))
		return diag_fail(diag, "it lists no tensors");
	return index_entries(tensors, manifest->entries, diag);
}

static int read_manifest(struct manifest *manifest, struct diag *diag)
{
	json_t *json = file_read_json(&manifest->folder, "manifest.json", MANIFEST_LIMIT,
				      MANIFEST_BUDGET, diag);
	int result;

	if (json == NULL)
		return -1;
	result = index_manifest(json, manifest, diag);
	json_decref(json);
	return result == 0 ? 0 : file_blame(&manifest->folder, "manifest.json", diag);
}

int manifest_open(const struct folder *model, struct manifest *manifest, struct diag *diag)
{
	*manifest = (struct manifest){0};
	if (folder_open(model, "quantized", &manifest->folder, diag) == 0 &&
	    read_manifest(manifest, diag) == 0)
		return 0;
	manifest_close(manifest);
	return -1;
}

void manifest_close(struct manifest *manifest)
{
	json_decref(manifest->entries);
	folder_close(&manifest->folder);
}

/* True for a relative path none of whose parts is "..". */
static bool stays_inside(const char *path)
{
	if (*path == '\0' || *path == '/')
		return false;
	for (const char *part = path; part != NULL; part = strchr(part, '/')) {
		part += *part == '/';
		if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || part[2] == '\0'))
			return false;
	}
	return true;
}

static int read_codes(const json_t *entry, const char *name, struct tensor *tensor,
		      struct diag *diag)
{
	const json_int_t bits = json_integer_value(json_object_get(entry, "bits"));
	const json_t *scale = json_object_get(entry, "scale");
	const json_t *zero = json_object_get(entry, "zero_point");

	if (bits != 8 && bits != 4)
		return diag_fail(diag, "tensor '%s': its bits are neither 8 nor 4", name);
	if (!json_is_number(scale) || !isfinite((float)json_number_value(scale)))
		return diag_fail(diag, "tensor '%s': its scale is not one finite number", name);
	if (!json_is_integer(zero) || json_integer_value(zero) < INT32_MIN ||
	    json_integer_value(zero) > INT32_MAX)
		return diag_fail(diag, "tensor '%s': its zero_point is not one whole number", name);
	tensor->kind = bits == 8 ? TENSOR_U8 : TENSOR_U4;
	tensor->scale = (float)json_number_value(scale);
	tensor->zero_point = (float)json_integer_value(zero);
	return (int)bits;
}

/* Sets kind and parameters; returns the bits of one number, -1 on failure. */
static int read_encoding(const json_t *entry, const char *name, struct tensor *tensor,
			 struct diag *diag)
{
	static const struct {
		const char *dtype;
		enum tensor_kind kind;
		int bits;
	} kept[] = {{"F64", TENSOR_F64, 64},
		    {"F32", TENSOR_F32, 32},
		    {"F16", TENSOR_F16, 16},
		    {"BF16", TENSOR_BF16, 16}};
	const json_t *bits = json_object_get(entry, "bits");
	const char *dtype = json_string_value(json_object_get(entry, "dtype"));

	if (json_is_integer(bits))
		return read_codes(entry, name, tensor, diag);
	for (size_t i = 0; json_is_null(bits) && dtype && i < sizeof(kept) / sizeof(*kept); i++) {
		if (strcmp(dtype, kept[i].dtype) == 0) {
			tensor->kind = kept[i].kind;
			return kept[i].bits;
		}
	}
	return diag_fail(diag, "tensor '%s': its bits and dtype are not known", name);
}

/* All of manifest_tensor() but the file; *bytes of it are needed. */
static int read_entry(const json_t *entry, const char *name, size_t rows, size_t cols,
		      struct tensor *tensor, size_t *bytes, struct diag *diag)
{
	const json_t *shape = json_object_get(entry, "shape");
	const char *file = json_string_value(json_object_get(entry, "file"));
	const size_t dimensions = rows == 0 ? 1 : 2, wanted[2] = {rows == 0 ? cols : rows, cols};
	size_t numbers, total;
	int bits;

	if (entry == NULL)
		return diag_fail(diag, "tensor '%s' is missing", name);
	for (size_t i = 0; i < dimensions; i++)
		if (json_array_size(shape) != dimensions ||
		    !json_is_integer(json_array_get(shape, i)) ||
		    json_integer_value(json_array_get(shape, i)) != (json_int_t)wanted[i])
			return diag_fail(
			    diag, "tensor '%s': its shape is not what config.json says", name);
	if (file == NULL || !stays_inside(file))
		return diag_fail(diag, "tensor '%s': its file is not inside the folder", name);
	bits = read_encoding(entry, name, tensor, diag);
	if (bits < 0)
		return -1;
	if (__builtin_mul_overflow(tensor->rows, cols, &numbers) ||
	    __builtin_mul_overflow(numbers, (size_t)bits, &total) || total > SIZE_MAX - 7)
		return diag_fail(diag, "tensor '%s': its shape is too large", name);
	*bytes = (total + 7) / 8;
	return 0;
}

int manifest_tensor(const struct manifest *manifest, const char *name, size_t rows, size_t cols,
		    struct tensor *tensor, struct diag *diag)
{
	const json_t *entry = json_object_get(manifest->entries, name);
	size_t bytes = 0;

	*tensor = (struct tensor){.rows = rows == 0 ? 1 : rows, .cols = cols};
	if (read_entry(entry, name, rows, cols, tensor, &bytes, diag) != 0)
		return file_blame(&manifest->folder, "manifest.json", diag);
	return file_map(&manifest->folder, json_string_value(json_object_get(entry, "file")), bytes,
			&tensor->file, diag);
}
