/* SPDX-License-Identifier: MIT */
/* span.c - reads a stretch of a stream, blob or transcode; see span.h. */
#include "mkfs/span.h"

#include "image/transcode.h"

#include <stdlib.h>
#include <string.h>

enum { BUFFER = 1 << 20 }; /* decoded bytes read at once */

struct span_reader *span_readers_create(unsigned jobs)
{
	struct span_reader *readers = calloc(jobs, sizeof(*readers));

	for (unsigned i = 0; readers && i < jobs; i++) {
		readers[i].buffer = malloc(BUFFER);
		if (!readers[i].buffer || image_scratch_create(&readers[i].scratch)) {
			span_readers_destroy(readers, jobs);
			return NULL;
		}
	}
	return readers;
}

void span_readers_destroy(struct span_reader *readers, unsigned jobs)
{
	for (unsigned i = 0; readers && i < jobs; i++) {
		image_scratch_destroy(readers[i].scratch);
		free(readers[i].buffer);
	}
	free(readers);
}

struct reading {
	struct image *image;
	const struct span *span;
	struct span_reader *reader;
	struct findings *findings;
	const struct finding *about;
	char last[sizeof(((struct image_diag *)0)->text)]; /* message of the last bad part */
	uint64_t named[TRANSCODE_SOURCES_MAX]; /* of each source the last bad unit, plus 1 */
};

/* The stretches of streams, or of a blob, that the bytes of a span are made of; how many. */
static unsigned stored_of(const struct image *image, const struct span *span, struct span *stored)
{
	struct transcode_source sources[TRANSCODE_SOURCES_MAX];
	unsigned count;

	if (span->kind != EFS_PIECE_TRANSCODE) {
		*stored = *span;
		return 1;
	}
	count = transcode_sources(image, span->source, span->offset, span->size, sources);
	for (unsigned i = 0; i < count; i++)
		stored[i] = (struct span){EFS_PIECE_STREAM, sources[i].stream, sources[i].offset,
					  sources[i].size};
	return count;
}

static ssize_t get(struct reading *reading, const struct span *span, uint64_t at, size_t size,
		   struct image_diag *diag)
{
	return image_read_source(reading->image, span->kind, span->source, at,
				 reading->reader->buffer, size, reading->reader->scratch, diag);
}

static void found(struct reading *reading, const struct span *span, uint64_t unit, int error,
		  const char *message)
{
	struct finding finding = *reading->about;

	finding.severity = check_kind(error);
	finding.message = message;
	if (span->kind == EFS_PIECE_STREAM) {
		finding.kind = FINDING_BLOCK;
		finding.place.stream = span->source;
		finding.place.block = (int64_t)unit;
	} else {
		finding.kind = FINDING_CHUNK;
		finding.place.blob = span->source;
		finding.place.chunk = (int64_t)unit;
	}
	findings_add(reading->findings, &finding);
}

static uint64_t unit_of(const struct image *image, const struct span *stored)
{
	return stored->kind == EFS_PIECE_STREAM
		   ? UINT64_C(1) << image_stream(image, stored->source)->block_log2
		   : EFS_CHUNK_SIZE;
}

/*
 * Reads stored bytes block by block, or chunk by chunk. Two parts that fail for the same reason do
 * so because of something else than themselves (the blob's table of chunks, memory): -1, the rest
 * would, too. Otherwise how many were named.
 */
static int name_bad_units(struct reading *reading, const struct span *stored, uint64_t *named_unit)
{
	uint64_t at = stored->offset, end = at + stored->size;
	uint64_t unit = unit_of(reading->image, stored);
	struct image_diag diag;
	int named = 0;

	while (at < end) {
		uint64_t next = (at / unit + 1) * unit;
		ssize_t got;

		if (next > end)
			next = end;
		/* Of what records are joined of, parts end within units. */
		if (*named_unit == at / unit + 1) {
			named = 1;
			at = next;
			continue;
		}
		got = get(reading, stored, at, (size_t)(next - at), &diag);
		if (got < 0) {
			if (strcmp(diag.text, reading->last) == 0)
				return -1;
			strcpy(reading->last, diag.text);
			*named_unit = at / unit + 1;
			named = 1;
			found(reading, stored, at / unit, (int)got, diag.text);
		}
		at = next;
	}
	return named;
}

/* Names what is bad of a part that could not be read; -1: the rest would fail for the same reason.
 */
static int name_bad_parts(struct reading *reading, const struct span *part, int error,
			  const char *message)
{
	struct span stored[TRANSCODE_SOURCES_MAX];
	unsigned count = stored_of(reading->image, part, stored);
	int named = 0;

	for (unsigned i = 0; i < count; i++) {
		int result = name_bad_units(reading, &stored[i], &reading->named[i]);

		if (result < 0)
			return -1;
		named |= result;
	}
	/* A disk may read now what it did not before: what was lost is lost. */
	if (!named)
		found(reading, stored, stored->offset / unit_of(reading->image, stored), error,
		      message);
	return 0;
}

/* Reads all of it. */
static int read_all(struct reading *reading, span_take_fn *take, void *context)
{
	const struct span *span = reading->span;
	uint64_t end = span->offset + span->size;
	struct image_diag diag;
	int bad = 0;

	for (uint64_t at = span->offset, next; at < end; at = next) {
		int result = 0;
		ssize_t got;

		next = end - at < BUFFER ? end : (at / BUFFER + 1) * BUFFER;
		got = get(reading, span, at, (size_t)(next - at), &diag);
		if (got < 0) {
			const struct span part = {span->kind, span->source, at, next - at};

			bad = SPAN_BAD;
			if (name_bad_parts(reading, &part, (int)got, diag.text))
				break;
		} else if (!bad) {
			result = take(context, reading->reader->buffer, (size_t)got);
		}
		if (result)
			return result;
	}
	return bad;
}

/* Holds the indexes of all streams, and counts them; SPAN_BAD after naming one that is bad. */
static int hold_indexes(const struct reading *reading, const struct span *stored, unsigned count,
			unsigned *held)
{
	struct image_diag diag;

	for (*held = 0; *held < count; ++*held) {
		uint32_t stream = stored[*held].source;
		int err = image_hold_index(reading->image, stream, &diag);

		if (err) {
			span_bad_index(reading->findings, reading->about, stream, err, diag.text);
			return SPAN_BAD;
		}
	}
	return 0;
}

int span_read(struct image *image, const struct span *span, struct span_reader *reader,
	      struct findings *findings, const struct finding *about, span_take_fn *take,
	      void *context)
{
	struct reading reading = {image, span, reader, findings, about, "", {0}};
	struct span stored[TRANSCODE_SOURCES_MAX];
	unsigned held = 0, count = 0;
	int result;

	if (span->kind != EFS_PIECE_BLOB && span->size)
		count = stored_of(image, span, stored);
	result = hold_indexes(&reading, stored, count, &held);
	if (!result)
		result = read_all(&reading, take, context);
	while (held)
		image_release_index(image, stored[--held].source);
	return result;
}

void span_bad_index(struct findings *findings, const struct finding *about, uint32_t stream,
		    int error, const char *message)
{
	struct finding finding = *about;

	finding.kind = FINDING_INDEX;
	finding.severity = check_kind(error);
	finding.place.stream = stream;
	finding.message = message;
	findings_add(findings, &finding);
}
