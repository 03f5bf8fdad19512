/* SPDX-License-Identifier: MIT */
/*
 * report.c - what packing came to; see report.h.
 */
#include "mkfs/report.h"

#include "mkfs/cli.h"
#include "mkfs/json.h"
#include "mkfs/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes, but for the weights. */
struct totals {
	uint64_t source;           /* all files of the model */
	uint64_t plain;            /* the same content quantized, but not coded */
	uint64_t weights;          /* of all tensors */
	uint64_t quantized;        /* weights of quantized tensors */
	uint64_t quantized_stored; /* payload, index and padding of quantized tensors */
	uint64_t quantized_floor;  /* their bytes' entropy */
	uint64_t payload, index, padding, blobs;
	int bits; /* of all quantized tensors, or 0: not all alike */
};

static uint64_t stored_size(const struct encoded_tensor *result)
{
	return result->cost.payload + result->cost.index + result->cost.padding;
}

static struct totals add_up(const struct packed *packed)
{
	struct totals sum = {.source = source_size(packed->source)};
	double floor = 0;

	for (size_t i = 0; i < packed->tensor_count; i++) {
		const struct encoded_tensor *result = &packed->tensors[i].result;
		uint64_t count = packed->tensors[i].source->info.count;
		sum.plain += result->raw_size;
		sum.weights += count;
		sum.payload += result->cost.payload;
		sum.index += result->cost.index;
		sum.padding += result->cost.padding;
		if (!result->bits)
			continue;
		sum.bits = !sum.quantized || sum.bits == result->bits ? result->bits : 0;
		sum.quantized += count;
		sum.quantized_stored += stored_size(result);
		floor += result->byte_entropy * (double)result->raw_size / 8.0;
	}
	for (size_t i = 0; i < packed->source->sidecar_count; i++)
		sum.plain += packed->blobs[i].size;
	for (size_t i = 0; i < packed->blob_count; i++)
		sum.blobs += packed->blobs[i].stored_size;
	sum.padding += packed->overhead.padding;
	sum.quantized_floor = (uint64_t)floor;
	return sum;
}

static double ratio(double part, double whole)
{
	return whole > 0 ? part / whole : 0.0;
}

static const char *plural(size_t count)
{
	return count == 1 ? "" : "s";
}

static void print_row(const char *label, uint64_t bytes, uint64_t of)
{
	char size[CLI_SIZE_TEXT];
	printf("  %-22s %12s %16llu B", label, cli_size(bytes, size), (unsigned long long)bytes);
	if (of)
		printf("  %5.1f %%", 100.0 * ratio((double)bytes, (double)of));
	printf("\n");
}

static void print_tensor(const struct packed_tensor *tensor)
{
	const struct encoded_tensor *result = &tensor->result;
	const struct safetensor *info = &tensor->source->info;
	uint64_t stored = stored_size(result);
	char bits[16], size[CLI_SIZE_TEXT];
	char *name =
	    names_show((struct image_name){info->name, strlen(info->name)}, NAMES_FOR_TERMINAL);

	if (result->bits)
		snprintf(bits, sizeof bits, "u%d", result->bits);
	else
		snprintf(bits, sizeof bits, "kept");
	printf("%-4s %-8s %12llu %10s %8.3f %6u %8.3f", bits, info->dtype->name,
	       (unsigned long long)info->count, cli_size(stored, size), result->entropy,
	       result->tables, 8.0 * ratio((double)stored, (double)info->count));
	if (result->bits)
		printf(" %7.2f %10.3g", result->sqnr, result->max_error);
	else
		printf(" %7s %10s", "-", "-");
	printf("  %s\n", name ? name : "?");
	free(name);
}

void report_print(const struct packed *packed, const char *target, double seconds, int verbose)
{
	const struct totals sum = add_up(packed);
	const struct image_overhead *overhead = &packed->overhead;
	uint64_t image = overhead->image_size;
	char size[CLI_SIZE_TEXT];

	if (verbose) {
		printf("%-4s %-8s %12s %10s %8s %6s %8s %7s %10s  %s\n", "as", "dtype", "weights",
		       "stored", "entropy", "tables", "bits", "SQNR dB", "max error", "tensor");
		for (size_t i = 0; i < packed->tensor_count; i++)
			print_tensor(&packed->tensors[i]);
		printf("\n");
	}
	printf("%s: %zu tensor%s, %llu weights, %zu sidecar%s\n", target, packed->tensor_count,
	       plural(packed->tensor_count), (unsigned long long)sum.weights,
	       packed->source->sidecar_count, plural(packed->source->sidecar_count));
	print_row("source", sum.source, 0);
	print_row(sum.bits == 8   ? "plain uint8"
		  : sum.bits == 4 ? "plain uint4"
				  : "plain, not coded",
		  sum.plain, sum.source);
	print_row("image", image, sum.source);
	if (verbose) {
		print_row("  tensors", sum.payload, image);
		print_row("  tables, index", sum.index, image);
		print_row("  sidecars, headers", sum.blobs, image);
		print_row("  catalog", overhead->catalog, image);
		print_row("  hash tree", overhead->hash_tree, image);
		print_row("  superblock, padding", overhead->superblock + sum.padding, image);
	}
	if (sum.quantized)
		printf(
		    "  %.3f bits per quantized weight (entropy %.3f), tables, index, checksums and "
		    "padding included\n",
		    8.0 * ratio((double)sum.quantized_stored, (double)sum.quantized),
		    8.0 * ratio((double)sum.quantized_floor, (double)sum.quantized));
	printf("  %.3f bits per weight for the whole image\n",
	       8.0 * ratio((double)image, (double)sum.weights));
	printf("  %.1f s, %s/s of source\n", seconds,
	       cli_size((uint64_t)ratio((double)sum.source, seconds), size));
}

