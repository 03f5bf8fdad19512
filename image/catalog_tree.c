/* SPDX-License-Identifier: MIT */
/*
 * catalog_tree.c - validates nodes, pieces and tensors; see catalog.h.
 *
 * Nodes and pieces must be in the one order that the format allows, each used exactly once. So one
 * pass over each array checks everything, and a hostile catalog cannot make it take longer.
 */
#include "image/catalog.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int string_ok(const struct catalog *catalog, struct efs_string string)
{
	uint32_t size = catalog->header->string_size;

	return string.offset <= size && string.size <= size - string.offset;
}

static int name_ok(const struct catalog *catalog, struct efs_string name)
{
	const char *text;

	if (!string_ok(catalog, name) || name.size < 1 || name.size > EFS_NAME_MAX)
		return 0;
	text = catalog->strings + name.offset;
	if (memchr(text, '/', name.size) || memchr(text, 0, name.size))
		return 0;
	return !(text[0] == '.' && (name.size == 1 || (name.size == 2 && text[1] == '.')));
}

static int compare_names(const struct catalog *catalog, struct efs_string a, struct efs_string b)
{
	uint32_t size = a.size < b.size ? a.size : b.size;
	int order = memcmp(catalog->strings + a.offset, catalog->strings + b.offset, size);

	return order ? order : (a.size > b.size) - (a.size < b.size);
}

static const char *children_fault(const struct catalog *catalog, uint32_t parent, uint32_t expected)
{
	const struct efs_node *node = &catalog->nodes[parent];

	if (node->size)
		return "a directory has a size";
	if (node->first != expected)
		return "its children are not in breadth-first order";
	if (node->count > catalog->header->node_count - expected)
		return "it has more children than there are nodes";
	for (uint32_t i = 0; i < node->count; i++) {
		const struct efs_node *child = &catalog->nodes[expected + i];

		if (child->parent != parent)
			return "a child names another parent";
		if (!name_ok(catalog, child->name))
			return "a child's name is invalid";
		if (i && compare_names(catalog, child[-1].name, child->name) >= 0)
			return "its children are not sorted by name";
	}
	return NULL;
}

static const char *piece_fault(const struct catalog *catalog, const struct efs_piece *piece)
{
	uint64_t size;

	if (piece->kind == EFS_PIECE_STREAM) {
		if (piece->source >= catalog->header->stream_count)
			return "a piece names a stream that does not exist";
		size = catalog->streams[piece->source].raw_size;
	} else if (piece->kind == EFS_PIECE_BLOB) {
		if (piece->source >= catalog->header->blob_count)
			return "a piece names a blob that does not exist";
		size = catalog->blobs[piece->source].raw_size;
	} else if (piece->kind == EFS_PIECE_TRANSCODE) {
		if (piece->source >= catalog->header->transcode_count)
			return "a piece names a transcode that does not exist";
		size = catalog->transcodes[piece->source].raw_size;
	} else {
		return "a piece is of an unknown kind";
	}
	if (!piece->length)
		return "a piece is empty";
	if (piece->offset > size || piece->length > size - piece->offset)
		return "a piece reaches beyond its source";
	return NULL;
}

static const char *pieces_fault(const struct catalog *catalog, const struct efs_node *node,
				uint32_t expected)
{
	uint64_t size = 0;

	if (node->first != expected)
		return "its pieces are not in the order of the files";
	if (node->count > catalog->header->piece_count - expected)
		return "it has more pieces than there are";
	for (uint32_t i = expected; i < expected + node->count; i++) {
		const char *fault = piece_fault(catalog, &catalog->pieces[i]);

		if (fault)
			return fault;
		catalog->piece_starts[i] = size;
		if (catalog->pieces[i].length > INT64_MAX - size)
			return "it is too large";
		size += catalog->pieces[i].length;
	}
	return size == node->size ? NULL : "its pieces do not add up to its size";
}

