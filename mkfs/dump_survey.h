/* SPDX-License-Identifier: MIT */
/*
 * dump_survey.h - goes through an image, verifies it on the way, and counts the codes of tensors.
 *
 * Which streams are counted is said before: what is kept of each is some 2 KiB. Each stream and
 * each blob is one item of work for a pool of threads; an index is held only while its
 * stream is looked at.
 */
#ifndef ENTROFS_DUMP_SURVEY_H
#define ENTROFS_DUMP_SURVEY_H

#include "codec/codec.h"
#include "image/reader.h"
#include "mkfs/findings.h"
#include "mkfs/pool.h"
#include "mkfs/progress.h"

/* What was found in one stream. */
struct survey_stream {
	uint64_t counts[CODEC_SYMBOLS];    /* of its bytes, if counted */
	uint64_t coded, raw, constant;     /* blocks; 0 if the index is damaged */
	uint8_t last;                      /* byte of all, if counted */
	uint8_t indexed, counted, damaged; /* what holds of it; counted: every byte of it */
};

struct survey {
	struct image *image;
	uint32_t *slot; /* per stream: where it is in streams, plus 1; 0: not wanted */
	struct survey_stream *streams;
	uint32_t count, capacity;
	uint64_t decoded; /* bytes read and found right, of all streams and blobs */
};

/* For an image, with room for so many streams; -ENOMEM. Free it in any case. */
int survey_init(struct survey *survey, struct image *image, uint32_t capacity);
void survey_free(struct survey *survey);

/* Keeps what a tensor's streams have in them; more than the capacity in all is not kept. */
void survey_want(struct survey *survey, const struct efs_tensor *tensor);

/*
 * Goes through the indexes of all streams and, if data is set, through all data: whatever is
 * damaged or cannot be read becomes a finding. Shows progress. -ENOMEM.
 */
int survey_run(struct survey *survey, int data, struct pool *pool, struct findings *findings,
	       struct progress *progress);

/* NULL: it was not wanted. */
const struct survey_stream *survey_stream(const struct survey *survey, uint32_t stream);

/*
 * How often each code occurs in a tensor, the filler behind an odd number of uint4 codes left out.
 * Returns how many values a code can have, 16 (uint4) or 256 (uint8; kept tensors: their bytes), or
 * 0 if the codes have not all been counted.
 */
unsigned survey_codes(const struct survey *survey, const struct efs_tensor *tensor,
		      uint64_t weights, uint64_t counts[CODEC_SYMBOLS]);

#endif
