/* SPDX-License-Identifier: MIT */
/*
 * tables.c - chooses the code tables of a stream; see tables.h.
 *
 * codec_cluster_divide() proposes one more kind of block at a time, by estimates; for each proposal
 * real tables are designed, and the exact size of every block with the best of them decides. Of a
 * stream with more than TABLES_SAMPLE blocks only a sample is looked at so closely. Tables made for
 * a sample need not have all symbols of all blocks, so the table for the whole stream then stays
 * among them: no block gets larger than with that alone.
 */
#include "mkfs/tables.h"

#include "codec/cluster.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
	ALIGN = 64,
	/* A table's bytes in the compressed index, about, and the blocks whose numbers take one. */
	TABLE_COST = 128,
	BLOCKS_PER_BYTE = 8,
	FIRST_TABLE_COST = 32, /* and half a byte per symbol */
	CODED_BLOCK_COST = 32, /* bytes that coding a block must save, for it slows down reading */
	/* What a further table must bring beyond that, as every reader has 6 KiB in memory for it:
	 * so many bytes, and 1/2048 of the stream. */
	LEAST_SAVING = 512,
	LEAST_SHARE_LOG2 = 11,
	UNCODED = 255,
};

/* A set of tables, and what the sample takes with it. */
struct choice {
	unsigned count;
	struct codec_table list[TABLES_MAX];
	uint64_t size; /* of all its blocks, stored, in bytes */
};

/* The lengths of a table's codes, ready for multiplying. */
struct lengths {
	uint16_t bits[CODEC_SYMBOLS];
	uint16_t absent[CODEC_SYMBOLS]; /* all ones if the symbol has no code */
};

struct tables {
	size_t block_size;
	uint64_t blocks;
	unsigned most;
	unsigned stride_log2; /* one block in so many is in the sample */
	size_t unit_count;
	struct codec_unit units[TABLES_SAMPLE]; /* all zeros: constant, or no such block */
	uint8_t numbers[TABLES_SAMPLE];         /* the table of each unit, or UNCODED */
	struct codec_table whole;               /* for all blocks, be they in the sample or not */
	int whole_pays;
	struct choice chosen, tried;
	struct lengths lengths[TABLES_MAX]; /* of the choice measured last */
	struct codec_clusters *clusters;
	struct codec_planner *planner;
	uint8_t *trees; /* of the choice, tree_stride bytes each */
	size_t tree_stride;
};

static size_t aligned_size(size_t size)
{
	return (size + ALIGN - 1) / ALIGN * ALIGN;
}

struct tables *tables_create(size_t block_size)
{
	struct tables *t = calloc(1, sizeof *t);

	if (!t)
		return NULL;
	t->block_size = block_size;
	t->tree_stride = aligned_size(codec_tree_size);
	t->clusters = aligned_alloc(ALIGN, aligned_size(codec_clusters_size));
	t->planner = aligned_alloc(ALIGN, aligned_size(codec_planner_size));
	t->trees = aligned_alloc(ALIGN, TABLES_MAX * t->tree_stride);
	if (t->clusters && t->planner && t->trees)
		return t;
	tables_destroy(t);
	return NULL;
}

void tables_destroy(struct tables *t)
{
	if (!t)
		return;
	free(t->clusters);
	free(t->planner);
	free(t->trees);
	free(t);
}

/* --- the sample ------------------------------------------------------------------------------- */

void tables_begin(struct tables *t, uint64_t blocks, unsigned most)
{
	t->blocks = blocks;
	t->most = most;
	t->stride_log2 = 0;
	while (blocks && (blocks - 1) >> t->stride_log2 >= TABLES_SAMPLE)
		t->stride_log2++;
	t->unit_count = blocks ? (size_t)((blocks - 1) >> t->stride_log2) + 1 : 0;
	memset(t->units, 0, t->unit_count * sizeof *t->units);
	t->chosen.count = 0;
}

/* One block of each stride, not always the same one: tensors repeat in powers of two. */
static uint64_t sampled_block(const struct tables *t, uint64_t unit)
{
	uint64_t mixed = unit * UINT64_C(0x9e3779b97f4a7c15) >> 32;

	return (unit << t->stride_log2) + (mixed & ((UINT64_C(1) << t->stride_log2) - 1));
}

