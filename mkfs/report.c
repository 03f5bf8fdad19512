/* SPDX-License-Identifier: MIT */
/*
 * report.c - what packing came to; see report.h.
 */
#include "mkfs/report.h"

#include "mkfs/cli.h"
#include "mkfs/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t report_stored_size(const struct packed_tensor *tensor)
{
	const struct image_cost *cost = &tensor->result.cost;
	return cost->payload + cost->index + cost->padding;
}

struct report_totals report_totals(const struct packed *packed)
{
	struct report_totals sum = {.source = source_size(packed->source)};
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
		if (result->ggml_type) {
			quant_error_merge(&sum.snapped, &result->error);
			quant_error_merge(&sum.freely, &result->freely);
			sum.types[result->ggml_type]++;
		}
		sum.bits = !sum.quantized || sum.bits == result->bits ? result->bits : 0;
		sum.quantized += count;
		sum.quantized_stored += report_stored_size(&packed->tensors[i]);
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

const char *report_type(unsigned ggml_type)
{
	return ggml_type ? gguf_type_by_id(ggml_type)->name : NULL;
}

double report_ratio(double part, double whole)
{
	return whole > 0 ? part / whole : 0.0;
}

enum report_reason report_reason(const struct packed_tensor *tensor)
{
	if (tensor->plan->bits && !tensor->result.bits)
		return REPORT_RANGE;
	switch (tensor->plan->reason) {
	case PLAN_RULE:
		return REPORT_RULE;
	case PLAN_DTYPE:
		return REPORT_DTYPE;
	case PLAN_SHAPE:
		return REPORT_SHAPE;
	case PLAN_ROW:
		return REPORT_ROW;
	case PLAN_NAME:
		return REPORT_NAME;
	default:
		return REPORT_DEFAULT;
	}
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
		printf("  %5.1f %%", 100.0 * report_ratio((double)bytes, (double)of));
	printf("\n");
}

static const char *stored_as(const struct encoded_tensor *result)
{
	return result->bits == 8 ? "u8" : result->bits == 4 ? "u4" : "kept";
}

/* The name, fit for a terminal; the caller frees. */
static char *shown_name(const struct safetensor *info)
{
	return names_show((struct image_name){info->name, strlen(info->name)}, NAMES_FOR_TERMINAL);
}

static double bits_per_weight(const struct packed_tensor *tensor)
{
	return 8.0 *
	       report_ratio((double)report_stored_size(tensor), (double)tensor->source->info.count);
}

static void print_tensor(const struct packed_tensor *tensor)
{
	const struct encoded_tensor *result = &tensor->result;
	const struct safetensor *info = &tensor->source->info;
	char size[CLI_SIZE_TEXT], *name = shown_name(info);

	printf("%-4s %-8s %12llu %10s %8.3f %6u %8.3f", stored_as(result), info->dtype->name,
	       (unsigned long long)info->count, cli_size(report_stored_size(tensor), size),
	       result->entropy, result->tables, bits_per_weight(tensor));
	if (result->bits)
		printf(" %7.2f %10.3g", result->sqnr, result->max_error);
	else
		printf(" %7s %10s", "-", "-");
	printf("  %s\n", name ? name : "?");
	free(name);
}

static void print_tensors(const struct packed *packed)
{
	printf("%-4s %-8s %12s %10s %8s %6s %8s %7s %10s  %s\n", "as", "dtype", "weights", "stored",
	       "entropy", "tables", "bits", "SQNR dB", "max error", "tensor");
	for (size_t i = 0; i < packed->tensor_count; i++)
		print_tensor(&packed->tensors[i]);
	printf("\n");
}

static void print_reason(const struct packed_tensor *tensor)
{
	const struct rule *rule = tensor->plan->rule;

	switch (report_reason(tensor)) {
	case REPORT_DEFAULT:
		break;
	case REPORT_RULE:
		printf("  (%s '%s')", rule->option, rule->text);
		break;
	case REPORT_DTYPE:
		printf("  (not of floats that are quantized)");
		break;
	case REPORT_SHAPE:
		printf("  (%s)",
		       tensor->source->info.count ? "fewer than two dimensions" : "no elements");
		break;
	case REPORT_ROW:
		printf("  (rows are no multiple of %d)", GGML_BLOCK);
		break;
	case REPORT_NAME:
		printf("  (llama.cpp wants it in float)");
		break;
	case REPORT_RANGE:
		printf("  (no %s scale covers its range)", tensor->plan->blocks ? "F16" : "F32");
		break;
	}
}

enum { SHAPE_TEXT = 21 };

/* "2x3x4"; what does not fit ends in "...". */
static void format_shape(const struct safetensor *info, char text[SHAPE_TEXT])
{
	size_t size = 0;

	snprintf(text, SHAPE_TEXT, "%s", info->rank ? "" : "scalar");
	for (unsigned i = 0; i < info->rank && size < SHAPE_TEXT; i++)
		size += (size_t)snprintf(text + size, SHAPE_TEXT - size, "%s%llu", i ? "x" : "",
					 (unsigned long long)info->dims[i]);
	if (size >= SHAPE_TEXT)
		memcpy(text + SHAPE_TEXT - 4, "...", 4);
}

static void print_plan(const struct packed *packed)
{
	printf("%-4s %-8s %-20s %10s %8s  %s\n", "as", "dtype", "shape", "stored", "bits",
	       "tensor (and why)");
	for (size_t i = 0; i < packed->tensor_count; i++) {
		const struct packed_tensor *tensor = &packed->tensors[i];
		const struct safetensor *info = &tensor->source->info;
		char size[CLI_SIZE_TEXT], shape[SHAPE_TEXT], *name = shown_name(info);

		format_shape(info, shape);
		printf("%-4s %-8s %-20s %10s %8.3f  %s", stored_as(&tensor->result),
		       info->dtype->name, shape, cli_size(report_stored_size(tensor), size),
		       bits_per_weight(tensor), name ? name : "?");
		print_reason(tensor);
		printf("\n");
		free(name);
	}
	printf("\n");
}

static void print_parts(const struct packed *packed, const struct report_totals *sum)
{
	const struct image_overhead *overhead = &packed->overhead;
	uint64_t image = overhead->image_size;

	print_row("  tensors", sum->payload, image);
	print_row("  tables, index", sum->index, image);
	print_row("  sidecars, headers", sum->blobs, image);
	print_row("  catalog", overhead->catalog, image);
	print_row("  hash tree", overhead->hash_tree, image);
	print_row("  superblock, padding", overhead->superblock + sum->padding, image);
}

/* What it costs that blocks of ggml can have the parameters. */
static void print_snapped(const struct report_totals *sum)
{
	static const unsigned types[] = {GGML_Q8_0, GGML_Q4_0, GGML_Q4_1};
	int first = 1;

	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		if (sum->types[types[i]]) {
			printf("%s%llu %s", first ? "  as blocks: " : ", ",
			       (unsigned long long)sum->types[types[i]], report_type(types[i]));
			first = 0;
		}
	}
	if (!first)
		printf("; SQNR %.2f dB, with other scales and zero points %.2f dB\n",
		       quant_sqnr(&sum->snapped), quant_sqnr(&sum->freely));
}

