/* SPDX-License-Identifier: MIT */
/* codes.c - the decoded bytes of a tensor, chunk by chunk; see codes.h. */
#include "mkfs/codes.h"

#include "mkfs/cli.h"

#include <stdlib.h>

enum { PIECE = 32 << 10 }; /* weights read and quantized at once; even */

uint64_t codes_raw_size(const struct safetensor *tensor, int bits)
{
	return bits == 8   ? tensor->count
	       : bits == 4 ? tensor->count / 2 + tensor->count % 2
			   : tensor->size;
}

struct codes codes_of(const struct source_file *shard, const struct safetensor *tensor, int bits)
{
	uint64_t raw_size = codes_raw_size(tensor, bits);

	return (struct codes){
	    .shard = shard,
	    .tensor = tensor,
	    .bits = bits,
	    .raw_size = raw_size,
	    .chunks = (raw_size + CODES_CHUNK - 1) / CODES_CHUNK,
	    .chunk_weights = bits == 8   ? CODES_CHUNK
			     : bits == 4 ? (uint64_t)CODES_CHUNK * 2
					 : (uint64_t)CODES_CHUNK / tensor->dtype->size,
	};
}

struct codes codes_of_bytes(uint64_t size)
{
	return (struct codes){.raw_size = size, .chunks = (size + CODES_CHUNK - 1) / CODES_CHUNK};
}

uint64_t codes_chunk_weights(const struct codes *codes, uint64_t chunk)
{
	uint64_t left = codes->tensor->count - chunk * codes->chunk_weights;
	return left < codes->chunk_weights ? left : codes->chunk_weights;
}

size_t codes_chunk_size(const struct codes *codes, uint64_t chunk)
{
	uint64_t left = codes->raw_size - chunk * CODES_CHUNK;
	return left < CODES_CHUNK ? (size_t)left : CODES_CHUNK;
}

int codes_buffer_create(struct codes_buffer *buffer)
{
	enum { WIDEST = 8 }; /* bytes of a weight */

	buffer->source = malloc((size_t)PIECE * WIDEST);
	buffer->codes = malloc(PIECE);
	return buffer->source && buffer->codes ? 0 : -1;
}

void codes_buffer_destroy(struct codes_buffer *buffer)
{
	free(buffer->source);
	free(buffer->codes);
}

/* Reads count weights from the first on into the buffer. */
static int read_piece(const struct codes *codes, struct codes_buffer *buffer, uint64_t first,
		      size_t count)
{
	size_t size = codes->tensor->dtype->size;
	return source_read(codes->shard, codes->tensor->offset + first * size, buffer->source,
			   count * size);
}

int codes_range(const struct codes *codes, struct codes_buffer *buffer, uint64_t chunk,
		struct quant_range *range)
{
	enum quant_type type = (enum quant_type)codes->tensor->dtype->quantizes;
	uint64_t first = chunk * codes->chunk_weights;
	uint64_t end = first + codes_chunk_weights(codes, chunk);

	for (; first < end; first += PIECE) {
		size_t count = end - first < PIECE ? (size_t)(end - first) : PIECE;
		if (read_piece(codes, buffer, first, count))
			return -1;
		quant_range_add(range, type, buffer->source, count, first);
	}
	return 0;
}

int codes_choose(struct codes *codes, const struct quant_range *range)
{
	if (range->bad_index != UINT64_MAX) {
		cli_cannot("quantize", codes->shard->path,
			   "tensor '%s' has a NaN or infinite value at index %llu (see --keep)",
			   codes->tensor->name, (unsigned long long)range->bad_index);
		return -1;
	}
	if (quant_choose(range, codes->bits, &codes->params))
		*codes = codes_of(codes->shard, codes->tensor, 0);
	return 0;
}

int codes_load(const struct codes *codes, struct codes_buffer *buffer, uint64_t chunk, uint8_t *raw,
	       struct quant_error *error)
{
	return codes_load_part(codes, buffer, chunk * CODES_CHUNK, codes_chunk_size(codes, chunk),
			       raw, error);
}

int codes_load_part(const struct codes *codes, struct codes_buffer *buffer, uint64_t offset,
		    size_t size, uint8_t *raw, struct quant_error *error)
{
	enum quant_type type = (enum quant_type)codes->tensor->dtype->quantizes;
	unsigned per_byte = codes->bits == 4 ? 2 : 1;
	uint64_t first = offset * per_byte;
	uint64_t left = codes->tensor->count - first, most = (uint64_t)size * per_byte;
	uint64_t end = first + (most < left ? most : left);

	if (!codes->bits)
		return source_read(codes->shard, codes->tensor->offset + offset, raw, size);
	for (; first < end; first += PIECE) {
		size_t count = end - first < PIECE ? (size_t)(end - first) : PIECE;
		if (read_piece(codes, buffer, first, count))
			return -1;
		if (codes->bits == 8) {
			quant_encode(&codes->params, type, buffer->source, count, raw, error);
			raw += count;
		} else {
			quant_encode(&codes->params, type, buffer->source, count, buffer->codes,
				     error);
			quant_pack4(buffer->codes, count, raw);
			raw += (count + 1) / 2;
		}
	}
	return 0;
}