static void fill_unit(struct codec_unit *unit, const uint64_t counts[CODEC_SYMBOLS])
{
	unit->size = 0;
	for (unsigned symbol = 0; symbol < CODEC_SYMBOLS; symbol++) {
		unit->counts[symbol] = (uint16_t)counts[symbol];
		unit->size += unit->counts[symbol];
	}
}

void tables_note(struct tables *t, uint64_t block, const uint64_t counts[CODEC_SYMBOLS])
{
	uint64_t unit = block >> t->stride_log2;

	if (sampled_block(t, unit) == block)
		fill_unit(&t->units[unit], counts);
}

/* --- sizes ------------------------------------------------------------------------------------ */

static void find_lengths(struct tables *t, const struct choice *choice)
{
	for (unsigned i = 0; i < choice->count; i++) {
		for (unsigned symbol = 0; symbol < CODEC_SYMBOLS; symbol++) {
			uint8_t code = choice->list[i].code[symbol];
			int absent = code == CODEC_ABSENT;
			t->lengths[i].absent[symbol] = absent ? UINT16_MAX : 0;
			t->lengths[i].bits[symbol] = absent ? 0 : (code >> 4) + (code & 15);
		}
	}
}

/* What a block is stored in with this table: exactly, and its raw size if it cannot be coded. */
static uint32_t stored_size(const struct codec_unit *unit, const struct lengths *lengths)
{
	uint32_t bits = 0;
	uint16_t missing = 0;

	for (unsigned symbol = 0; symbol < CODEC_SYMBOLS; symbol++) {
		bits += (uint32_t)unit->counts[symbol] * lengths->bits[symbol];
		missing |= unit->counts[symbol] & lengths->absent[symbol];
	}
	bits = (bits + 7) / 8;
	return missing || bits > unit->size ? unit->size : bits;
}

/* The table that makes a block smallest, or UNCODED, and its size then. */
static unsigned pick(const struct tables *t, const struct codec_unit *unit, unsigned count,
		     uint32_t *size)
{
	unsigned best = UNCODED;

	*size = unit->size;
	for (unsigned i = 0; i < count; i++) {
		uint32_t stored = stored_size(unit, &t->lengths[i]);
		if (stored < *size) {
			*size = stored;
			best = i;
		}
	}
	return best;
}

/* Finds the size of a choice, and which of its tables each unit takes. */
static void measure(struct tables *t, struct choice *choice)
{
	find_lengths(t, choice);
	choice->size = 0;
	for (size_t i = 0; i < t->unit_count; i++) {
		uint32_t size;
		t->numbers[i] = (uint8_t)pick(t, &t->units[i], choice->count, &size);
		choice->size += size;
	}
}

/* --- choices ---------------------------------------------------------------------------------- */

static uint64_t sum(const uint64_t counts[CODEC_SYMBOLS])
{
	uint64_t total = 0;

	for (unsigned symbol = 0; symbol < CODEC_SYMBOLS; symbol++)
		total += counts[symbol];
	return total;
}

/* Designs the table for the whole stream, from counts that are exact, whatever the sample. */
static void try_whole(struct tables *t, const uint64_t counts[CODEC_SYMBOLS])
{
	const struct codec_table *table = &t->whole;
	uint64_t bits = 0, symbols = 0;

	t->whole_pays = 0;
	for (unsigned symbol = 0; symbol < CODEC_SYMBOLS; symbol++)
		symbols += counts[symbol] > 0;
	if (symbols < 2)
		return;
	codec_design(counts, t->block_size, t->planner, &t->whole);
	for (unsigned symbol = 0; symbol < CODEC_SYMBOLS; symbol++) {
		if (counts[symbol])
			bits += counts[symbol] *
				(uint64_t)((table->code[symbol] >> 4) + (table->code[symbol] & 15));
	}
	t->whole_pays =
	    bits / 8 + FIRST_TABLE_COST + symbols / 2 + t->blocks * CODED_BLOCK_COST < sum(counts);
}

/* The whole stream's table serves blocks that no other table can code. */
static int keeps_whole(const struct tables *t)
{
	return t->stride_log2 && t->whole_pays;
}

/* Designs a table for the units that have this number. 0, or -1 if there are none. */
static int design(struct tables *t, unsigned number, struct codec_table *table)
{
	uint64_t counts[CODEC_SYMBOLS] = {0}, size = 0;

	for (size_t i = 0; i < t->unit_count; i++) {
		if (t->numbers[i] != number)
			continue;
		for (unsigned symbol = 0; symbol < CODEC_SYMBOLS; symbol++)
			counts[symbol] += t->units[i].counts[symbol];
		size += t->units[i].size;
	}
	if (size)
		codec_design(counts, t->block_size, t->planner, table);
	return size ? 0 : -1;
}

