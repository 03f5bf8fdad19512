/* SPDX-License-Identifier: MIT */
/* fsck_json.c - what fsck.entrofs found, for a program; see fsck_json.h. */
#include "mkfs/fsck_json.h"

#include "mkfs/json.h"
#include "mkfs/names.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_image(struct text *text, const struct image *image)
{
	const struct efs_superblock *super;
	const struct efs_catalog_header *catalog;

	if (!image) {
		text_add(text, "null");
		return;
	}
	super = image_superblock(image);
	catalog = image_catalog(image);
	text_add(text, "{\"digest\": ");
	text_add_hex(text, super->digest, sizeof(super->digest));
	text_add(text,
		 ", \"image_bytes\": %" PRIu64 ", \"nodes\": %" PRIu32 ", \"tensors\": %" PRIu32
		 ", \"streams\": %" PRIu32 ", \"blobs\": %" PRIu32 "}",
		 super->image_size, catalog->node_count, catalog->tensor_count,
		 catalog->stream_count, catalog->blob_count);
}

static void add_extracted(struct text *text, const struct fsck_report *report)
{
	const struct extract_result *result = report->extracted;

	if (!result) {
		text_add(text, "null");
		return;
	}
	text_add(text, "{\"folder\": ");
	text_add_path(text, report->plan->target);
	text_add(text, ", \"paths\": [");
	for (size_t i = 0; i < report->plan->pattern_count; i++) {
		text_add(text, "%s", i ? ", " : "");
		text_add_path(text, report->plan->patterns[i]);
	}
	text_add(text,
		 "], \"files\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"lost\": %" PRIu64
		 ", \"interrupted\": %s}",
		 result->files, result->bytes, result->lost,
		 result->interrupted ? "true" : "false");
}

int fsck_json(const struct fsck_report *report)
{
	const struct findings *findings = report->findings;
	uint64_t all = findings->damage + findings->failures;
	struct text text = {0};
	int bad;

	text_add(&text, "{\n\"version\": \"" ENTROFS_VERSION "\",\n\"path\": ");
	text_add_path(&text, report->path);
	text_add(&text, ",\n\"offset\": %" PRIu64 ",\n\"image\": ", report->offset);
	add_image(&text, report->image);
	text_add(&text, ",\n\"deep\": %s,\n\"clean\": %s,\n\"exit_code\": %d,\n\"extracted\": ",
		 report->deep ? "true" : "false", report->exit_code ? "false" : "true",
		 report->exit_code);
	add_extracted(&text, report);
	text_add(&text,
		 ",\n\"totals\": {\"findings\": %" PRIu64 ", \"damage\": %" PRIu64
		 ", \"failures\": %" PRIu64 ", \"listed\": %zu, \"decoded_bytes\": %" PRIu64
		 "},\n\"findings\": ",
		 all, findings->damage, findings->failures, findings->count, report->decoded);
	findings_json(&text, findings, report->image);
	text_add(&text, "\n}\n");
	bad = text.failed || fwrite(text.data, text.size, 1, stdout) != 1;
	free(text.data);
	return bad ? -1 : 0;
}
