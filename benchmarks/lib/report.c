/* SPDX-License-Identifier: MIT */
/* report.c - the Markdown table and the JSON; see report.h. */
#include "benchmarks/lib/report.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { FRAME_TEXT = 32 };

static const char PEER[] = "zstd-3"; /* in its fastest frame size, what ratios are against */

static int same_contest(const struct row *a, const struct row *b)
{
	return strcmp(a->data, b->data) == 0 && strcmp(a->codec, b->codec) == 0 &&
	       a->threads == b->threads && a->kernel == b->kernel;
}

/* Whether the row stands for its codec: peers are seen in the frame size they decode fastest. */
static int is_shown(const struct rows *rows, const struct row *row)
{
	return row == rows_fastest(rows, row->data, row->codec, row->kernel, row->threads);
}

static const char *frame_text(const struct row *row, size_t data_size, char text[FRAME_TEXT])
{
	if (row->piece_size == data_size)
		return "one";
	snprintf(text, FRAME_TEXT, "%zu KiB", row->piece_size >> 10);
	return text;
}

static void print_row(const struct rows *rows, const struct row *row, size_t data_size)
{
	const struct row *peer = rows_fastest(rows, row->data, PEER, NULL, row->threads);
	char frame[FRAME_TEXT], cycles[16] = "";

	if (row->clock > 0 && row->threads == 1)
		snprintf(cycles, sizeof cycles, "%.2f", row->clock / row->decode_median);
	printf("| %s%s%s | %s | %u | %.3f | %+.2f %% | %.2f | %.2f | %.2f | %s | %.2f | %.2f |\n",
	       row->codec, row->kernel ? ", " : "", row->kernel ? row->kernel : "",
	       frame_text(row, data_size, frame), row->threads, row->bits_per_byte,
	       100 * (row->bits_per_byte / row->entropy - 1), row->decode_best / 1e9,
	       row->decode_median / 1e9, row->decode_median / peer->decode_median, cycles,
	       row->encode_median / 1e9, row->encode_median / peer->encode_median);
}

void report_table(const struct rows *rows, const struct data *data, const struct plan *plan)
{
	unsigned rounds = 0, most = 0;

	for (size_t i = 0; i < rows->count; i++) {
		if (strcmp(rows->list[i].data, data->name) != 0)
			continue;
		rounds = rows->list[i].rounds;
		if (rows->list[i].threads > most)
			most = rows->list[i].threads;
	}
	printf("## %s: %s\n\n", data->name, data->title);
	printf("%zu bytes in %zu streams with %zu code tables, entropy %.3f bits a byte. %u "
	       "rounds, output verified before. Checksums are not verified, but for the line that "
	       "says so. Bytes were counted at %.2f GB/s, the tables chosen in %.1f ms; neither is "
	       "part of encoding.\n\n",
	       data->size, data->part_count, plan->tree_count, data->entropy, rounds,
	       (double)data->size / plan->histogram_seconds / 1e9, 1e3 * plan->design_seconds);
	printf("| codec | blocks | threads | bits | over entropy | decode GB/s, best | median | "
	       "x %s | cycles/byte | encode GB/s | x %s |\n"
	       "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
	       PEER, PEER);
	for (unsigned threads = 1; threads <= most; threads++)
		for (size_t i = 0; i < rows->count; i++)
			if (strcmp(rows->list[i].data, data->name) == 0 &&
			    rows->list[i].threads == threads && is_shown(rows, &rows->list[i]))
				print_row(rows, &rows->list[i], data->size);
	printf("\n");
}

static double rounded(double value)
{
	return rint(value * 1e5) / 1e5;
}

static json_t *speeds(const struct row *row)
{
	return json_pack(
	    "{s:I s:f s:f s:f s:f s:f}", "frame_bytes", (json_int_t)row->piece_size, "decode_gbps",
	    rounded(row->decode_median / 1e9), "decode_gbps_best", rounded(row->decode_best / 1e9),
	    "encode_gbps", rounded(row->encode_median / 1e9), "encode_gbps_best",
	    rounded(row->encode_best / 1e9), "bits_per_byte", rounded(row->bits_per_byte));
}

static json_t *row_object(const struct rows *rows, const struct row *row)
{
	json_t *object = speeds(row), *frames = json_array();
	json_t *more = json_pack("{s:s s:s s:s? s:i s:i s:f s:b}", "data", row->data, "codec",
				 row->codec, "kernel", row->kernel, "threads", (int)row->threads,
				 "rounds", (int)row->rounds, "entropy_bits_per_byte",
				 rounded(row->entropy), "verified", 1);

	json_object_update(object, more);
	json_decref(more);
	if (row->clock > 0 && row->threads == 1)
		json_object_set_new(object, "cycles_per_byte",
				    json_real(rounded(row->clock / row->decode_median)));
	for (size_t i = 0; i < rows->count; i++)
		if (!row->kernel && same_contest(row, &rows->list[i]))
			json_array_append_new(frames, speeds(&rows->list[i]));
	if (json_array_size(frames) > 0)
		json_object_set(object, "frames", frames);
	json_decref(frames);
	return object;
}

int report_json(const struct rows *rows, const char *path)
{
	json_t *list = json_array();
	int result;

	for (size_t i = 0; i < rows->count; i++)
		if (is_shown(rows, &rows->list[i]))
			json_array_append_new(list, row_object(rows, &rows->list[i]));
	result = json_dump_file(list, path, JSON_INDENT(1) | JSON_REAL_PRECISION(7));
	if (result)
		fprintf(stderr, "%s: cannot write '%s': %s\n", program_invocation_short_name, path,
			strerror(errno));
	json_decref(list);
	return result;
}
