/* SPDX-License-Identifier: MIT */
/*
 * dump.h - what dump.entrofs shows of an image, as text for a person or as JSON for a program.
 */
#ifndef ENTROFS_DUMP_H
#define ENTROFS_DUMP_H

#include "codec/codec.h"
#include "image/reader.h"

struct dump {
	const char *path; /* of the image file */
	struct image *image;
	struct image_space space;
	uint64_t *before_stream; /* gap in front of each stream, bytes */
	int tables;              /* show code tables and blocks, too */
};

/* Sums over a group of tensors. */
struct dump_totals {
	uint64_t tensors, weights;
	uint64_t raw, stored; /* decoded bytes; payload, index and padding */
};

/* What a tensor's streams take, padding included. */
uint64_t dump_stored_size(const struct dump *dump, const struct efs_tensor *tensor);
uint64_t dump_weights(const struct image *image, const struct efs_tensor *tensor);
unsigned dump_table_count(const struct image *image, const struct efs_tensor *tensor);

/* bits: 8, 4, or 0 for kept tensors. */
struct dump_totals dump_totals(const struct dump *dump, uint8_t bits);
double dump_bits_per_weight(uint64_t stored, uint64_t weights); /* 0 without weights */

/* Of a stream whose index is held: its blocks by efs_block_kind. */
struct dump_blocks {
	uint64_t raw, coded, constant;
};
struct dump_blocks dump_blocks(const struct dump *dump, uint32_t stream);

/* Likewise: how many of its blocks are coded with each of its tables. */
void dump_table_blocks(const struct dump *dump, uint32_t stream, uint64_t counts[EFS_TABLES_MAX]);

/* How many symbols of a table have codes of each length, 0 to DUMP_LENGTHS - 1 bits. */
enum { DUMP_LENGTHS = CODEC_DEPTH_MAX + CODEC_BITS_MAX + 1 };
void dump_lengths(const struct codec_table *table, unsigned counts[DUMP_LENGTHS]);

const char *dump_scheme(uint8_t scheme);

/* 0, or -1 if writing, memory or (tables) reading an index failed. */
int dump_text(const struct dump *dump);
int dump_json(const struct dump *dump);

#endif
