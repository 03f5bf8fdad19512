/* SPDX-License-Identifier: MIT */
/*
 * tables.h - code tables that are no complete code, or not the one that the blocks were coded with;
 * and coded blocks that were changed. All checksums of stored bytes are right.
 */
#ifndef ENTROFS_TESTS_TABLES_H
#define ENTROFS_TESTS_TABLES_H

#include "tests/hostile/forge.h"

enum {
	TABLES_RAW = 4096,    /* bytes of the one block */
	TABLES_RANDOM = 1500, /* random changes of a table */
	TABLES_BLOCKS = 600,  /* random changes of a block */
	TABLES_SYMBOLS = 128, /* that the right table has */
};

struct tables {
	struct hostile *hostile;
	uint8_t raw[TABLES_RAW], *stored;
	size_t stored_size;
	struct codec_table right;
	struct truth truth;
	struct buffer out;
};

static inline void tables_setup(struct tables *t, struct hostile *hostile)
{
	struct codec_scratch *scratch = build_aligned(codec_scratch_size);
	struct codec_tree *tree = build_aligned(codec_tree_size);
	struct image_encoded block;
	uint64_t seed = 6;

	*t = (struct tables){.hostile = hostile, .stored = build_aligned(CODEC_BLOCK_MAX)};
	for (size_t i = 0; i < TABLES_RAW; i++)
		t->raw[i] = (uint8_t)(build_random(&seed) % TABLES_SYMBOLS);
	memset(t->right.code, CODEC_ABSENT, sizeof(t->right.code));
	memset(t->right.code, 0x43, TABLES_SYMBOLS); /* 8 chunks of 16 symbols at depth 3 */
	if (codec_tree_build(tree, &t->right) != CODEC_OK)
		abort();
	block = image_encode_block(tree, 0, t->raw, TABLES_RAW, t->stored, scratch);
	if (block.kind != EFS_BLOCK_CODED)
		abort();
	t->stored_size = block.stored_size;
	t->truth.streams[0] = (struct truth_source){t->raw, TABLES_RAW, 0};
	hostile->truth = &t->truth;
	free(scratch);
	free(tree);
}

static inline void tables_teardown(struct tables *t)
{
	free(t->stored);
	efs_buffer_free(&t->out);
}

/* The image with these tables, its block coded with number `argument`. */
static inline void tables_lay(struct tables *t, const struct codec_table *tables, unsigned count,
			      uint8_t argument)
{
	struct efs_piece piece = {EFS_PIECE_STREAM, 0, 0, TABLES_RAW};
	struct efs_stream stream = {.stored_size = t->stored_size,
				    .raw_size = TABLES_RAW,
				    .block_log2 = EFS_BLOCK_LOG2_MIN,
				    .table_count = (uint16_t)count};
	uint32_t checksum = checksum_of(t->raw, TABLES_RAW);
	uint16_t size = (uint16_t)t->stored_size;
	const uint8_t kind_and_argument[] = {EFS_BLOCK_CODED, argument};
	struct buffer index = {0};
	struct forge forge;

	forge_begin(&forge);
	stream.offset = forge_body(&forge, t->stored, t->stored_size, EFS_STREAM_ALIGN);
	forge_put(&index, tables, count * sizeof(*tables));
	forge_put(&index, &checksum, sizeof(checksum));
	forge_put(&index, &size, sizeof(size));
	forge_put(&index, kind_and_argument, sizeof(kind_and_argument));
	stream.index = forge_section(&forge, index.data, index.size, index.data, index.size);
	forge_add(&forge, FIELD_STREAM, &stream);
	forge_child(&forge, "f", &piece);
	forge_node(&forge, 0)->count = 1;
	forge_link(&forge);
	forge_lay(&forge, &t->out);
	forge_free(&forge);
	efs_buffer_free(&index);
}

