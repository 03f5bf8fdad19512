/* SPDX-License-Identifier: MIT */
/* dump_text.c - an image shown to a person; see dump.h. */
#include "image/decoder.h"
#include "mkfs/cli.h"
#include "mkfs/dtype.h"
#include "mkfs/dump.h"
#include "mkfs/names.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHAPE_TEXT = 64 };

static void print_superblock(const struct dump *dump)
{
	const struct efs_superblock *super = image_superblock(dump->image);
	struct image_name generator = {super->generator,
				       strnlen(super->generator, sizeof(super->generator))};
	char *shown = names_show(generator, NAMES_FOR_TERMINAL);
	char size[CLI_SIZE_TEXT];

	printf("image:      %s\n", dump->path);
	printf("format:     %" PRIu32 ", features %#" PRIx64 " (compatible), %#" PRIx64
	       " (incompatible)\n",
	       super->version, super->compatible, super->incompatible);
	printf("made by:    %s\n", shown ? shown : "?");
	printf("digest:     ");
	for (size_t i = 0; i < sizeof(super->digest); i++)
		printf("%02x", super->digest[i]);
	printf("\nsize:       %" PRIu64 " bytes (%s)\n", super->image_size,
	       cli_size(super->image_size, size));
	printf("decoder:    %s\n", image_decoder());
	free(shown);
}

static int print_contents(const struct dump *dump)
{
	const struct efs_catalog_header *catalog = image_catalog(dump->image);
	struct dump_contents contents;

	if (dump_contents(dump, &contents))
		return -1;
	printf("contents:   %" PRIu32 " files, %" PRIu32 " folders, %" PRIu32 " tensors, %" PRIu32
	       " streams, %" PRIu32 " blobs, %" PRIu32 " transcodes\n",
	       contents.files, contents.folders, catalog->tensor_count, catalog->stream_count,
	       catalog->blob_count, catalog->transcode_count);
	return 0;
}

static void print_space_line(const char *what, uint64_t bytes, uint64_t total)
{
	printf("  %-30s %15" PRIu64 " %7.3f %%\n", what, bytes,
	       (double)bytes * 100 / (double)total);
}

static void print_space(const struct dump *dump)
{
	const struct image_space *space = &dump->space;
	uint64_t total = image_superblock(dump->image)->image_size;

	printf("\nspace by kind                              bytes     share\n");
	print_space_line("payload (coded streams)", space->payload, total);
	print_space_line("index (code tables, checksums)", space->index, total);
	print_space_line("padding", space->padding, total);
	print_space_line("blobs (sidecars, headers)", space->blobs, total);
	print_space_line("catalog", space->catalog, total);
	print_space_line("hash tree", space->hash_tree, total);
	print_space_line("superblock", space->superblock, total);
	print_space_line("total",
			 space->payload + space->index + space->padding + space->blobs +
			     space->catalog + space->hash_tree + space->superblock,
			 total);
}

static void print_totals(const struct dump *dump)
{
	printf("\n%-8s %8s %14s %14s %14s %12s\n", "tensors", "number", "weights", "decoded",
	       "stored", "bits/weight");
	for (size_t i = 0; i < DUMP_GROUPS; i++) {
		struct dump_totals totals = dump_totals(dump, dump_groups[i].bits);

		if (totals.tensors)
			printf("%-8s %8" PRIu64 " %14" PRIu64 " %14" PRIu64 " %14" PRIu64
			       " %12.4f\n",
			       dump_groups[i].name, totals.tensors, totals.weights, totals.raw,
			       totals.stored, dump_bits_per_weight(totals.stored, totals.weights));
	}
}

static void format_shape(const struct image *image, const struct efs_tensor *tensor,
			 char text[SHAPE_TEXT])
{
	size_t at = 0;

	text[0] = 0;
	for (unsigned i = 0; i < tensor->rank; i++) {
		int put = snprintf(text + at, SHAPE_TEXT - at, "%s%" PRIu64, i ? "x" : "",
				   image_dims(image, tensor)[i]);

		if (put < 0 || (size_t)put >= SHAPE_TEXT - at)
			break;
		at += (size_t)put;
	}
	if (!tensor->rank)
		snprintf(text, SHAPE_TEXT, "scalar");
}