static void add_tensor(struct text *text, const struct packed_tensor *tensor)
{
	const struct encoded_tensor *result = &tensor->result;
	const struct safetensor *info = &tensor->source->info;
	static const char *const schemes[] = {"null", "\"unsigned\"", "\"asymmetric\"",
					      "\"constant\""};

	text_add(text, "{\"name\": ");
	text_add_string(text, info->name);
	text_add(text, ", \"dtype\": \"%s\", \"shape\": ", info->dtype->name);
	text_add_dims(text, info->dims, info->rank);
	text_add(text, ", \"weights\": %llu, ", (unsigned long long)info->count);
	if (result->bits)
		text_add(text, "\"bits\": %d, ", result->bits);
	else
		text_add(text, "\"bits\": null, ");
	text_add(text, "\"scheme\": %s, ", schemes[result->bits ? result->params.scheme : 0]);
	if (result->bits) {
		text_add(text, "\"scale\": ");
		text_add_float(text, result->params.scale);
		text_add(text, ", \"zero_point\": %d, \"sqnr_db\": ", result->params.zero_point);
		text_add_figure(text, result->sqnr, 6);
		text_add(text, ", \"max_error\": ");
		text_add_figure(text, result->max_error, 6);
		text_add(text, ", ");
	}
	text_add(text, "\"entropy_bits\": ");
	text_add_figure(text, result->entropy, 8);
	text_add(text, ", \"bits_per_weight\": ");
	text_add_figure(text, 8.0 * ratio((double)stored_size(result), (double)info->count), 8);
	text_add(text,
		 ", \"tables\": %u, \"source_bytes\": %llu, \"plain_bytes\": %llu, "
		 "\"stored_bytes\": %llu, "
		 "\"payload\": %llu, \"index\": %llu, \"padding\": %llu}",
		 result->tables, (unsigned long long)info->size,
		 (unsigned long long)result->raw_size, (unsigned long long)stored_size(result),
		 (unsigned long long)result->cost.payload, (unsigned long long)result->cost.index,
		 (unsigned long long)result->cost.padding);
}

static void add_totals(struct text *text, const struct packed *packed, const struct totals *sum)
{
	const struct image_overhead *overhead = &packed->overhead;

	text_add(text,
		 "\"source_bytes\": %llu, \"plain_bytes\": %llu, \"image_bytes\": %llu,\n"
		 "\"weights\": %llu, \"quantized_weights\": %llu,\n",
		 (unsigned long long)sum->source, (unsigned long long)sum->plain,
		 (unsigned long long)overhead->image_size, (unsigned long long)sum->weights,
		 (unsigned long long)sum->quantized);
	text_add(text, "\"quantized_stored_bytes\": %llu, \"quantized_entropy_bytes\": %llu,\n",
		 (unsigned long long)sum->quantized_stored,
		 (unsigned long long)sum->quantized_floor);
	text_add(text, "\"bits_per_quantized_weight\": ");
	text_add_figure(text, 8.0 * ratio((double)sum->quantized_stored, (double)sum->quantized),
			8);
	text_add(text, ", \"bits_per_weight\": ");
	text_add_figure(text, 8.0 * ratio((double)overhead->image_size, (double)sum->weights), 8);
	text_add(
	    text,
	    ",\n\"stored\": {\"payload\": %llu, \"index\": %llu, \"padding\": %llu, \"blobs\": "
	    "%llu, \"catalog\": %llu, \"hash_tree\": %llu, \"superblock\": %llu},\n",
	    (unsigned long long)sum->payload, (unsigned long long)sum->index,
	    (unsigned long long)sum->padding, (unsigned long long)sum->blobs,
	    (unsigned long long)overhead->catalog, (unsigned long long)overhead->hash_tree,
	    (unsigned long long)overhead->superblock);
	text_add(text, "\"digest\": ");
	text_add_hex(text, overhead->digest, sizeof overhead->digest);
}

int report_json(const struct packed *packed, const char *target, double seconds)
{
	const struct totals sum = add_up(packed);
	struct text text = {0};

	text_add(&text, "{\"format\": 1, \"image\": ");
	text_add_string(&text, target);
	text_add(&text, ",\n");
	add_totals(&text, packed, &sum);
	text_add(&text, ",\n\"seconds\": %.3f,\n\"files\": [", seconds);
	for (size_t i = 0; i < packed->blob_count; i++) {
		text_add(&text, i ? ",\n{\"path\": " : "\n{\"path\": ");
		text_add_string(&text, packed->blobs[i].path);
		text_add(&text, ", \"bytes\": %llu, \"stored_bytes\": %llu}",
			 (unsigned long long)packed->blobs[i].size,
			 (unsigned long long)packed->blobs[i].stored_size);
	}
	text_add(&text, "],\n\"tensors\": [");
	for (size_t i = 0; i < packed->tensor_count; i++) {
		text_add(&text, i ? ",\n" : "\n");
		add_tensor(&text, &packed->tensors[i]);
	}
	text_add(&text, "]}\n");
	if (!text.failed)
		fwrite(text.data, 1, text.size, stdout);
	free(text.data);
	return text.failed ? -1 : 0;
}
