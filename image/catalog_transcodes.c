/* SPDX-License-Identifier: MIT */
/* catalog_transcodes.c - validates transcodes; see catalog.h. */
#include "image/catalog.h"

#include <errno.h>

static int is_zero(const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (bytes[i])
			return 0;
	return 1;
}

static const char *dequantize_fault(const struct catalog *catalog,
				    const struct efs_transcode *transcode)
{
	const struct efs_tensor *tensor;
	uint64_t size;

	if (transcode->tensor >= catalog->header->tensor_count)
		return "its tensor does not exist";
	tensor = &catalog->tensors[transcode->tensor];
	if (!tensor->bits)
		return "its tensor is not quantized";
	if (!efs_dtype_is_float(transcode->dtype))
		return "its numbers are no floats";
	if (efs_tensor_count(tensor, catalog->dims + tensor->first_dim, &size) ||
	    __builtin_mul_overflow(size, efs_dtype_size(transcode->dtype), &size) ||
	    size > INT64_MAX || size != transcode->raw_size)
		return "its size contradicts its tensor";
	return NULL;
}

static const char *transcode_fault(const struct catalog *catalog,
				   const struct efs_transcode *transcode)
{
	if (transcode->rule != EFS_DEQUANTIZE)
		return "its rule is unknown";
	if (transcode->reserved0 || !is_zero(transcode->reserved1, sizeof(transcode->reserved1)))
		return "a reserved field is not zero";
	return dequantize_fault(catalog, transcode);
}

int efs_catalog_check_transcodes(const struct catalog *catalog, struct image_diag *diag)
{
	for (uint32_t i = 0; i < catalog->header->transcode_count; i++) {
		const char *fault = transcode_fault(catalog, &catalog->transcodes[i]);

		if (fault)
			return image_fail(diag, -EUCLEAN, "catalog: transcode %u: %s", i, fault);
	}
	return 0;
}
