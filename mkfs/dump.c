/* SPDX-License-Identifier: MIT */
/* dump.c - the figures behind all outputs of dump.entrofs; see dump.h. */
#include "mkfs/dump.h"

#include "mkfs/dtype.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const struct dump_group dump_groups[DUMP_GROUPS] = {{8, "uint8"}, {4, "uint4"}, {0, "kept"}};

int dump_init(struct dump *dump, const char *path, struct image *image)
{
	*dump = (struct dump){.path = path, .image = image};
	dump->before_stream =
	    calloc(image_catalog(image)->stream_count + 1u, sizeof(*dump->before_stream));
	if (!dump->before_stream)
		return -ENOMEM;
	image_space(image, &dump->space, dump->before_stream);
	return 0;
}

void dump_free(struct dump *dump)
{
	free(dump->before_stream);
	dump->before_stream = NULL;
}

/* An image may claim more than 2^64 of something: tensors may share streams. */
static void add(uint64_t *sum, uint64_t more)
{
	if (__builtin_add_overflow(*sum, more, sum))
		*sum = UINT64_MAX;
}

int dump_contents(const struct dump *dump, struct dump_contents *contents)
{
	static const char views[] = "quantized";
	uint32_t count = image_catalog(dump->image)->node_count;
	int64_t folder = image_lookup(dump->image, 0, views, sizeof(views) - 1);
	uint8_t *below = calloc(count, 1); /* that folder */

	*contents = (struct dump_contents){0};
	if (!below)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		const struct efs_node *node = image_node(dump->image, i);

		/* A node comes after its parent. */
		below[i] = i == folder || below[node->parent];
		contents->files += node->type == EFS_FILE;
		contents->folders += node->type != EFS_FILE;
		if (node->type == EFS_FILE && !below[i])
			add(&contents->sidecar_bytes, node->size);
	}
	free(below);
	return 0;
}

struct dump_cost dump_cost(const struct dump *dump, const struct efs_tensor *tensor)
{
	struct dump_cost cost = {0};

	for (uint32_t i = 0; i < tensor->stream_count; i++) {
		uint32_t number = tensor->first_stream + i;
		const struct efs_stream *stream = image_stream(dump->image, number);

		cost.payload += stream->stored_size;
		cost.index += stream->index.stored_size;
		cost.padding += dump->before_stream[number];
	}
	return cost;
}

uint64_t dump_stored(struct dump_cost cost)
{
	return cost.payload + cost.index + cost.padding;
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

uint64_t dump_source_size(const struct image *image, const struct efs_tensor *tensor)
{
	uint64_t size;

	if (__builtin_mul_overflow(dump_weights(image, tensor),
				   dtype_by_code(tensor->source_dtype)->size, &size))
		return UINT64_MAX;
	return size;
}

unsigned dump_table_count(const struct image *image, const struct efs_tensor *tensor)
{
	unsigned count = 0;

	for (uint32_t i = 0; i < tensor->stream_count; i++)
		count += image_stream(image, tensor->first_stream + i)->table_count;
	return count;
}

void dump_totals_add(struct dump_totals *totals, const struct dump *dump,
		     const struct efs_tensor *tensor)
{
	uint64_t weights = dump_weights(dump->image, tensor);

	totals->tensors++;
	add(&totals->weights, weights);
	add(&totals->source, dump_source_size(dump->image, tensor));
	add(&totals->raw, image_node(dump->image, tensor->node)->size);
	add(&totals->stored, dump_stored(dump_cost(dump, tensor)));
	totals->entropy += tensor->entropy * (double)weights;
}

struct dump_totals dump_totals(const struct dump *dump, uint8_t bits)
{
	struct dump_totals totals = {0};

	for (uint32_t i = 0; i < image_catalog(dump->image)->tensor_count; i++) {
		const struct efs_tensor *tensor = image_tensor(dump->image, i);

		if (tensor->bits == bits)
			dump_totals_add(&totals, dump, tensor);
	}
	return totals;
}

double dump_bits_per_weight(uint64_t stored, uint64_t weights)
{
	return weights ? (double)stored * 8 / (double)weights : 0;
}

void dump_blocks(const struct image *image, uint32_t stream, struct dump_blocks *blocks)
{
	uint64_t count = image_block_count(image, stream);

	*blocks = (struct dump_blocks){0};
	for (uint64_t i = 0; i < count; i++) {
		struct image_block block = image_block(image, stream, i);

		blocks->raw += block.kind == EFS_BLOCK_RAW;
		blocks->constant += block.kind == EFS_BLOCK_CONSTANT;
		if (block.kind != EFS_BLOCK_CODED)
			continue;
		blocks->coded++;
		blocks->by_table[block.argument]++;
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

static int compare_ranks(const void *a, const void *b)
{
	const struct dump_ranked *left = a, *right = b;

	if (left->stored != right->stored)
		return left->stored < right->stored ? 1 : -1;
	return (left->number > right->number) - (left->number < right->number);
}

void dump_rank(struct dump_ranked *things, size_t count)
{
	qsort(things, count, sizeof(*things), compare_ranks);
}
