/* SPDX-License-Identifier: MIT */
/* catalog_transcodes.c - validates transcodes; see catalog.h. */
#include "image/catalog.h"

#include "codec/ggml_blocks.h"

#include <errno.h>

struct planes efs_transcode_planes(const struct efs_transcode *transcode)
{
	struct planes planes = {.word = transcode->word, .count = transcode->plane_count};

	for (unsigned k = 0; k < planes.count && k < EFS_PLANES_MAX; k++) {
		planes.size[k] = transcode->plane_size[k];
		planes.unit = (uint16_t)(planes.unit + planes.size[k]);
	}
	return planes;
}

/* Whether a plane from this one on has a size. */
static int sizes_behind(const struct efs_transcode *transcode, unsigned count)
{
	for (unsigned k = count; k < EFS_PLANES_MAX; k++)
		if (transcode->plane_size[k])
			return 1;
	return 0;
}

/* Of a transcode that is made of a tensor. */
static const char *tensor_fault(const struct catalog *catalog,
				const struct efs_transcode *transcode)
{
	if (transcode->plane_count || sizes_behind(transcode, 0))
		return "a reserved field is not zero";
	if (transcode->tensor >= catalog->header->tensor_count)
		return "its tensor does not exist";
	if (!catalog->tensors[transcode->tensor].bits)
		return "its tensor is not quantized";
	return NULL;
}

/* Elements of its tensor, `unit` of which become so many bytes. */
static const char *size_fault(const struct catalog *catalog, const struct efs_transcode *transcode,
			      unsigned unit, unsigned bytes)
{
	const struct efs_tensor *tensor = &catalog->tensors[transcode->tensor];
	uint64_t size;

	if (efs_tensor_count(tensor, catalog->dims + tensor->first_dim, &size) ||
	    __builtin_mul_overflow(size / unit, bytes, &size) || size > INT64_MAX ||
	    size != transcode->raw_size)
		return "its size contradicts its tensor";
	return NULL;
}

static const char *dequantize_fault(const struct catalog *catalog,
				    const struct efs_transcode *transcode)
{
	const char *fault = tensor_fault(catalog, transcode);

	if (fault)
		return fault;
	if (!efs_dtype_is_float(transcode->dtype))
		return "its numbers are no floats";
	return size_fault(catalog, transcode, 1, efs_dtype_size(transcode->dtype));
}

static const char *blocks_fault(const struct catalog *catalog,
				const struct efs_transcode *transcode)
{
	const char *fault = tensor_fault(catalog, transcode);
	unsigned type = transcode->ggml_type;
	const struct efs_tensor *tensor;
	const struct efs_param *param;
	struct ggml_blocks blocks;

	if (fault)
		return fault;
	tensor = &catalog->tensors[transcode->tensor];
	if (ggml_blocks_bits(type) != tensor->bits)
		return "its tensor's bits are not those of such blocks";
	if (!tensor->rank || catalog->dims[tensor->first_dim + tensor->rank - 1] % GGML_BLOCK)
		return "its tensor's rows are no whole blocks";
	if (tensor->param_count != 1)
		return "its tensor has parameters for each row";
	param = &catalog->params[tensor->first_param];
	if (ggml_blocks_prepare(&blocks, type, param->scale, param->zero_point))
		return "its tensor's parameters are not those of such blocks";
	return size_fault(catalog, transcode, GGML_BLOCK, blocks.size);
}

/* The sum of sizes cannot wrap to a valid one: each is checked first. */
static const char *join_fault(const struct catalog *catalog, const struct efs_transcode *transcode)
{
	uint32_t streams = catalog->header->stream_count;
	struct planes planes = efs_transcode_planes(transcode);
	uint64_t records, size;

	if (planes.count > EFS_PLANES_MAX)
		return "it has too many planes";
	if (sizes_behind(transcode, planes.count))
		return "a reserved field is not zero";
	for (unsigned k = 0; k < planes.count; k++)
		if (planes.size[k] > PLANES_UNIT_MAX)
			return "its records are impossible";
	/* Their size is not 0 then, which an analyzer of one file does not see. */
	if (!planes.unit || !planes_valid(&planes))
		return "its records are impossible";
	if (transcode->first_stream > streams || streams - transcode->first_stream < planes.count)
		return "its streams do not exist";
	if (transcode->raw_size > INT64_MAX || transcode->raw_size % planes.unit)
		return "its size is no number of records";
	records = transcode->raw_size / planes.unit;
	for (unsigned k = 0; k < planes.count; k++) {
		size = records * planes.size[k];
		if (catalog->streams[transcode->first_stream + k].raw_size != size)
			return "its size contradicts its streams";
	}
	return NULL;
}

static const char *transcode_fault(const struct catalog *catalog,
				   const struct efs_transcode *transcode)
{
	switch (transcode->rule) {
	case EFS_DEQUANTIZE:
		return dequantize_fault(catalog, transcode);
	case EFS_JOIN:
		return join_fault(catalog, transcode);
	case EFS_GGML_BLOCKS:
		return blocks_fault(catalog, transcode);
	default:
		return "its rule is unknown";
	}
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