/* Whether a table is a complete code, by the words of docs/format.md. */
static inline int tables_is_complete(const struct codec_table *table)
{
	unsigned counts[256] = {0}, sum = 0;

	for (unsigned i = 0; i < 256; i++)
		counts[table->code[i]]++;
	for (unsigned value = 0; value < CODEC_ABSENT; value++) {
		unsigned bits = value >> 4, depth = value & 15;

		if (counts[value] && (bits > 8 || counts[value] % (1u << bits)))
			return 0;
		sum += (counts[value] >> bits) << (15 - depth);
	}
	return sum == 1u << 15;
}

static inline void tables_try(struct tables *t, const struct codec_table *table, const char *what)
{
	int is_right = memcmp(table, &t->right, sizeof(*table)) == 0;

	tables_lay(t, table, 1, 0);
	hostile_put(t->hostile, &t->out,
		    is_right                    ? HOSTILE_SERVED
		    : tables_is_complete(table) ? HOSTILE_JUDGED
						: HOSTILE_REFUSED,
		    NULL, "%s", what);
}

/* Symbols from `first` on, `count` of them, get a code. */
struct table_run {
	unsigned first, count, code;
};

static inline void tables_runs(struct tables *t, const struct table_run *runs, size_t count,
			       const char *what)
{
	struct codec_table table;

	memset(table.code, CODEC_ABSENT, sizeof(table.code));
	for (size_t i = 0; i < count; i++)
		memset(table.code + runs[i].first, (int)runs[i].code, runs[i].count);
	tables_try(t, &table, what);
}

static inline void tables_shapes(struct tables *t)
{
	static const struct {
		const char *what;
		struct table_run runs[3];
	} shapes[] = {
	    {"no symbol at all", {{0}}},
	    {"one symbol", {{7, 1, 0x00}}},
	    {"one symbol below an inner node", {{7, 1, 0x01}}},
	    {"two symbols at the root", {{7, 2, 0x00}}},
	    {"three halves", {{7, 3, 0x01}}},
	    {"a half and a quarter", {{7, 1, 0x01}, {9, 1, 0x02}}},
	    {"all symbols at the root", {{0, 256, 0x00}}},
	    {"all symbols at depth 1", {{0, 256, 0x01}}},
	    {"all symbols at depth 8", {{0, 256, 0x08}}},
	    {"all symbols at depth 7", {{0, 256, 0x07}}},
	    {"all symbols at depth 9", {{0, 256, 0x09}}},
	    {"all symbols at depth 15", {{0, 256, 0x0f}}},
	    {"a chunk of 256", {{0, 256, 0x80}}},
	    {"a chunk of 256 below an inner node", {{0, 256, 0x81}}},
	    {"a chunk of 256 that lacks one", {{0, 255, 0x80}}},
	    {"chunks of 512", {{0, 256, 0x90}}},
	    {"chunks of 2^14", {{0, 256, 0xe0}}},
	    {"two chunks of 128 at the root", {{0, 256, 0x70}}},
	    {"a chunk of 16 that lacks one", {{0, 127, 0x43}}},
	    {"a symbol too many", {{0, 128, 0x43}, {200, 1, 0x0f}}},
	    {"a chunk too few", {{0, 112, 0x43}}},
	    {"the right lengths, other chunks", {{0, 128, 0x34}}},
	    {"the right lengths, single symbols", {{0, 128, 0x07}}},
	    {"the same table for other symbols", {{64, 128, 0x43}}},
	};
	struct table_run chain[16];

	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		tables_runs(t, shapes[i].runs, 3, shapes[i].what);
	for (unsigned last = 1; last <= 15; last++) {
		for (unsigned i = 0; i < last; i++)
			chain[i] = (struct table_run){i, 1, i + 1};
		tables_runs(t, chain, last, "a chain without its end");
		chain[last] = (struct table_run){last, 1, last};
		tables_runs(t, chain, last + 1, "a chain, not the table of this block");
	}
}

