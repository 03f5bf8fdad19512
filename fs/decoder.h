/* SPDX-License-Identifier: MIT */
/*
 * decoder.h - decodes runs of blocks, by several threads where that is worth waking them.
 *
 * Threads share a run by an atomic counter of groups of blocks: who is fast takes more, nobody
 * waits for an unlucky one (the method's authors hand out segments in shuffled order beforehand).
 */
#ifndef ENTROFS_DECODER_H
#define ENTROFS_DECODER_H

#include "fs/stats.h"
#include "image/reader.h"

#include <stdbool.h>

struct decoder;

/* image and stats stay the caller's. 0 or -ENOMEM. */
int decoder_create(struct decoder **decoder, struct image *image, struct stats *stats);

/* Starts workers - 1 threads, after any fork; with fewer than it should, it works as well. */
void decoder_start(struct decoder *decoder, unsigned workers);

/* No run may be under way. NULL does nothing. */
void decoder_destroy(struct decoder *decoder);

/*
 * A request begins, or ends: from fetching what it will decode to sending its reply, it needs a
 * processor or will soon. Threads are woken to share a run only as far as requests leave them idle.
 * True: no other one is under way.
 */
bool decoder_begin_request(struct decoder *decoder);
void decoder_end_request(struct decoder *decoder);

/* Whole blocks [first, first + count) of a stream whose index the caller holds. */
struct decode_run {
	uint32_t stream;
	uint64_t first, count;
	const uint8_t *stored; /* their stored bytes, CODEC_SLACK readable bytes behind */
	uint8_t *raw;          /* for their decoded bytes, which follow each other */
};

/*
 * Decodes and verifies a run; the calling thread takes part, with its scratch. 0, or a negative
 * errno and what the image's reader has to say about one block that failed. Holds no lock while it
 * decodes or waits for others to finish their share.
 */
int decoder_run(struct decoder *decoder, const struct decode_run *run,
		struct image_scratch *scratch, struct image_diag *diag);

#endif
