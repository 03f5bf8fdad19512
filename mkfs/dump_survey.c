/* SPDX-License-Identifier: MIT */
/* dump_survey.c - what is in the streams of an image; see dump_survey.h. */
#include "mkfs/dump_survey.h"

#include "mkfs/dump.h"
#include "mkfs/span.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct work {
	struct survey *survey;
	struct findings *findings;
	struct span_reader *readers; /* per thread; NULL: indexes only */
	int64_t *tensors;            /* per stream: the first that uses it, or NOWHERE */
	struct progress *progress;
};

int survey_init(struct survey *survey, struct image *image, uint32_t capacity)
{
	*survey = (struct survey){.image = image, .capacity = capacity};
	survey->slot = calloc(image_catalog(image)->stream_count + 1u, sizeof(*survey->slot));
	survey->streams = calloc(capacity + 1u, sizeof(*survey->streams));
	return survey->slot && survey->streams ? 0 : -ENOMEM;
}

void survey_free(struct survey *survey)
{
	free(survey->slot);
	free(survey->streams);
	*survey = (struct survey){0};
}

void survey_want(struct survey *survey, const struct efs_tensor *tensor)
{
	for (uint32_t i = 0; i < tensor->stream_count; i++) {
		uint32_t *slot = &survey->slot[tensor->first_stream + i];

		if (!*slot && survey->count < survey->capacity)
			*slot = ++survey->count;
	}
}

static struct survey_stream *wanted(const struct survey *survey, uint32_t stream)
{
	uint32_t slot = survey->slot[stream];

	return slot ? &survey->streams[slot - 1] : NULL;
}

const struct survey_stream *survey_stream(const struct survey *survey, uint32_t stream)
{
	return wanted(survey, stream);
}

/* Bytes on their way past. */
struct passing {
	struct work *work;
	struct survey_stream *into; /* NULL: not counted */
};

static int pass(void *context, const uint8_t *bytes, size_t size)
{
	struct passing *passing = context;

	progress_add(passing->work->progress, size);
	if (!passing->into || !size)
		return 0;
	codec_histogram(bytes, size, passing->into->counts);
	passing->into->last = bytes[size - 1];
	return 0;
}

static void note_blocks(struct survey *survey, uint32_t stream, struct survey_stream *into)
{
	struct dump_blocks blocks;

	dump_blocks(survey->image, stream, &blocks);
	into->coded = blocks.coded;
	into->raw = blocks.raw;
	into->constant = blocks.constant;
	into->indexed = 1;
}

static void read_stream(struct work *work, struct finding *at, uint32_t stream,
			struct span_reader *reader)
{
	struct image *image = work->survey->image;
	struct survey_stream *into = wanted(work->survey, stream);
	struct passing passing = {work, into};
	struct span span = {EFS_PIECE_STREAM, stream, 0, image_stream(image, stream)->raw_size};
	struct image_diag diag;
	int err = image_hold_index(image, stream, &diag);
	uint8_t bad = err != 0;

	at->place.tensor = work->tensors[stream];
	if (err) {
		span_bad_index(work->findings, at, stream, err, diag.text);
	} else {
		if (into)
			note_blocks(work->survey, stream, into);
		if (reader)
			bad = span_read(image, &span, reader, work->findings, at, pass, &passing) !=
			      0;
		image_release_index(image, stream);
	}
	if (!into)
		return;
	into->damaged = bad;
	into->counted = reader && !bad;
}

/* Items: the streams, then the blobs. */
static int look_at(void *context, unsigned worker, uint64_t item)
{
	struct work *work = context;
	struct span_reader *reader = work->readers ? &work->readers[worker] : NULL;
	struct finding at = {.item = item, .place = FINDING_NOWHERE};
	struct passing passing = {work, NULL};
	uint64_t streams = image_catalog(work->survey->image)->stream_count;

	if (item < streams) {
		read_stream(work, &at, (uint32_t)item, reader);
	} else if (reader) {
		uint32_t blob = (uint32_t)(item - streams);
		struct span span = {EFS_PIECE_BLOB, blob, 0,
				    image_blob(work->survey->image, blob)->raw_size};

		span_read(work->survey->image, &span, reader, work->findings, &at, pass, &passing);
	}
	return 0;
}

static uint64_t total_size(const struct image *image)
{
	uint64_t total = 0;

	for (uint32_t i = 0; i < image_catalog(image)->stream_count; i++)
		total += image_stream(image, i)->raw_size;
	for (uint32_t i = 0; i < image_catalog(image)->blob_count; i++)
		total += image_blob(image, i)->raw_size;
	return total;
}

static int prepare(struct work *work, int data, struct pool *pool)
{
	const struct image *image = work->survey->image;
	const struct efs_catalog_header *catalog = image_catalog(image);

	work->tensors = malloc((catalog->stream_count + 1u) * sizeof(*work->tensors));
	if (data)
		work->readers = span_readers_create(pool_jobs(pool));
	if (!work->tensors || (data && !work->readers))
		return -ENOMEM;
	for (uint32_t i = 0; i < catalog->stream_count; i++)
		work->tensors[i] = NOWHERE;
	for (uint32_t i = catalog->tensor_count; i--;) {
		const struct efs_tensor *tensor = image_tensor(image, i);

		for (uint32_t j = 0; j < tensor->stream_count; j++)
			work->tensors[tensor->first_stream + j] = i;
	}
	return 0;
}

int survey_run(struct survey *survey, int data, struct pool *pool, struct findings *findings,
	       struct progress *progress)
{
	const struct efs_catalog_header *catalog = image_catalog(survey->image);
	struct work work = {.survey = survey, .findings = findings, .progress = progress};
	int err = prepare(&work, data, pool);

	if (!err) {
		progress_start(work.progress, "counting", total_size(survey->image));
		pool_run(pool, (uint64_t)catalog->stream_count + catalog->blob_count, look_at,
			 &work);
		progress_end(work.progress);
		survey->decoded = progress->done;
	}
	span_readers_destroy(work.readers, pool_jobs(pool));
	free(work.tensors);
	return err;
}

/* A byte is two codes, the first in the low half. */
static void split(uint64_t counts[CODEC_SYMBOLS])
{
	uint64_t halves[16] = {0};

	for (unsigned byte = 0; byte < CODEC_SYMBOLS; byte++) {
		halves[byte & 15] += counts[byte];
		halves[byte >> 4] += counts[byte];
	}
	memset(counts, 0, CODEC_SYMBOLS * sizeof(*counts));
	memcpy(counts, halves, sizeof(halves));
}

unsigned survey_codes(const struct survey *survey, const struct efs_tensor *tensor,
		      uint64_t weights, uint64_t counts[CODEC_SYMBOLS])
{
	const struct survey_stream *from = NULL;

	memset(counts, 0, CODEC_SYMBOLS * sizeof(*counts));
	for (uint32_t i = 0; i < tensor->stream_count; i++) {
		from = survey_stream(survey, tensor->first_stream + i);
		if (!from || !from->counted)
			return 0;
		for (unsigned byte = 0; byte < CODEC_SYMBOLS; byte++)
			counts[byte] += from->counts[byte];
	}
	if (tensor->bits != 4)
		return CODEC_SYMBOLS;
	split(counts);
	if (from && weights % 2)
		counts[from->last >> 4]--;
	return 16;
}
