/* SPDX-License-Identifier: MIT */
/*
 * dump.h - what dump.entrofs shows of an image: as text for a person, as JSON for a program, or as
 * a page for a browser (see dump_page.h). All figures of the three come from here.
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

/* 0, or -ENOMEM. path and image stay the caller's; both must outlive the dump. */
int dump_init(struct dump *dump, const char *path, struct image *image);
void dump_free(struct dump *dump);

/* How many nodes are what, and what the source had besides tensors. */
struct dump_contents {
	uint32_t files, folders;
	uint64_t sidecar_bytes; /* of all files that are not below quantized/ */
};
int dump_contents(const struct dump *dump, struct dump_contents *contents); /* 0, or -ENOMEM */

/* Bytes of an image that are there for something. */
struct dump_cost {
	uint64_t payload, index, padding;
};
struct dump_cost dump_cost(const struct dump *dump, const struct efs_tensor *tensor);
uint64_t dump_stored(struct dump_cost cost); /* all of them */

uint64_t dump_weights(const struct image *image, const struct efs_tensor *tensor);
uint64_t dump_source_size(const struct image *image, const struct efs_tensor *tensor); /* bytes */
unsigned dump_table_count(const struct image *image, const struct efs_tensor *tensor);

/* Sums over a group of tensors; UINT64_MAX stands for more, too. */
struct dump_totals {
	uint64_t tensors, weights;
	uint64_t source;      /* bytes of the tensors as they were */
	uint64_t raw, stored; /* decoded bytes; payload, index and padding */
	double entropy;       /* bits of all weights together, were a coder to reach the entropy */
};
void dump_totals_add(struct dump_totals *totals, const struct dump *dump,
		     const struct efs_tensor *tensor);

/* The groups, by efs_tensor's bits. */
enum { DUMP_GROUPS = 3 };
extern const struct dump_group {
	uint8_t bits; /* 8, 4, or 0: kept */
	const char *name;
} dump_groups[DUMP_GROUPS];
struct dump_totals dump_totals(const struct dump *dump, uint8_t bits);

double dump_bits_per_weight(uint64_t stored, uint64_t weights); /* 0 without weights */

/* Of a stream whose index is held: its blocks by efs_block_kind, and by code table. */
struct dump_blocks {
	uint64_t raw, coded, constant;
	uint64_t by_table[EFS_TABLES_MAX]; /* coded ones */
};
void dump_blocks(const struct image *image, uint32_t stream, struct dump_blocks *blocks);

/* How many symbols of a table have codes of each length, 0 to DUMP_LENGTHS - 1 bits. */
enum { DUMP_LENGTHS = CODEC_DEPTH_MAX + CODEC_BITS_MAX + 1 };
void dump_lengths(const struct codec_table *table, unsigned counts[DUMP_LENGTHS]);

const char *dump_scheme(uint8_t scheme);

/* Things by what they take: the largest first, those alike by their numbers. */
struct dump_ranked {
	uint64_t stored; /* bytes */
	uint32_t number;
};
void dump_rank(struct dump_ranked *things, size_t count);

/* To standard output. 0, or -1 if writing, memory or (tables) reading an index failed. */
int dump_text(const struct dump *dump);
int dump_json(const struct dump *dump);

#endif