static inline void tables_random(struct tables *t)
{
	uint64_t seed = 15;

	for (unsigned round = 0; round < TABLES_RANDOM; round++) {
		struct codec_table table = t->right;
		unsigned a = build_random(&seed) % 256, b = build_random(&seed) % 256;
		uint8_t code = table.code[a];

		switch (round % 3) {
		case 0: /* one code */
			table.code[a] = (uint8_t)build_random(&seed);
			break;
		case 1: /* two symbols change places: complete, but another code */
			table.code[a] = table.code[b];
			table.code[b] = code;
			break;
		default: /* anything */
			for (unsigned i = 0; i < build_random(&seed) % 256; i++) {
				a = build_random(&seed) % 256;
				table.code[a] = (uint8_t)build_random(&seed);
			}
		}
		tables_try(t, &table, "random codes");
	}
}

/* Several tables, of which one is bad, and blocks that name one that is not there. */
static inline void tables_several(struct tables *t)
{
	static const unsigned counts[] = {1, 2, 3, 255, 256};
	struct codec_table tables[EFS_TABLES_MAX];

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		unsigned count = counts[i];
		unsigned arguments[] = {0, count - 1, count, 255, count / 2};

		for (size_t k = 0; k < sizeof(arguments) / sizeof(arguments[0]); k++) {
			for (unsigned n = 0; n < count; n++)
				tables[n] = t->right;
			tables_lay(t, tables, count, (uint8_t)arguments[k]);
			hostile_put(t->hostile, &t->out,
				    (uint8_t)arguments[k] < count ? HOSTILE_SERVED
								  : HOSTILE_REFUSED,
				    NULL, "table %u of %u", arguments[k], count);
			tables[arguments[k] % count].code[3] = 0x44;
			tables_lay(t, tables, count, 0);
			hostile_put(t->hostile, &t->out, HOSTILE_REFUSED, NULL,
				    "of %u tables one is bad", count);
		}
	}
	tables_lay(t, tables, 0, 0);
	hostile_put(t->hostile, &t->out, HOSTILE_REFUSED, NULL, "a coded block without a table");
}

static inline void hostile_tables(struct hostile *hostile)
{
	struct tables t;

	hostile->class = "tables";
	tables_setup(&t, hostile);
	tables_try(&t, &t.right, "the right table");
	tables_shapes(&t);
	tables_random(&t);
	tables_several(&t);
	tables_teardown(&t);
}

/* Coded bytes changed, cut and made longer: the hash tree knows nothing of it. */
static inline void hostile_blocks(struct hostile *hostile)
{
	uint64_t seed = 16;
	uint8_t *good;
	struct tables t;
	size_t size;

	hostile->class = "blocks";
	tables_setup(&t, hostile);
	size = t.stored_size;
	good = malloc(size);
	memcpy(good, t.stored, size);
	for (unsigned round = 0; round < TABLES_BLOCKS; round++) {
		size_t at = build_random(&seed) % size, count = 1 + build_random(&seed) % 60;

		switch (round % 4) {
		case 0:
			t.stored[at] ^= (uint8_t)(1 << build_random(&seed) % 8);
			break;
		case 1:
			for (size_t i = at; i < size && i < at + count; i++)
				t.stored[i] = (uint8_t)build_random(&seed);
			break;
		case 2:
			t.stored_size = size - 1 - count % (size - 1);
			break;
		default:
			t.stored_size = size + count;
			memset(t.stored + size, 0, count);
		}
		tables_lay(&t, &t.right, 1, 0);
		hostile_put(hostile, &t.out,
			    t.stored_size == size && !memcmp(good, t.stored, size)
				? HOSTILE_JUDGED
				: HOSTILE_REFUSED,
			    NULL, "change %u of a block", round);
		memcpy(t.stored, good, size);
		t.stored_size = size;
	}
	free(good);
	tables_teardown(&t);
}

#endif
