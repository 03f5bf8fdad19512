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
	struct span stored; /* the stream or blob that its bytes are made of */
	struct span_reader *reader;
	struct findings *findings;
	const struct finding *about;
	char last[sizeof(((struct image_diag *)0)->text)]; /* message of the last bad part */
};

static struct span stored_of(const struct image *image, const struct span *span)
{
	struct transcode_source source;

	if (span->kind != EFS_PIECE_TRANSCODE)
		return *span;
	source = transcode_source(image, span->source, span->offset, span->size);
	return (struct span){EFS_PIECE_STREAM, source.stream, source.offset, source.size};
}

static ssize_t get(struct reading *reading, const struct span *span, uint64_t at, size_t size,
		   struct image_diag *diag)
{
	return image_read_source(reading->image, span->kind, span->source, at,
				 reading->reader->buffer, size, reading->reader->scratch, diag);
}

static void found(struct reading *reading, uint64_t unit, int error, const char *message)
{
	const struct span *span = &reading->stored;
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

/*
 * Reads the stored bytes of a part block by block, or chunk by chunk. Two parts that fail for the
 * same reason do so because of something else than themselves (the blob's table of chunks, memory):
 * -1, the rest would, too.
 */
static int name_bad_parts(struct reading *reading, const struct span *part, int error,
			  const char *message)
{
	const struct span stored = stored_of(reading->image, part), *span = &stored;
	uint64_t at = span->offset, first = at, end = at + span->size;
	int named = 0;
	uint64_t unit = span->kind == EFS_PIECE_STREAM
			    ? UINT64_C(1) << image_stream(reading->image, span->source)->block_log2
			    : EFS_CHUNK_SIZE;
	struct image_diag diag;

	while (at < end) {
		uint64_t next = (at / unit + 1) * unit;
		ssize_t got;

		if (next > end)
			next = end;
		got = get(reading, span, at, (size_t)(next - at), &diag);
		if (got < 0) {
			if (strcmp(diag.text, reading->last) == 0)
				return -1;
			strcpy(reading->last, diag.text);
			named = 1;
			found(reading, at / unit, (int)got, diag.text);
		}
		at = next;
	}
	/* A disk may read now what it did not before: what was lost is lost. */
	if (!named)
		found(reading, first / unit, error, message);
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

int span_read(struct image *image, const struct span *span, struct span_reader *reader,
	      struct findings *findings, const struct finding *about, span_take_fn *take,
	      void *context)
{
	struct reading reading = {image, span, stored_of(image, span), reader, findings, about, ""};
	int has_index = reading.stored.kind == EFS_PIECE_STREAM && span->size, result;
	struct image_diag diag;

	if (has_index) {
		int err = image_hold_index(image, reading.stored.source, &diag);

		if (err) {
			span_bad_index(findings, about, reading.stored.source, err, diag.text);
			return SPAN_BAD;
		}
	}
	result = read_all(&reading, take, context);
	if (has_index)
		image_release_index(image, reading.stored.source);
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
