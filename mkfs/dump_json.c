/* SPDX-License-Identifier: MIT */
/*
 * dump_json.c - an image shown to a program; see dump.h.
 *
 * Keys may be added but never change their meaning. Each tensor and stream is one line, written as
 * soon as it is complete.
 */
#include "mkfs/dump_json.h"

#include "image/decoder.h"
#include "mkfs/dtype.h"
#include "mkfs/names.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Writes the text and empties it. */
static int flush(struct text *text)
{
	int bad = text->failed || (text->size && fwrite(text->data, text->size, 1, stdout) != 1);

	text->size = 0;
	return bad ? -1 : 0;
}

static void add_name(struct text *text, const char *key, char *name)
{
	if (!name) {
		text->failed = 1;
		return;
	}
	text_add(text, "\"%s\": ", key);
	text_add_string(text, name);
	text_add(text, ", ");
	free(name);
}

static void add_superblock(struct text *text, const struct dump *dump)
{
	const struct efs_superblock *super = image_superblock(dump->image);
	struct image_name generator = {super->generator,
				       strnlen(super->generator, sizeof(super->generator))};

	text_add(text,
		 "{\n\"version\": \"" ENTROFS_VERSION
		 "\",\n\"decoder\": \"%s\",\n\"format\": %" PRIu32 ",\n\"superblock\": {",
		 image_decoder(), super->version);
	add_name(text, "generator", names_show(generator, NAMES_FOR_JSON));
	text_add(text,
		 "\"image_size\": %" PRIu64 ", \"compatible\": %" PRIu64
		 ", \"incompatible\": %" PRIu64 ", \"catalog_offset\": %" PRIu64
		 ", \"hash_offset\": %" PRIu64 ", \"hash_root\": ",
		 super->image_size, super->compatible, super->incompatible, super->catalog.offset,
		 super->hash_offset);
	text_add_hex(text, super->hash_root, sizeof(super->hash_root));
	text_add(text, ", \"digest\": ");
	text_add_hex(text, super->digest, sizeof(super->digest));
	text_add(text, "},\n");
}

void dump_json_contents(struct text *text, const struct dump *dump)
{
	const struct efs_catalog_header *catalog = image_catalog(dump->image);
	struct dump_contents contents;

	if (dump_contents(dump, &contents))
		text->failed = 1;
	text_add(text,
		 "\"contents\": {\"files\": %" PRIu32 ", \"folders\": %" PRIu32
		 ", \"tensors\": %" PRIu32 ", \"streams\": %" PRIu32 ", \"blobs\": %" PRIu32
		 ", \"transcodes\": %" PRIu32 ", \"sidecar_bytes\": %" PRIu64 "},\n",
		 contents.files, contents.folders, catalog->tensor_count, catalog->stream_count,
		 catalog->blob_count, catalog->transcode_count, contents.sidecar_bytes);
}

void dump_json_space(struct text *text, const struct dump *dump)
{
	const struct image_space *space = &dump->space;

	text_add(text,
		 "\"space\": {\"payload\": %" PRIu64 ", \"index\": %" PRIu64
		 ", \"padding\": %" PRIu64 ", \"blobs\": %" PRIu64 ", \"catalog\": %" PRIu64
		 ", \"hash_tree\": %" PRIu64 ", \"superblock\": %" PRIu64 ", \"total\": %" PRIu64
		 "},\n",
		 space->payload, space->index, space->padding, space->blobs, space->catalog,
		 space->hash_tree, space->superblock, image_superblock(dump->image)->image_size);
}

void dump_json_totals(struct text *text, const struct dump *dump)
{
	text_add(text, "\"totals\": {");
	for (size_t i = 0; i < DUMP_GROUPS; i++) {
		struct dump_totals totals = dump_totals(dump, dump_groups[i].bits);

		text_add(text,
			 "%s\"%s\": {\"tensors\": %" PRIu64 ", \"weights\": %" PRIu64
			 ", \"source_bytes\": %" PRIu64 ", \"raw_bytes\": %" PRIu64
			 ", \"stored_bytes\": %" PRIu64 ", \"bits_per_weight\": ",
			 i ? ",\n" : "", dump_groups[i].name, totals.tensors, totals.weights,
			 totals.source, totals.raw, totals.stored);
		text_add_figure(text, dump_bits_per_weight(totals.stored, totals.weights),
				DUMP_FIGURES);
		text_add(text, ", \"entropy_bits\": ");
		text_add_figure(text, totals.weights ? totals.entropy / (double)totals.weights : 0,
				DUMP_FIGURES);
		text_add(text, "}");
	}
	text_add(text, "},\n");
}

/* scale and zero_point: a number each, an array of numbers per row, or null. */
static void add_params(struct text *text, const struct image *image,
		       const struct efs_tensor *tensor)
{
	const struct efs_param *params = image_params(image, tensor);

	if (!tensor->param_count) {
		text_add(text, "\"scale\": null, \"zero_point\": null, ");
		return;
	}
	text_add(text, "\"scale\": %s", tensor->param_count > 1 ? "[" : "");
	for (uint32_t i = 0; i < tensor->param_count; i++) {
		text_add(text, "%s", i ? ", " : "");
		text_add_float(text, params[i].scale);
	}
	text_add(text, "%s, \"zero_point\": %s", tensor->param_count > 1 ? "]" : "",
		 tensor->param_count > 1 ? "[" : "");
	for (uint32_t i = 0; i < tensor->param_count; i++)
		text_add(text, "%s%" PRId32, i ? ", " : "", params[i].zero_point);
	text_add(text, "%s, ", tensor->param_count > 1 ? "]" : "");
}

