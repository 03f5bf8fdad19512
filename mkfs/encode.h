/* SPDX-License-Identifier: MIT */
/*
 * encode.h - one tensor from its source file, or bytes, into a stream of the image.
 */
#ifndef ENTROFS_ENCODE_H
#define ENTROFS_ENCODE_H

#include "image/writer.h"
#include "mkfs/pool.h"
#include "mkfs/progress.h"
#include "mkfs/source.h"
#include "quantizer/quantizer.h"

#include <stdint.h>

enum {
	ENCODE_BLOCK_LOG2 = 14,
	ENCODE_TABLES = 8, /* of a tensor, at most: the daemon keeps 6 KiB for each */
};

/* What became of a tensor. */
struct encoded_tensor {
	int bits;                   /* 8, 4, or 0: kept */
	struct quant_params params; /* unless kept */
	uint64_t raw_size;          /* decoded bytes */
	uint32_t stream;
	unsigned tables; /* code tables */
	struct image_cost cost;
	unsigned ggml_type; /* of blocks that have the same parameters; 0: not asked for, or kept */
	struct quant_error error;  /* made */
	struct quant_error freely; /* ... by parameters that are not those of such blocks */
	double freely_sqnr;        /* dB */
	double byte_entropy;       /* bits per decoded byte, order 0 */
	double entropy;            /* bits per weight */
	double sqnr;               /* dB; infinite when exact */
	double max_error;
	uint8_t digest[EFS_DIGEST_SIZE]; /* SHA-256 of the decoded bytes */
};

/* Sets what is shown of a result, all rounded: entropy from byte_entropy, sqnr and max_error from
 * error, unless the tensor is kept. */
void encode_figures(struct encoded_tensor *result, const struct dtype *dtype);

/* What encode_tensor() adds to the progress. */
uint64_t encode_work(const struct safetensor *tensor, int bits, int blocks);

struct encoder; /* buffers for all threads: about 1.5 MiB per thread, 3 MiB, and 64 MiB of codes */

struct encoder *encoder_create(struct pool *pool, struct image_writer *writer, const char *target,
			       struct progress *progress);
void encoder_destroy(struct encoder *encoder);

/*
 * Quantizes (bits 8 or 4) or keeps (0) a tensor and writes its stream; with `blocks`, such that
 * blocks of ggml can be made of it. Also keeps one that parameters in F32, or those of blocks,
 * cannot represent. 0, or -1 after printing why.
 */
int encode_tensor(struct encoder *encoder, const struct source_file *shard,
		  const struct safetensor *tensor, int bits, int blocks,
		  struct encoded_tensor *result);

/* The same of bytes in memory; of the result, what a stream has is set: raw_size, stream, tables,
 * cost, byte_entropy. Adds size * ENCODE_BYTES_WORK to the progress. */
enum { ENCODE_BYTES_WORK = 6 };
int encode_bytes(struct encoder *encoder, uint8_t *bytes, size_t size,
		 struct encoded_tensor *result);

#endif
