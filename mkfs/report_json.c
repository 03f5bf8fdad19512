/* SPDX-License-Identifier: MIT */
/* report_json.c - what packing came to, as JSON; see report.h. */
#include "mkfs/json.h"
#include "mkfs/names.h"
#include "mkfs/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIGURES = 8, FIGURES_OF_ERROR = 6 }; /* significant digits */

static void add_bits(struct text *text, const char *key, uint64_t bytes, uint64_t weights)
{
	text_add(text, ", \"%s\": ", key);
	text_add_figure(text, 8.0 * report_ratio((double)bytes, (double)weights), FIGURES);
}

static void add_quantization(struct text *text, const struct encoded_tensor *result)
{
	static const char *const schemes[] = {
	    [QUANT_UNSIGNED] = "unsigned",
	    [QUANT_ASYMMETRIC] = "asymmetric",
	    [QUANT_CONSTANT] = "constant",
	};

	if (!result->bits) {
		text_add(text, ", \"bits\": null, \"scheme\": null, \"scale\": null, "
			       "\"zero_point\": null, \"sqnr_db\": null, \"max_error\": null, "
			       "\"ggml_type\": null, \"free_sqnr_db\": null");
		return;
	}
	text_add(text, ", \"bits\": %d, \"scheme\": \"%s\", \"scale\": ", result->bits,
		 schemes[result->params.scheme]);
	text_add_float(text, result->params.scale);
	text_add(text, ", \"zero_point\": %" PRId32 ", \"sqnr_db\": ", result->params.zero_point);
	text_add_figure(text, result->sqnr, FIGURES_OF_ERROR);
	text_add(text, ", \"max_error\": ");
	text_add_figure(text, result->max_error, FIGURES_OF_ERROR);
	if (result->ggml_type) {
		text_add(text, ", \"ggml_type\": \"%s\", \"free_sqnr_db\": ",
			 report_type(result->ggml_type));
		text_add_figure(text, result->freely_sqnr, FIGURES_OF_ERROR);
	} else {
		text_add(text, ", \"ggml_type\": null, \"free_sqnr_db\": null");
	}
}

static void add_reason(struct text *text, const struct packed_tensor *tensor)
{
	static const char *const reasons[] = {
	    [REPORT_DEFAULT] = "default", [REPORT_RULE] = "rule", [REPORT_DTYPE] = "dtype",
	    [REPORT_SHAPE] = "shape",     [REPORT_ROW] = "row",   [REPORT_NAME] = "name",
	    [REPORT_RANGE] = "range",
	};
	const struct rule *rule = tensor->plan->rule;

	text_add(text, ", \"reason\": \"%s\", \"rule\": ", reasons[report_reason(tensor)]);
	if (rule) {
		char *shown;
		if (asprintf(&shown, "%s=%s", rule->option, rule->text) < 0) {
			text->failed = 1;
			return;
		}
		text_add_path(text, shown);
		free(shown);
	} else {
		text_add(text, "null");
	}
}

static void add_tensor(struct text *text, const struct packed_tensor *tensor)
{
	const struct encoded_tensor *result = &tensor->result;
	const struct safetensor *info = &tensor->source->info;

	text_add(text, "{\"name\": ");
	text_add_string(text, info->name);
	text_add(text, ", \"dtype\": \"%s\", \"shape\": ", info->dtype->name);
	text_add_dims(text, info->dims, info->rank);
	text_add(text, ", \"weights\": %" PRIu64, info->count);
	add_quantization(text, result);
	add_reason(text, tensor);
	text_add(text, ", \"entropy_bits\": ");
	text_add_figure(text, result->entropy, FIGURES);
	add_bits(text, "bits_per_weight", report_stored_size(tensor), info->count);
	text_add(text,
		 ", \"tables\": %u, \"source_bytes\": %" PRIu64 ", \"plain_bytes\": %" PRIu64
		 ", \"stored_bytes\": %" PRIu64 ", \"payload\": %" PRIu64 ", \"index\": %" PRIu64
		 ", \"padding\": %" PRIu64 "}",
		 result->tables, info->size, result->raw_size, report_stored_size(tensor),
		 result->cost.payload, result->cost.index, result->cost.padding);
}

static void add_totals(struct text *text, const struct packed *packed,
		       const struct report_totals *sum)
{
	const struct image_overhead *overhead = &packed->overhead;

	text_add(text,
		 "\"source_bytes\": %" PRIu64 ", \"plain_bytes\": %" PRIu64
		 ", \"image_bytes\": %" PRIu64 ",\n\"weights\": %" PRIu64
		 ", \"quantized_weights\": %" PRIu64 ",\n\"quantized_stored_bytes\": %" PRIu64
		 ", \"quantized_entropy_bytes\": %" PRIu64 "",
		 sum->source, sum->plain, overhead->image_size, sum->weights, sum->quantized,
		 sum->quantized_stored, sum->quantized_floor);
	add_bits(text, "bits_per_quantized_weight", sum->quantized_stored, sum->quantized);
	add_bits(text, "bits_per_weight", overhead->image_size, sum->weights);
	text_add(text,
		 ",\n\"stored\": {\"payload\": %" PRIu64 ", \"index\": %" PRIu64
		 ", \"padding\": %" PRIu64 ", \"blobs\": %" PRIu64 ", \"catalog\": %" PRIu64
		 ", \"hash_tree\": %" PRIu64 ", \"superblock\": %" PRIu64 "},\n\"digest\": ",
		 sum->payload, sum->index, sum->padding, sum->blobs, overhead->catalog,
		 overhead->hash_tree, overhead->superblock);
	if (packed->estimated)
		text_add(text, "null");
	else
		text_add_hex(text, overhead->digest, sizeof overhead->digest);
}

static void add_files(struct text *text, const struct packed *packed)
{
	for (size_t i = 0; i < packed->blob_count; i++) {
		const struct packed_blob *blob = &packed->blobs[i];
		text_add(text, i ? ",\n{\"path\": " : "\n{\"path\": ");
		text_add_path(text, blob->path);
		text_add(text, ", \"bytes\": %" PRIu64 ", \"stored_bytes\": %" PRIu64 "}",
			 blob->size, blob->stored_size);
	}
}

void report_json_begin(struct text *text, int dry_run, const char *model, const char *image)
{
	text_add(text,
		 "{\"version\": \"" ENTROFS_VERSION
		 "\", \"format\": 1, \"dry_run\": %s, \"model\": ",
		 dry_run ? "true" : "false");
	text_add_path(text, model);
	text_add(text, ", \"image\": ");
	if (image)
		text_add_path(text, image);
	else
		text_add(text, "null");
	text_add(text, ",\n");
}

int report_json_end(struct text *text)
{
	text_add(text, "}\n");
	if (!text->failed)
		fwrite(text->data, 1, text->size, stdout);
	free(text->data);
	return text->failed ? -1 : 0;
}

int report_json(const struct packed *packed, const char *target, double seconds)
{
	const struct report_totals sum = report_totals(packed);
	struct text text = {0};

	report_json_begin(&text, packed->estimated, packed->source->path, target);
	add_totals(&text, packed, &sum);
	text_add(&text, ",\n\"seconds\": %.3f,\n\"files\": [", seconds);
	add_files(&text, packed);
	text_add(&text, "],\n\"tensors\": [");
	for (size_t i = 0; i < packed->tensor_count; i++) {
		text_add(&text, i ? ",\n" : "\n");
		add_tensor(&text, &packed->tensors[i]);
	}
	text_add(&text, "]");
	return report_json_end(&text);
}
