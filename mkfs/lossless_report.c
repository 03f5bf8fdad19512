/* SPDX-License-Identifier: MIT */
/* lossless_report.c - figures of a lossless image; see lossless.h. */
#include "mkfs/lossless_report.h"

#include "mkfs/cli.h"
#include "mkfs/names.h"
#include "mkfs/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_files(const struct lossless *lossless, struct text *text)
{
	text_add(text, "\"files\": [");
	for (size_t i = 0; i < lossless->tree->count; i++) {
		const struct lossless_file *file = &lossless->files[i];

		text_add(text, i ? ",\n{\"path\": " : "\n{\"path\": ");
		text_add_path(text, lossless->tree->files[i].name);
		text_add(text,
			 ", \"bytes\": %" PRIu64 ", \"stored_bytes\": %" PRIu64
			 ", \"text_bytes\": %" PRIu64 ", \"record_bytes\": %" PRIu64
			 ", \"sha256\": ",
			 file->size, file->stored, file->text, file->records);
		text_add_hex(text, file->digest, sizeof file->digest);
		text_add(text, "}");
	}
	text_add(text, "\n]");
}

void lossless_add_manifest(const struct lossless *lossless, struct text *text)
{
	text_add(text, "{\"format\": 1, ");
	add_files(lossless, text);
	text_add(text, "}\n");
}

static double share(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0.0;
}

static void print_files(const struct lossless *lossless)
{
	printf("%12s %12s %7s %8s %8s  %s\n", "bytes", "stored", "", "text", "records", "file");
	for (size_t i = 0; i < lossless->tree->count; i++) {
		const struct lossless_file *file = &lossless->files[i];
		const char *path = lossless->tree->files[i].name;
		char *name =
		    names_show((struct image_name){path, strlen(path)}, NAMES_FOR_TERMINAL);

		printf("%12" PRIu64 " %12" PRIu64 " %5.1f %% %6.1f %% %6.1f %%  %s\n", file->size,
		       file->stored, share(file->stored, file->size), share(file->text, file->size),
		       share(file->records, file->size), name ? name : "?");
		free(name);
	}
	printf("\n");
}

void lossless_print(const struct lossless *lossless, const char *target, double seconds,
		    int verbose)
{
	uint64_t source = tree_size(lossless->tree), image = lossless->overhead.image_size;
	size_t count = lossless->tree->count;
	char size[CLI_SIZE_TEXT];

	if (verbose)
		print_files(lossless);
	printf("%s: lossless, %zu file%s\n", target ? target : lossless->tree->path, count,
	       count == 1 ? "" : "s");
	printf("  %-22s %12s %16" PRIu64 " B\n", "source", cli_size(source, size), source);
	printf("  %-22s %12s %16" PRIu64 " B  %5.1f %%\n", "image", cli_size(image, size), image,
	       share(image, source));
	if (lossless->estimated)
		printf("  %.1f s; nothing was written\n", seconds);
	else
		printf("  %.1f s, %s/s of source\n", seconds,
		       cli_size(seconds > 0 ? (uint64_t)((double)source / seconds) : 0, size));
}

int lossless_json(const struct lossless *lossless, const char *target, double seconds)
{
	const struct image_overhead *overhead = &lossless->overhead;
	struct text text = {0};

	report_json_begin(&text, lossless->estimated, lossless->tree->path, target);
	text_add(&text,
		 "\"lossless\": true, \"source_bytes\": %" PRIu64 ", \"image_bytes\": %" PRIu64
		 ", \"digest\": ",
		 tree_size(lossless->tree), overhead->image_size);
	if (lossless->estimated)
		text_add(&text, "null");
	else
		text_add_hex(&text, overhead->digest, sizeof overhead->digest);
	text_add(&text, ",\n\"seconds\": %.3f,\n", seconds);
	add_files(lossless, &text);
	return report_json_end(&text);
}