int efs_catalog_check_tree(struct catalog *catalog, struct image_diag *diag)
{
	const struct efs_catalog_header *header = catalog->header;
	const struct efs_node *root = catalog->nodes;
	uint32_t next_node = 1, next_piece = 0, next_level = 1, depth = 0;

	if (!header->node_count || root->type != EFS_DIRECTORY || root->parent || root->name.size ||
	    root->name.offset)
		return image_fail(diag, -EUCLEAN, "catalog: node 0 is not a root directory");
	catalog->piece_starts = malloc(((size_t)header->piece_count + 1) * sizeof(uint64_t));
	if (!catalog->piece_starts)
		return image_fail(diag, -ENOMEM, "out of memory");
	for (uint32_t i = 0; i < header->node_count; i++) {
		const struct efs_node *node = &catalog->nodes[i];
		const char *fault;

		/* Breadth-first: what the nodes of a level have added is the next one. */
		if (i == next_level) {
			next_level = next_node;
			depth++;
		}
		if (i >= next_node)
			fault = "no directory contains it";
		else if (depth > EFS_DEPTH_MAX)
			fault = "it lies too deep";
		else if (node->reserved[0] || node->reserved[1] || node->reserved[2])
			fault = "a reserved field is not zero";
		else if (node->type == EFS_DIRECTORY)
			fault = children_fault(catalog, i, next_node);
		else if (node->type == EFS_FILE)
			fault = pieces_fault(catalog, node, next_piece);
		else
			fault = "its type is unknown";
		if (fault)
			return image_fail(diag, -EUCLEAN, "catalog: node %u: %s", i, fault);
		if (node->type == EFS_DIRECTORY)
			next_node += node->count;
		else
			next_piece += node->count;
	}
	if (next_piece != header->piece_count)
		return image_fail(diag, -EUCLEAN, "catalog: some pieces belong to no file");
	return 0;
}

unsigned efs_dtype_size(uint8_t dtype)
{
	static const uint8_t sizes[EFS_DTYPE_END] = {
	    [EFS_BOOL] = 1,    [EFS_U8] = 1,  [EFS_I8] = 1,  [EFS_F8_E5M2] = 1, [EFS_F8_E4M3] = 1,
	    [EFS_F8_E8M0] = 1, [EFS_U16] = 2, [EFS_I16] = 2, [EFS_F16] = 2,     [EFS_BF16] = 2,
	    [EFS_U32] = 4,     [EFS_I32] = 4, [EFS_F32] = 4, [EFS_U64] = 8,     [EFS_I64] = 8,
	    [EFS_F64] = 8,     [EFS_C64] = 8,
	};

	return dtype < EFS_DTYPE_END ? sizes[dtype] : 0;
}

int efs_tensor_count(const struct efs_tensor *tensor, const uint64_t *dims, uint64_t *count)
{
	int empty = 0;

	*count = 1;
	for (unsigned i = 0; i < tensor->rank; i++)
		empty |= !dims[i];
	for (unsigned i = 0; i < tensor->rank && !empty; i++)
		if (__builtin_mul_overflow(*count, dims[i], count))
			return -1;
	if (empty)
		*count = 0;
	return 0;
}

int efs_tensor_raw_size(const struct efs_tensor *tensor, const uint64_t *dims, uint64_t *size)
{
	uint64_t count;

	if (efs_tensor_count(tensor, dims, &count))
		return -1;
	if (tensor->bits == 4)
		count = count / 2 + count % 2;
	else if (!tensor->bits &&
		 __builtin_mul_overflow(count, efs_dtype_size(tensor->source_dtype), &count))
		return -1;
	*size = count;
	return count <= INT64_MAX ? 0 : -1;
}

int efs_dtype_is_float(uint8_t dtype)
{
	return dtype == EFS_F16 || dtype == EFS_BF16 || dtype == EFS_F32 || dtype == EFS_F64;
}

static const char *quantization_fault(const struct catalog *catalog,
				      const struct efs_tensor *tensor, const uint32_t *zero_runs)
{
	const uint64_t *dims = catalog->dims + tensor->first_dim;

	if (tensor->bits != 0 && tensor->bits != 4 && tensor->bits != 8)
		return "its bits are neither 4 nor 8 nor 0";
	if (tensor->scheme > EFS_CONSTANT || (tensor->bits == 0) != (tensor->scheme == EFS_KEPT))
		return "its scheme contradicts its bits";
	if (tensor->bits && !efs_dtype_is_float(tensor->source_dtype))
		return "its codes stand for numbers that are no floats";
	if (tensor->first_param > catalog->header->param_count ||
	    tensor->param_count > catalog->header->param_count - tensor->first_param)
		return "its parameters lie outside the array";
	if (tensor->bits == 0
		? tensor->param_count != 0
		: tensor->param_count != 1 && (!tensor->rank || tensor->param_count != dims[0]))
		return "it has a wrong number of parameters";
	/* Only asymmetric codes have a zero that is not code 0. */
	if (tensor->scheme != EFS_ASYMMETRIC &&
	    zero_runs[tensor->first_param] < tensor->param_count)
		return "its zero point contradicts its scheme";
	/* Comparisons are false for NaN. */
	if (!(tensor->entropy >= 0 && tensor->entropy <= 64) || isnan(tensor->sqnr) ||
	    !(tensor->max_error >= 0))
		return "its figures are not numbers";
	return NULL;
}

