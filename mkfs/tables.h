/* SPDX-License-Identifier: MIT */
/*
 * tables.h - chooses the code tables of a stream, and one of them for each of its blocks.
 *
 * The rows of a weight matrix differ in spread, and so do the blocks that hold them: a table for
 * each kind of block is smaller than one for all, if it saves more than it costs. What is chosen
 * depends on the bytes of the stream alone, not on the order or the threads in which they come.
 *
 * Order of calls for each stream: begin, note for all blocks, choose, then the others. Only note
 * and what takes a const struct may be called by several threads at once.
 */
#ifndef ENTROFS_TABLES_H
#define ENTROFS_TABLES_H

#include "codec/codec.h"

#include <stddef.h>
#include <stdint.h>

enum {
	TABLES_MAX = 16,
	TABLES_SAMPLE = 1024, /* blocks looked at closely, at most: all of 16 MiB */
};

struct tables;

/* For streams in blocks of block_size bytes, at most 32 KiB. About 3 MiB; NULL without memory. */
struct tables *tables_create(size_t block_size);
void tables_destroy(struct tables *tables);

/* most: tables allowed, 1 to TABLES_MAX. */
void tables_begin(struct tables *tables, uint64_t blocks, unsigned most);

/* The counts of a block's bytes. Not for blocks of one value: they need no table. */
void tables_note(struct tables *tables, uint64_t block, const uint64_t counts[CODEC_SYMBOLS]);

/* counts: the sum over all blocks noted. */
void tables_choose(struct tables *tables, const uint64_t counts[CODEC_SYMBOLS]);

/* How many there are, 0 if nothing is worth coding, and their array. */
unsigned tables_count(const struct tables *tables);
const struct codec_table *tables_list(const struct tables *tables);

/* The table that makes this block smallest (raw: its bytes), and its tree; NULL without tables. */
unsigned tables_pick(const struct tables *tables, uint64_t block, const uint8_t *raw, size_t size);
const struct codec_tree *tables_tree(const struct tables *tables, unsigned table);

#endif
