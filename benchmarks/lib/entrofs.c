/* SPDX-License-Identifier: MIT */
/*
 * entrofs.c - our codec as a contestant, kernel by kernel; see contestant.h.
 *
 * A block that does not get smaller is stored raw, as in an image. What the data cost is asked of
 * the image writer: blocks, code tables, block index and checksums as they would be stored, and the
 * data's share of the hash tree.
 */
#include "benchmarks/lib/contestant.h"
#include "image/writer.h"

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
	(void)self;
	(void)capacity;
	switch (codec_encode(plan->trees[piece->part], src, piece->size, dst, piece->size - 1,
			     coded_size, own)) {
	case CODEC_OK:
		return 0;
	case CODEC_TOO_LARGE:
		memcpy(dst, src, piece->size);
		*coded_size = piece->size;
		return 0;
	default:
		return -1;
	}
}

static int decode(const struct contestant *self, const struct plan *plan, void *own,
		  const struct piece *piece, const uint8_t *coded, uint8_t *dst)
{
	if (piece->coded_size == piece->size) {
		memcpy(dst, coded, piece->size);
		return 0;
	}
	return self->kernel->decode(plan->trees[piece->part], coded, piece->coded_size, dst,
				    piece->size, own) == CODEC_OK
		   ? 0
		   : -1;
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

/* Bytes of a part in an image. */
static uint64_t store(struct image_writer *writer, const struct data *data, const struct part *part,
		      const struct codec_table *table, const struct codec_tree *tree)
{
	struct codec_scratch *scratch = allocate(codec_scratch_size);
	uint8_t *stored = allocate(BLOCK_SIZE);
	struct image_cost cost;
	uint32_t stream;
	int failed = image_writer_begin_stream(writer, part->size, BLOCK_LOG2, table, 1, NULL) != 0;

	for (size_t done = 0; done < part->size && !failed; done += BLOCK_SIZE) {
		size_t size = part->size - done < BLOCK_SIZE ? part->size - done : BLOCK_SIZE;
		struct image_encoded block = image_encode_block(
		    tree, 0, data->bytes + part->offset + done, size, stored, scratch);
		failed = image_writer_put_block(writer, &block, stored, NULL) != 0;
	}
	if (failed || image_writer_end_stream(writer, &stream, &cost, NULL))
		fail("write an image");
	free(scratch);
	free(stored);
	return cost.payload + cost.index + cost.padding;
}

void plan_make(struct plan *plan, const struct data *data)
{
	const double hashes = 1 + (double)EFS_DIGEST_SIZE / (1 << EFS_HASH_LEAF_LOG2);
	struct codec_planner *planner = allocate(codec_planner_size);
	struct image_writer *writer;
	uint64_t bytes = 0;
	int fd = memfd_create("image", MFD_CLOEXEC);

	if (fd < 0 || image_writer_create(&writer, fd, "benchmark", NULL))
		fail("write an image");
	*plan = (struct plan){.tree_count = data->part_count};
	plan->trees = allocate(data->part_count * sizeof(struct codec_tree *));
	for (size_t i = 0; i < data->part_count; i++) {
		const struct part *part = &data->parts[i];
		uint64_t counts[CODEC_SYMBOLS] = {0};
		struct codec_table table;
		double start = now();
		codec_histogram(data->bytes + part->offset, part->size, counts);
		double counted = now();
		codec_design(counts, BLOCK_SIZE, planner, &table);
		plan->design_seconds += now() - counted;
		plan->histogram_seconds += counted - start;
		plan->trees[i] = allocate(codec_tree_size);
		if (codec_tree_build(plan->trees[i], &table) != CODEC_OK)
			fail("build a code tree");
		bytes += store(writer, data, part, &table, plan->trees[i]);
	}
	plan->design_seconds /= (double)data->part_count;
	plan->stored_bits = 8 * hashes * (double)bytes / (double)data->size;
	image_writer_destroy(writer);
	close(fd);
	free(planner);
}

void plan_free(struct plan *plan)
{
	for (size_t i = 0; i < plan->tree_count; i++)
		free(plan->trees[i]);
	free(plan->trees);
}