static const char *data_fault(const struct catalog *catalog, const struct efs_tensor *tensor)
{
	const struct efs_node *node;
	const struct efs_piece *piece;
	uint64_t size;

	if (tensor->transcode || tensor->stream_count != 1)
		return "its transcode is unknown";
	if (tensor->first_stream >= catalog->header->stream_count)
		return "its stream does not exist";
	if (efs_tensor_raw_size(tensor, catalog->dims + tensor->first_dim, &size) ||
	    size != catalog->streams[tensor->first_stream].raw_size)
		return "its shape contradicts its stream";
	if (tensor->node >= catalog->header->node_count)
		return "its file does not exist";
	node = &catalog->nodes[tensor->node];
	if (node->type != EFS_FILE || node->size != size || node->count != (size != 0))
		return "its file is not its stream";
	if (!size)
		return NULL;
	piece = &catalog->pieces[node->first];
	if (piece->kind != EFS_PIECE_STREAM || piece->source != tensor->first_stream)
		return "its file is not its stream";
	return NULL;
}

static const char *tensor_fault(const struct catalog *catalog, const struct efs_tensor *tensor,
				const uint32_t *zero_runs)
{
	const struct efs_catalog_header *header = catalog->header;
	const char *fault;

	if (tensor->reserved)
		return "a reserved field is not zero";
	if (!string_ok(catalog, tensor->name))
		return "its name lies outside the strings";
	if (tensor->shard >= header->shard_count)
		return "its source file does not exist";
	if (!efs_dtype_size(tensor->source_dtype))
		return "its dtype is unknown";
	if (tensor->rank > EFS_RANK_MAX || tensor->first_dim > header->dim_count ||
	    tensor->rank > header->dim_count - tensor->first_dim)
		return "its shape lies outside the array";
	fault = quantization_fault(catalog, tensor, zero_runs);
	return fault ? fault : data_fault(catalog, tensor);
}

/*
 * For each parameter the number of those from it on, without a gap, whose zero point is 0: tensors
 * may share parameters, and yet each is looked at only once.
 */
static uint32_t *find_zero_runs(const struct catalog *catalog)
{
	uint32_t count = catalog->header->param_count;
	uint32_t *runs = malloc(((size_t)count + 1) * sizeof(*runs));

	if (!runs)
		return NULL;
	runs[count] = 0;
	for (uint32_t i = count; i--;)
		runs[i] = catalog->params[i].zero_point ? 0 : runs[i + 1] + 1;
	return runs;
}

static int check_each_tensor(const struct catalog *catalog, const uint32_t *zero_runs,
			     struct image_diag *diag)
{
	for (uint32_t i = 0; i < catalog->header->tensor_count; i++) {
		const char *fault = tensor_fault(catalog, &catalog->tensors[i], zero_runs);

		if (fault)
			return image_fail(diag, -EUCLEAN, "catalog: tensor %u: %s", i, fault);
	}
	return 0;
}

int efs_catalog_check_tensors(const struct catalog *catalog, struct image_diag *diag)
{
	const struct efs_catalog_header *header = catalog->header;
	uint32_t *zero_runs;
	int err;

	for (uint32_t i = 0; i < header->shard_count; i++)
		if (!string_ok(catalog, catalog->shards[i]))
			return image_fail(diag, -EUCLEAN,
					  "catalog: shard %u: its name lies outside the strings",
					  i);
	for (uint32_t i = 0; i < header->param_count; i++)
		if (!isfinite(catalog->params[i].scale))
			return image_fail(diag, -EUCLEAN,
					  "catalog: parameter %u: its scale is not finite", i);
	zero_runs = find_zero_runs(catalog);
	if (!zero_runs)
		return image_fail(diag, -ENOMEM, "out of memory");
	err = check_each_tensor(catalog, zero_runs, diag);
	free(zero_runs);
	return err;
}
