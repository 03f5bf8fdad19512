/* SPDX-License-Identifier: MIT */
/*
 * codes.h - the decoded bytes of a tensor: read from its source file and quantized, in chunks.
 *
 * A tensor may be larger than memory, so nothing here holds one. Its chunks, numbered from 0, can
 * be made in any order, as often as wanted and by several threads at once, each with buffers of its
 * own; they always have the same bytes. Functions that fail have printed why.
 */
#ifndef ENTROFS_CODES_H
#define ENTROFS_CODES_H

#include "mkfs/source.h"
#include "quantizer/quantizer.h"

#include <stddef.h>
#include <stdint.h>

enum { CODES_CHUNK = 256 << 10 }; /* decoded bytes of each chunk but the last */

struct codes {
	const struct source_file *shard;
	const struct safetensor *tensor;
	int bits;                   /* 8, 4, or 0: kept */
	struct quant_params params; /* unless kept */
	uint64_t raw_size;          /* decoded bytes: codes, or the tensor as it is */
	uint64_t chunks;
	uint64_t chunk_weights; /* of each chunk but the last */
};

/* Bytes that are in memory, cut in chunks: of no tensor, and not to be loaded. */
struct codes codes_of_bytes(uint64_t size);

/* Decoded bytes of a tensor with so many bits. */
uint64_t codes_raw_size(const struct safetensor *tensor, int bits);

/* The tensor, cut for so many bits; params are still to be chosen. */
struct codes codes_of(const struct source_file *shard, const struct safetensor *tensor, int bits);

size_t codes_chunk_size(const struct codes *codes, uint64_t chunk); /* decoded bytes */
uint64_t codes_chunk_weights(const struct codes *codes, uint64_t chunk);

/* Buffers of one thread, about 300 KiB. 0, or -1 without memory. */
struct codes_buffer {
	uint8_t *source; /* weights as they lie in the file */
	uint8_t *codes;  /* one code per byte, before they are packed */
};
int codes_buffer_create(struct codes_buffer *buffer);
void codes_buffer_destroy(struct codes_buffer *buffer);

/* Adds the weights of a chunk to the range; not for a kept tensor. */
int codes_range(const struct codes *codes, struct codes_buffer *buffer, uint64_t chunk,
		struct quant_range *range);

/* Chooses the parameters from the range of all chunks; a tensor that none can represent is one to
 * keep from here on. Fails if a value is not finite. */
int codes_choose(struct codes *codes, const struct quant_range *range);

/* Makes the decoded bytes of a chunk; adds to the error, which may be NULL. */
int codes_load(const struct codes *codes, struct codes_buffer *buffer, uint64_t chunk, uint8_t *raw,
	       struct quant_error *error);

/* The same for size decoded bytes, at most a chunk, from offset on. */
int codes_load_part(const struct codes *codes, struct codes_buffer *buffer, uint64_t offset,
		    size_t size, uint8_t *raw, struct quant_error *error);

#endif
