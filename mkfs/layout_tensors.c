/* SPDX-License-Identifier: MIT */
/*
 * layout_tensors.c - the layout of safetensors and GGUF files, from their headers.
 *
 * A header that is damaged, or larger than what is parsed, is no error here: the file is kept as it
 * is, whatever it is.
 */
#include "mkfs/layout_build.h"

#include "mkfs/cli.h"
#include "mkfs/gguf_file.h"
#include "mkfs/layout_measure.h"

#include <stdlib.h>
#include <string.h>

enum {
	PIECES = 16,        /* of a sample, from all over the region */
	SMALLEST = 4 << 10, /* bytes that are worth streams of their own */
	PLANE_COST = 160,   /* bytes of catalog and index, about */
};

/* Reads pieces of [begin, end), each of whole records, one behind the other: their size, or -1. */
static int64_t read_sample(const struct layout_build *build, unsigned unit, uint64_t begin,
			   uint64_t end)
{
	uint64_t records = (end - begin) / unit, most = LAYOUT_SAMPLE / unit;
	uint64_t each = most / PIECES ? most / PIECES : 1;
	size_t size = 0;

	if (records <= most)
		return source_read(build->file, begin, build->sample, (size_t)(records * unit))
			   ? -1
			   : (int64_t)(records * unit);
	for (uint64_t i = 0; i < PIECES; i++) {
		uint64_t first = i * (records - each) / (PIECES - 1);

		if (source_read(build->file, begin + first * unit, build->sample + size,
				(size_t)(each * unit)))
			return -1;
		size += (size_t)(each * unit);
	}
	return (int64_t)size;
}

/* What a region would come to. */
static double cost_of(const struct layout_build *build, const struct planes *planes, size_t sample,
		      uint64_t size)
{
	return layout_cost(planes, build->sample, sample / planes->unit, build->work) *
		   (double)size +
	       planes->count * (double)PLANE_COST;
}

/* The best way to cut what is sampled. */
static struct planes choose(const struct layout_build *build, const struct layout_type *type,
			    size_t sample, uint64_t size)
{
	struct planes best = layout_bytes();
	double least = cost_of(build, &best, sample, size);

	for (unsigned i = 0; type && i < LAYOUT_WAYS && type->ways[i].count; i++) {
		double cost = cost_of(build, &type->ways[i], sample, size);

		if (cost < least) {
			least = cost;
			best = type->ways[i];
		}
	}
	return best;
}

int layout_add_type(struct layout_build *build, const struct layout_type *type, uint64_t end)
{
	unsigned unit = type ? type->ways[0].unit : 1;
	const uint64_t most = LAYOUT_REGION_MAX / unit * unit;

	while (build->end < end) {
		uint64_t size = end - build->end < most ? end - build->end : most;
		int64_t sample =
		    size < SMALLEST ? 0 : read_sample(build, unit, build->end, build->end + size);
		if (sample < 0)
			return -1;
		struct planes best = choose(build, type, (size_t)sample, size);
		if (size < SMALLEST ? layout_add_text(build, build->end + size)
				    : layout_add_records(build, &best, build->end + size))
			return -1;
	}
	return 0;
}

/* --- safetensors ------------------------------------------------------------------------------ */

/* Neighbours of one dtype are one run. */
static int add_safetensors(struct layout_build *build, const struct safetensors *header,
			   uint64_t data)
{
	if (layout_add_text(build, data))
		return -1;
	for (size_t i = 0; i < header->tensor_count;) {
		const struct dtype *dtype = header->tensors[i].dtype;
		uint64_t end = data;

		for (; i < header->tensor_count && header->tensors[i].dtype == dtype; i++)
			end = data + header->tensors[i].offset + header->tensors[i].size;
		if (layout_add_type(build, layout_of_dtype(dtype->code), end))
			return -1;
	}
	return 0;
}

/* 1: not such a file. */
static int try_safetensors(struct layout_build *build, uint64_t file_size)
{
	struct safetensors header;
	struct image_diag diag;
	uint64_t size;

	if (file_size < SAFETENSORS_PREFIX + 2)
		return 1;
	if (source_read(build->file, 0, &size, sizeof size))
		return -1;
	if (size < 2 || size > SAFETENSORS_HEADER_MAX || size > file_size - SAFETENSORS_PREFIX)
		return 1;
	char *text = malloc(size);
	if (!text)
		return 1;
	int result = source_read(build->file, SAFETENSORS_PREFIX, text, size);
	uint64_t data = SAFETENSORS_PREFIX + size;
	if (!result && safetensors_parse(text, size, file_size - data, &header, &diag))
		result = 1;
	free(text);
	if (result)
		return result;
	result = add_safetensors(build, &header, data);
	safetensors_free(&header);
	return result;
}

/* --- GGUF ------------------------------------------------------------------------------------- */

static int compare_offsets(const void *a, const void *b)
{
	const struct gguf_tensor *left = a, *right = b;

	return (left->offset > right->offset) - (left->offset < right->offset);
}

/* Neighbours of one type are one run, gaps are text; what overlaps something is not looked at. */
static int add_gguf(struct layout_build *build, struct gguf *header)
{
	if (header->tensor_count)
		qsort(header->tensors, header->tensor_count, sizeof *header->tensors,
		      compare_offsets);
	for (size_t i = 0; i < header->tensor_count;) {
		const struct gguf_type *type = header->tensors[i].type;
		uint64_t begin = header->data_offset + header->tensors[i].offset, end = begin;

		for (; i < header->tensor_count && header->tensors[i].type == type &&
		       header->data_offset + header->tensors[i].offset == end;
		     i++)
			end += header->tensors[i].size;
		if (begin < build->end || end == begin)
			continue;
		if (layout_add_text(build, begin) ||
		    layout_add_type(build, layout_of_gguf_type(type->id), end))
			return -1;
	}
	return 0;
}

/* 1: not such a file. */
static int try_gguf(struct layout_build *build, uint64_t file_size)
{
	struct gguf header;
	struct image_diag diag;
	uint8_t *bytes = NULL;
	char magic[4];

	if (file_size < GGUF_PREFIX)
		return 1;
	if (source_read(build->file, 0, magic, sizeof magic))
		return -1;
	if (memcmp(magic, "GGUF", sizeof magic) != 0)
		return 1;
	int parsed = gguf_read_file(build->file, &bytes, &header, &diag), result = 1;
	if (parsed == GGUF_UNREADABLE) {
		result = -1;
	} else if (parsed == 0) {
		result = add_gguf(build, &header);
		gguf_free(&header);
	}
	free(bytes);
	return result;
}

int layout_add_tensors(struct layout_build *build)
{
	uint64_t size = (uint64_t)build->file->stat.st_size;
	int result = try_gguf(build, size);

	if (result > 0)
		result = try_safetensors(build, size);
	/* What is behind the data of a GGUF file may be anything. */
	return result ? result : layout_add_unknown(build, size);
}
