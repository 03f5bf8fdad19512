/* SPDX-License-Identifier: MIT */
/*
 * span.h - reads a stretch of a stream, blob or transcode, and names every part of it that is
 * damaged.
 */
#ifndef ENTROFS_SPAN_H
#define ENTROFS_SPAN_H

#include "mkfs/findings.h"

#include <stddef.h>

/* What one thread reads with. */
struct span_reader {
	struct image_scratch *scratch;
	uint8_t *buffer;
};

/* One for each of jobs threads; NULL: out of memory. */
struct span_reader *span_readers_create(unsigned jobs);
void span_readers_destroy(struct span_reader *readers, unsigned jobs);

struct span {
	enum efs_piece_kind kind;
	uint32_t source; /* number of the stream, blob or transcode */
	uint64_t offset, size;
};

/*
 * Reads the span and hands its verified bytes to take, in order; what take returns other than 0
 * ends it and is returned. From the first part that cannot be read on, nothing more is handed on,
 * but the rest is read all the same, so that every bad block or chunk gets a finding, for which
 * `about` gives everything but severity, kind, stream, block, blob, chunk and message. Returns
 * SPAN_BAD then.
 */
enum { SPAN_BAD = 1 };
typedef int span_take_fn(void *context, const uint8_t *bytes, size_t size);
int span_read(struct image *image, const struct span *span, struct span_reader *reader,
	      struct findings *findings, const struct finding *about, span_take_fn *take,
	      void *context);

/* Adds a finding of a bad index of the stream. */
void span_bad_index(struct findings *findings, const struct finding *about, uint32_t stream,
		    int error, const char *message);

#endif
