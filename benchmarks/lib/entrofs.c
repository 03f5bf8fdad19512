/* SPDX-License-Identifier: MIT */
/*
 * entrofs.c - our codec as a contestant, kernel by kernel; see contestant.h.
 *
 * A block that does not get smaller is stored raw, as in an image. What the data cost is asked of
 * the image writer: blocks, code tables, block index and checksums as they would be stored, and the
 * data's share of the hash tree.
 */
#include "benchmarks/lib/contestant.h"
#include "image/checksum.h"
#include "image/writer.h"
#include "mkfs/tables.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BLOCK_LOG2 = 14 };
_Static_assert(BLOCK_SIZE == 1 << BLOCK_LOG2, "the same size");

static void *open_scratch(void)
{
	return allocate(codec_scratch_size);
}

static size_t bound(size_t size)
{
	return size;
}

static int encode(const struct contestant *self, const struct plan *plan, void *own,
		  const struct piece *piece, const uint8_t *src, uint8_t *dst, size_t capacity,
		  size_t *coded_size)
{
	const struct block *block = &plan->blocks[piece->number];

	(void)capacity;
	if (block->kind == EFS_BLOCK_CONSTANT) {
		dst[0] = src[0];
		*coded_size = 1;
		return 0;
	}
	/* Whether a block is to be stored raw is known after trying. */
	if (block->tree && self->kernel->encode(block->tree, src, piece->size, dst, piece->size - 1,
						coded_size, own) == CODEC_OK)
		return 0;
	memcpy(dst, src, piece->size);
	*coded_size = piece->size;
	return block->kind == EFS_BLOCK_RAW ? 0 : -1;
}

static int decode(const struct contestant *self, const struct plan *plan, void *own,
		  const struct piece *piece, const uint8_t *coded, uint8_t *dst)
{
	const struct block *block = &plan->blocks[piece->number];
	struct codec_fold fold;

	fold.covered = 0;
	switch (block->kind) {
	case EFS_BLOCK_RAW:
		memcpy(dst, coded, piece->size);
		break;
	case EFS_BLOCK_CONSTANT:
		memset(dst, coded[0], piece->size);
		break;
	default:
		if (self->kernel->decode(block->tree, coded, piece->coded_size, dst, piece->size,
					 own, &fold))
			return -1;
	}
	return self->verifies && checksum_of_folded(&fold, dst, piece->size) != piece->checksum;
}

static const struct contestant_methods methods = {open_scratch, free, bound, encode, decode};

unsigned contestants_of_entrofs(struct contestant *list)
{
	struct contestant self = {
	    .codec = "entrofs", .piece_size = BLOCK_SIZE, .methods = &methods};
	unsigned count = 0;

	/* The first is the reference for tests; it makes no claim to speed. */
	for (unsigned i = 1; codec_kernels[i]; i++) {
		if (!codec_kernels[i]->supported())
			continue;
		self.kernel = codec_kernels[i];
		list[count++] = self;
	}
	strcpy(self.codec, "entrofs+crc32");
	self.kernel = codec_kernel_in_use();
	self.verifies = 1;
	list[count++] = self;
	return count;
}

/* What plan_make() works with, for one part after the other. */
struct planner {
	const struct data *data;
	struct tables *tables;
	struct image_writer *writer;
	struct codec_scratch *scratch;
	uint8_t *stored; /* a block */
	uint64_t bytes;  /* of all streams in the image */
};

static int is_constant(const uint8_t *raw, size_t size)
{
	return memcmp(raw, raw + 1, size - 1) == 0;
}