static void add_sizes(struct text *text, const struct dump *dump, const struct efs_tensor *tensor)
{
	struct dump_cost cost = dump_cost(dump, tensor);
	uint64_t stored = dump_stored(cost), weights = dump_weights(dump->image, tensor);

	text_add(text,
		 "\"weights\": %" PRIu64 ", \"source_bytes\": %" PRIu64 ", \"raw_bytes\": %" PRIu64
		 ", \"stored_bytes\": %" PRIu64 ", \"payload\": %" PRIu64 ", \"index\": %" PRIu64
		 ", \"padding\": %" PRIu64 ", \"bits_per_weight\": ",
		 weights, dump_source_size(dump->image, tensor),
		 image_node(dump->image, tensor->node)->size, stored, cost.payload, cost.index,
		 cost.padding);
	text_add_figure(text, dump_bits_per_weight(stored, weights), DUMP_FIGURES);
}

static void add_tensor(struct text *text, const struct dump *dump, const struct efs_tensor *tensor)
{
	text_add(text, "{");
	add_name(text, "name", names_show(image_string(dump->image, tensor->name), NAMES_FOR_JSON));
	text_add(text, "\"dtype\": \"%s\", \"shape\": ", dtype_by_code(tensor->source_dtype)->name);
	text_add_dims(text, image_dims(dump->image, tensor), tensor->rank);
	text_add(text, ", ");
	add_name(text, "source",
		 names_show(image_shard(dump->image, tensor->shard), NAMES_FOR_JSON));
	add_name(text, "file", names_show_path(dump->image, tensor->node, NAMES_FOR_JSON));
	if (tensor->bits)
		text_add(text, "\"bits\": %u, \"scheme\": \"%s\", ", tensor->bits,
			 dump_scheme(tensor->scheme));
	else
		text_add(text, "\"bits\": null, \"scheme\": null, ");
	add_params(text, dump->image, tensor);
	text_add(text, "\"entropy_bits\": ");
	text_add_figure(text, tensor->entropy, DUMP_FIGURES);
	/* null: no difference at all, so an infinite ratio */
	text_add(text, ", \"sqnr_db\": ");
	text_add_figure(text, tensor->sqnr, DUMP_FIGURES);
	text_add(text, ", \"max_error\": ");
	text_add_figure(text, tensor->max_error, DUMP_FIGURES);
	text_add(text, ", \"stream\": %" PRIu32 ", \"tables\": %u, ", tensor->first_stream,
		 dump_table_count(dump->image, tensor));
	add_sizes(text, dump, tensor);
	text_add(text, ", \"sha256\": ");
	text_add_hex(text, tensor->digest, sizeof(tensor->digest));
	text_add(text, "}");
}

static void add_stream(struct text *text, const struct dump *dump, uint32_t number)
{
	const struct efs_stream *stream = image_stream(dump->image, number);
	struct dump_blocks blocks;
	unsigned counts[DUMP_LENGTHS];

	dump_blocks(dump->image, number, &blocks);
	text_add(text,
		 "{\"offset\": %" PRIu64 ", \"raw_bytes\": %" PRIu64 ", \"payload\": %" PRIu64
		 ", \"index\": %" PRIu64 ", \"padding\": %" PRIu64 ", \"block_size\": %u"
		 ", \"blocks\": {\"coded\": %" PRIu64 ", \"raw\": %" PRIu64
		 ", \"constant\": %" PRIu64 "}, \"tables\": [",
		 stream->offset, stream->raw_size, stream->stored_size, stream->index.stored_size,
		 dump->before_stream[number], 1u << stream->block_log2, blocks.coded, blocks.raw,
		 blocks.constant);
	for (uint32_t table = 0; table < stream->table_count; table++) {
		dump_lengths(image_table(dump->image, number, table), counts);
		text_add(text, "%s[", table ? ", " : "");
		for (unsigned i = 0; i < DUMP_LENGTHS; i++)
			text_add(text, "%s%u", i ? ", " : "", counts[i]);
		text_add(text, "]");
	}
	text_add(text, "], \"table_blocks\": [");
	for (uint32_t table = 0; table < stream->table_count; table++)
		text_add(text, "%s%" PRIu64, table ? ", " : "", blocks.by_table[table]);
	text_add(text, "]}");
}

static int put_all(const struct dump *dump, struct text *text)
{
	const struct efs_catalog_header *catalog = image_catalog(dump->image);

	add_superblock(text, dump);
	dump_json_contents(text, dump);
	dump_json_space(text, dump);
	dump_json_totals(text, dump);
	text_add(text, "\"tensors\": [");
	for (uint32_t i = 0; i < catalog->tensor_count; i++) {
		text_add(text, "%s\n", i ? "," : "");
		add_tensor(text, dump, image_tensor(dump->image, i));
		if (flush(text))
			return -1;
	}
	text_add(text, "\n]");
	if (dump->tables) {
		text_add(text, ",\n\"streams\": [");
		for (uint32_t i = 0; i < catalog->stream_count; i++) {
			text_add(text, "%s\n", i ? "," : "");
			if (image_hold_index(dump->image, i, NULL))
				return -1;
			add_stream(text, dump, i);
			image_release_index(dump->image, i);
			if (flush(text))
				return -1;
		}
		text_add(text, "\n]");
	}
	text_add(text, "\n}\n");
	return flush(text);
}

int dump_json(const struct dump *dump)
{
	struct text text = {0};
	int result = put_all(dump, &text);

	free(text.data);
	return result;
}
