/* SPDX-License-Identifier: MIT */
/* dump.c - the figures behind both outputs of dump.entrofs; see dump.h. */
#include "mkfs/dump.h"

#include <string.h>

uint64_t dump_stored_size(const struct dump *dump, const struct efs_tensor *tensor)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < tensor->stream_count; i++) {
		uint32_t number = tensor->first_stream + i;
		const struct efs_stream *stream = image_stream(dump->image, number);

		sum +=
		    stream->stored_size + stream->index.stored_size + dump->before_stream[number];
	}
	return sum;
}

uint64_t dump_weights(const struct image *image, const struct efs_tensor *tensor)
{
	const uint64_t *dims = image_dims(image, tensor);
	uint64_t count = 1;

	/* The reader has checked that the product, times the weight's size, is a stream's size; but
	 * that holds for an empty tensor whatever its other dimensions are. */
	for (unsigned i = 0; i < tensor->rank; i++)
		if (!dims[i])
			return 0;
	for (unsigned i = 0; i < tensor->rank; i++)
		count *= dims[i];
	return count;
}

unsigned dump_table_count(const struct image *image, const struct efs_tensor *tensor)
{
	unsigned count = 0;

	for (uint32_t i = 0; i < tensor->stream_count; i++)
		count += image_stream(image, tensor->first_stream + i)->table_count;
	return count;
}

struct dump_totals dump_totals(const struct dump *dump, uint8_t bits)
{
	struct dump_totals totals = {0};

	for (uint32_t i = 0; i < image_catalog(dump->image)->tensor_count; i++) {
		const struct efs_tensor *tensor = image_tensor(dump->image, i);

		if (tensor->bits != bits)
			continue;
		totals.tensors++;
		totals.weights += dump_weights(dump->image, tensor);
		totals.raw += image_node(dump->image, tensor->node)->size;
		totals.stored += dump_stored_size(dump, tensor);
	}
	return totals;
}

double dump_bits_per_weight(uint64_t stored, uint64_t weights)
{
	return weights ? (double)stored * 8 / (double)weights : 0;
}

struct dump_blocks dump_blocks(const struct dump *dump, uint32_t stream)
{
	struct dump_blocks blocks = {0};
	uint64_t count = image_block_count(dump->image, stream);

	for (uint64_t i = 0; i < count; i++) {
		uint8_t kind = image_block(dump->image, stream, i).kind;

		blocks.raw += kind == EFS_BLOCK_RAW;
		blocks.coded += kind == EFS_BLOCK_CODED;
		blocks.constant += kind == EFS_BLOCK_CONSTANT;
	}
	return blocks;
}

void dump_table_blocks(const struct dump *dump, uint32_t stream, uint64_t counts[EFS_TABLES_MAX])
{
	uint64_t count = image_block_count(dump->image, stream);

	memset(counts, 0, EFS_TABLES_MAX * sizeof(*counts));
	for (uint64_t i = 0; i < count; i++) {
		struct image_block block = image_block(dump->image, stream, i);

		if (block.kind == EFS_BLOCK_CODED)
			counts[block.argument]++;
	}
}

void dump_lengths(const struct codec_table *table, unsigned counts[DUMP_LENGTHS])
{
	memset(counts, 0, DUMP_LENGTHS * sizeof(*counts));
	for (unsigned i = 0; i < CODEC_SYMBOLS; i++) {
		unsigned bits = table->code[i] >> 4, depth = table->code[i] & 15;

		if (table->code[i] != CODEC_ABSENT)
			counts[bits + depth]++;
	}
}

const char *dump_scheme(uint8_t scheme)
{
	static const char *const names[] = {"kept", "unsigned", "asymmetric", "constant"};

	return names[scheme];
}