/* Chooses the part's tables and appends their trees to the plan's. */
static void choose_tables(struct planner *planner, const struct part *part, struct plan *plan)
{
	uint64_t counts[CODEC_SYMBOLS] = {0};
	const uint8_t *bytes = planner->data->bytes + part->offset;
	double start = now(), counted;

	tables_begin(planner->tables, (part->size + BLOCK_SIZE - 1) / BLOCK_SIZE, TABLES_MAX);
	for (size_t done = 0; done < part->size; done += BLOCK_SIZE) {
		size_t size = part->size - done < BLOCK_SIZE ? part->size - done : BLOCK_SIZE;
		uint64_t own[CODEC_SYMBOLS] = {0};
		if (is_constant(bytes + done, size))
			continue;
		codec_histogram(bytes + done, size, own);
		for (unsigned symbol = 0; symbol < CODEC_SYMBOLS; symbol++)
			counts[symbol] += own[symbol];
		tables_note(planner->tables, done / BLOCK_SIZE, own);
	}
	counted = now();
	tables_choose(planner->tables, counts);
	plan->design_seconds += now() - counted;
	plan->histogram_seconds += counted - start;
	for (unsigned i = 0; i < tables_count(planner->tables); i++) {
		struct codec_tree *tree = allocate(codec_tree_size);
		if (codec_tree_build(tree, &tables_list(planner->tables)[i]) != CODEC_OK)
			fail("build a code tree");
		plan->trees[plan->tree_count++] = tree;
	}
}

/* Writes the part to the image and its blocks to the plan. */
static void store(struct planner *planner, const struct part *part, struct plan *plan)
{
	unsigned tables = tables_count(planner->tables);
	struct codec_tree **trees = plan->trees + plan->tree_count - tables;
	struct image_cost cost;
	uint32_t stream;

	if (image_writer_begin_stream(planner->writer, part->size, BLOCK_LOG2,
				      tables ? tables_list(planner->tables) : NULL, tables, NULL))
		fail("write an image");
	for (size_t done = 0; done < part->size; done += BLOCK_SIZE) {
		size_t size = part->size - done < BLOCK_SIZE ? part->size - done : BLOCK_SIZE;
		const uint8_t *raw = planner->data->bytes + part->offset + done;
		unsigned table = 0;
		if (tables && !is_constant(raw, size))
			table = tables_pick(planner->tables, done / BLOCK_SIZE, raw, size);
		const struct codec_tree *tree = tables ? trees[table] : NULL;
		struct image_encoded block = image_encode_block(tree, (uint8_t)table, raw, size,
								planner->stored, planner->scratch);
		if (image_writer_put_block(planner->writer, &block, planner->stored, NULL))
			fail("write an image");
		plan->blocks[plan->block_count++] =
		    (struct block){(enum efs_block_kind)block.kind, tree};
	}
	if (image_writer_end_stream(planner->writer, &stream, &cost, NULL))
		fail("write an image");
	planner->bytes += cost.payload + cost.index + cost.padding;
}

void plan_make(struct plan *plan, const struct data *data)
{
	const double hashes = 1 + (double)EFS_DIGEST_SIZE / (1 << EFS_HASH_LEAF_LOG2);
	struct planner planner = {.data = data,
				  .tables = tables_create(BLOCK_SIZE),
				  .scratch = allocate(codec_scratch_size),
				  .stored = allocate(BLOCK_SIZE)};
	int fd = memfd_create("image", MFD_CLOEXEC);

	if (!planner.tables)
		fail("allocate memory");
	if (fd < 0 || image_writer_create(&planner.writer, fd, "benchmark", NULL))
		fail("write an image");
	*plan = (struct plan){.tree_count = 0};
	plan->trees = allocate(data->part_count * TABLES_MAX * sizeof *plan->trees);
	plan->blocks =
	    allocate((data->size / BLOCK_SIZE + data->part_count) * sizeof *plan->blocks);
	for (size_t i = 0; i < data->part_count; i++) {
		choose_tables(&planner, &data->parts[i], plan);
		store(&planner, &data->parts[i], plan);
	}
	plan->stored_bits = 8 * hashes * (double)planner.bytes / (double)data->size;
	image_writer_destroy(planner.writer);
	tables_destroy(planner.tables);
	close(fd);
	free(planner.scratch);
	free(planner.stored);
}

void plan_free(struct plan *plan)
{
	for (size_t i = 0; i < plan->tree_count; i++)
		free(plan->trees[i]);
	free(plan->trees);
	free(plan->blocks);
}