/* Figures of quantization; a kept tensor has none. */
static void print_quantization(const struct image *image, const struct efs_tensor *tensor)
{
	const struct efs_param *params = image_params(image, tensor);

	if (!tensor->bits) {
		printf(" %13s %6s %9s %12s", "-", "-", "-", "-");
		return;
	}
	if (tensor->param_count == 1)
		printf(" %13.6g %6" PRId32, (double)params->scale, params->zero_point);
	else
		printf(" %13s %6s", "per row", "");
	printf(" %9.3f %12.5g", tensor->sqnr, tensor->max_error);
}

static int print_tensor(const struct dump *dump, const struct efs_tensor *tensor)
{
	char *name = names_show(image_string(dump->image, tensor->name), NAMES_FOR_TERMINAL);
	uint64_t stored = dump_stored(dump_cost(dump, tensor));
	char shape[SHAPE_TEXT], bits[8] = "-";

	if (!name)
		return -1;
	format_shape(dump->image, tensor, shape);
	if (tensor->bits)
		snprintf(bits, sizeof(bits), "%u", tensor->bits);
	printf("%-7s %-18s %4s %-10s %9.4f %6u %13" PRIu64 " %11.4f",
	       dtype_by_code(tensor->source_dtype)->name, shape, bits, dump_scheme(tensor->scheme),
	       tensor->entropy, dump_table_count(dump->image, tensor), stored,
	       dump_bits_per_weight(stored, dump_weights(dump->image, tensor)));
	print_quantization(dump->image, tensor);
	printf("  %s\n", name);
	free(name);
	return 0;
}

static int print_tensors(const struct dump *dump)
{
	uint32_t count = image_catalog(dump->image)->tensor_count;

	if (!count)
		return 0;
	printf("\n%-7s %-18s %4s %-10s %9s %6s %13s %11s %13s %6s %9s %12s  %s\n", "dtype", "shape",
	       "bits", "scheme", "entropy", "tables", "stored", "bits/weight", "scale", "zero",
	       "SQNR dB", "max error", "tensor");
	for (uint32_t i = 0; i < count; i++)
		if (print_tensor(dump, image_tensor(dump->image, i)))
			return -1;
	return 0;
}

static void print_table(const struct dump *dump, uint32_t stream, uint32_t table, uint64_t blocks)
{
	unsigned counts[DUMP_LENGTHS], symbols = 0;

	dump_lengths(image_table(dump->image, stream, table), counts);
	for (unsigned i = 0; i < DUMP_LENGTHS; i++)
		symbols += counts[i];
	printf("  table %-3" PRIu32 " %7" PRIu64 " blocks, %3u symbols; codes of each length:",
	       table, blocks, symbols);
	for (unsigned i = 0; i < DUMP_LENGTHS; i++)
		if (counts[i])
			printf("  %u bits: %u", i, counts[i]);
	putchar('\n');
}

static int print_streams(const struct dump *dump)
{
	for (uint32_t i = 0; i < image_catalog(dump->image)->stream_count; i++) {
		const struct efs_stream *stream = image_stream(dump->image, i);
		struct dump_blocks blocks;

		if (image_hold_index(dump->image, i, NULL))
			return -1;
		dump_blocks(dump->image, i, &blocks);
		printf("\nstream %" PRIu32 " at byte %" PRIu64 ": %" PRIu64
		       " bytes, stored in %" PRIu64 ", index %" PRIu64 ", gap before it %" PRIu64
		       "\n",
		       i, stream->offset, stream->raw_size, stream->stored_size,
		       stream->index.stored_size, dump->before_stream[i]);
		printf("  blocks of %u KiB: %" PRIu64 " coded, %" PRIu64 " raw, %" PRIu64
		       " constant\n",
		       (1u << stream->block_log2) >> 10, blocks.coded, blocks.raw, blocks.constant);
		for (uint32_t table = 0; table < stream->table_count; table++)
			print_table(dump, i, table, blocks.by_table[table]);
		image_release_index(dump->image, i);
	}
	return 0;
}

int dump_text(const struct dump *dump)
{
	print_superblock(dump);
	if (print_contents(dump))
		return -1;
	print_space(dump);
	print_totals(dump);
	if (print_tensors(dump))
		return -1;
	return dump->tables ? print_streams(dump) : 0;
}