/* Takes the choice that was tried if it is better by the price of its tables. */
static void accept(struct tables *t, uint64_t price)
{
	if (t->tried.size + t->tried.count * price < t->chosen.size + t->chosen.count * price)
		t->chosen = t->tried;
}

/* Tries ever more groups of blocks; only the two that came of one need new tables each time. */
static void try_groups(struct tables *t, uint64_t least, uint64_t price)
{
	struct choice *tried = &t->tried;
	unsigned base = keeps_whole(t) ? 1 : 0;

	tried->list[0] = t->whole;
	codec_cluster_start(t->clusters, t->units, t->unit_count);
	for (unsigned made = 1; base + made < t->most; made++) {
		int divided = codec_cluster_divide(t->clusters, least);
		if (divided < 0)
			break;
		for (size_t i = 0; i < t->unit_count; i++)
			t->numbers[i] = t->units[i].group;
		design(t, (unsigned)divided, &tried->list[base + (unsigned)divided]);
		design(t, made, &tried->list[base + made]);
		tried->count = base + made + 1;
		measure(t, tried);
		accept(t, price);
	}
}

/* Real tables attract other blocks than estimates did, and are made to measure for those. */
static void fit_tables(struct tables *t, uint64_t price)
{
	measure(t, &t->chosen);
	t->tried.count = 0;
	for (unsigned n = 0; n < t->chosen.count; n++) {
		struct codec_table *table = &t->tried.list[t->tried.count];
		if (n == 0 && keeps_whole(t))
			*table = t->whole;
		else if (design(t, n, table))
			continue;
		t->tried.count++;
	}
	measure(t, &t->tried);
	accept(t, price);
}

static void add_tables(struct tables *t)
{
	/* In bytes of the sample. */
	uint64_t cost = (TABLE_COST + t->blocks / BLOCKS_PER_BYTE) >> t->stride_log2;
	uint64_t price = LEAST_SAVING >> t->stride_log2;

	if (price < t->chosen.size >> LEAST_SHARE_LOG2)
		price = t->chosen.size >> LEAST_SHARE_LOG2;
	price += cost;
	try_groups(t, 8 * cost, price);
	if (t->chosen.count > 1)
		fit_tables(t, price);
}

void tables_choose(struct tables *t, const uint64_t counts[CODEC_SYMBOLS])
{
	uint64_t raw_size = 0;

	for (size_t i = 0; i < t->unit_count; i++)
		raw_size += t->units[i].size;
	try_whole(t, counts);
	t->chosen.count = 0;
	if (t->whole_pays)
		t->chosen.list[t->chosen.count++] = t->whole;
	measure(t, &t->chosen);
	if (!t->chosen.count) {
		/* What coding would have to save. */
		uint64_t cost = t->unit_count * CODED_BLOCK_COST;
		t->chosen.size -= t->chosen.size < cost ? t->chosen.size : cost;
	}
	if (raw_size && t->most > 1)
		add_tables(t);
	measure(t, &t->chosen);
	/* What is not a complete code is refused by the image's writer. */
	for (unsigned i = 0; i < t->chosen.count; i++)
		codec_tree_build((void *)(t->trees + i * t->tree_stride), &t->chosen.list[i]);
}

/* --- use -------------------------------------------------------------------------------------- */

unsigned tables_count(const struct tables *t)
{
	return t->chosen.count;
}

const struct codec_table *tables_list(const struct tables *t)
{
	return t->chosen.list;
}

unsigned tables_pick(const struct tables *t, uint64_t block, const uint8_t *raw, size_t size)
{
	unsigned table;

	if (t->chosen.count < 2)
		return 0;
	if (t->stride_log2) {
		uint64_t counts[CODEC_SYMBOLS] = {0};
		struct codec_unit unit;
		uint32_t stored;
		codec_histogram(raw, size, counts);
		fill_unit(&unit, counts);
		table = pick(t, &unit, t->chosen.count, &stored);
	} else {
		table = t->numbers[block];
	}
	return table == UNCODED ? 0 : table;
}

const struct codec_tree *tables_tree(const struct tables *t, unsigned table)
{
	return t->chosen.count ? (const void *)(t->trees + table * t->tree_stride) : NULL;
}