static void print_totals(const struct packed *packed, const struct report_totals *sum,
			 const char *about, int verbose)
{
	uint64_t image = packed->overhead.image_size;

	printf("%s: %zu tensor%s, %llu weights, %zu sidecar%s\n", about, packed->tensor_count,
	       plural(packed->tensor_count), (unsigned long long)sum->weights,
	       packed->source->sidecar_count, plural(packed->source->sidecar_count));
	print_row("source", sum->source, 0);
	print_row(sum->bits == 8   ? "plain uint8"
		  : sum->bits == 4 ? "plain uint4"
				   : "plain, not coded",
		  sum->plain, sum->source);
	print_row(packed->estimated ? "image, estimated" : "image", image, sum->source);
	if (verbose)
		print_parts(packed, sum);
	if (sum->quantized)
		printf(
		    "  %.3f bits per quantized weight (entropy %.3f), tables, index, checksums and "
		    "padding included\n",
		    8.0 * report_ratio((double)sum->quantized_stored, (double)sum->quantized),
		    8.0 * report_ratio((double)sum->quantized_floor, (double)sum->quantized));
	print_snapped(sum);
	printf("  %.3f bits per weight for the whole image\n",
	       8.0 * report_ratio((double)image, (double)sum->weights));
}

void report_print(const struct packed *packed, const char *target, double seconds, int verbose)
{
	const struct report_totals sum = report_totals(packed);
	char size[CLI_SIZE_TEXT];

	if (packed->estimated)
		print_plan(packed);
	else if (verbose)
		print_tensors(packed);
	print_totals(packed, &sum, target, verbose);
	if (packed->estimated)
		printf("  %.1f s; nothing was written\n", seconds);
	else
		printf("  %.1f s, %s/s of source\n", seconds,
		       cli_size((uint64_t)report_ratio((double)sum.source, seconds), size));
}
