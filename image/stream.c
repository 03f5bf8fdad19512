/* SPDX-License-Identifier: MIT */
/*
 * stream.c - a stream's block index, and blocks by it. It is loaded and validated whole.
 *
 * The index stays in memory as it lies on disk, 8 bytes a block; offsets are the sums of the sizes
 * before them, kept for every 64th block.
 */
#include "image/internal.h"

#include "image/checksum.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
	TREE_ALIGN = 64,
	MAPPED_SIZE = 64 << 10, /* bytes, from which on an index is mapped */
};

static void find_columns(struct stream_index *index, const struct efs_stream *stream)
{
	const uint8_t *at = index->raw;

	index->blocks = stream_blocks(stream);
	index->tables = (const void *)at;
	at += (size_t)stream->table_count * sizeof(struct codec_table);
	index->checksums = (const void *)at;
	at += index->blocks * sizeof(uint32_t);
	index->sizes = (const void *)at;
	at += index->blocks * sizeof(uint16_t);
	index->kinds = at;
	at += index->blocks;
	index->arguments = at;
}

static uint32_t block_stored_size(const struct stream_index *index, const struct efs_stream *stream,
				  uint64_t block)
{
	switch (index->kinds[block]) {
	case EFS_BLOCK_CODED:
		return index->sizes[block];
	case EFS_BLOCK_RAW:
		return block_raw_size(stream, block);
	default:
		return 0;
	}
}

static const char *block_fault(const struct stream_index *index, const struct efs_stream *stream,
			       uint64_t block)
{
	uint16_t size = index->sizes[block];
	uint8_t argument = index->arguments[block];

	switch (index->kinds[block]) {
	case EFS_BLOCK_RAW:
		return size || argument ? "a raw block has a size or an argument" : NULL;
	case EFS_BLOCK_CODED:
		if (argument >= stream->table_count)
			return "its code table does not exist";
		return size && size < block_raw_size(stream, block)
			   ? NULL
			   : "its stored size is impossible";
	case EFS_BLOCK_CONSTANT:
		return size ? "a constant block has a size" : NULL;
	default:
		return "it is of an unknown kind";
	}
}

static int check_blocks(struct stream_index *index, const struct efs_stream *stream,
			uint32_t number, struct image_diag *diag)
{
	uint64_t offset = 0;

	for (uint64_t i = 0; i < index->blocks; i++) {
		const char *fault = block_fault(index, stream, i);

		if (fault)
			return image_fail(diag, -EUCLEAN, "stream %u: index: block %llu: %s",
					  number, (unsigned long long)i, fault);
		if (i % INDEX_STEP == 0)
			index->offsets[i / INDEX_STEP] = offset;
		/* At most raw_size in all, so no overflow. */
		offset += block_stored_size(index, stream, i);
	}
	if (offset != stream->stored_size)
		return image_fail(diag, -EUCLEAN,
				  "stream %u: index: blocks do not add up to the stored size",
				  number);
	return 0;
}

static int build_trees(struct stream_index *index, const struct efs_stream *stream, uint32_t number,
		       struct image_diag *diag)
{
	for (uint32_t i = 0; i < stream->table_count; i++) {
		void *tree = index->trees + i * index->tree_stride;

		if (codec_tree_build(tree, &index->tables[i]) != CODEC_OK)
			return image_fail(diag, -EUCLEAN,
					  "stream %u: index: code table %u is not a complete code",
					  number, i);
	}
	return 0;
}

/* --- memory: structure, trees, offsets, raw index --------------------------------------------- */

static size_t round_up(size_t size)
{
	return (size + TREE_ALIGN - 1) / TREE_ALIGN * TREE_ALIGN;
}

static size_t offsets_count(const struct efs_stream *stream)
{
	return (size_t)(stream_blocks(stream) / INDEX_STEP + 1);
}

uint64_t efs_stream_index_size(const struct efs_stream *stream)
{
	return round_up(sizeof(struct stream_index)) +
	       stream->table_count * round_up(codec_tree_size) +
	       offsets_count(stream) * sizeof(uint64_t) + stream->index.raw_size;
}

/*
 * Large ones are mapped, as the system then gets back what is freed, at once and whole; of what
 * goes to and from the heap, the heap of each thread would keep more than the budget knows of.
 */
static void *allocate(size_t size)
{
	void *memory;

	if (size < MAPPED_SIZE)
		return aligned_alloc(TREE_ALIGN, round_up(size));
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return memory == MAP_FAILED ? NULL : memory;
}

static struct stream_index *create(const struct efs_stream *stream)
{
	size_t size = (size_t)efs_stream_index_size(stream);
	struct stream_index *index = allocate(size);
	uint8_t *at = (uint8_t *)index;

	if (!index)
		return NULL;
	*index = (struct stream_index){.size = size, .tree_stride = round_up(codec_tree_size)};
	at += round_up(sizeof(*index));
	index->trees = at;
	at += stream->table_count * index->tree_stride;
	index->offsets = (void *)at;
	at += offsets_count(stream) * sizeof(uint64_t);
	index->raw = at;
	find_columns(index, stream);
	return index;
}

void efs_stream_index_free(struct stream_index *index)
{
	if (index && index->size >= MAPPED_SIZE)
		munmap(index, index->size);
	else
		free(index);
}

/* --- loading ---------------------------------------------------------------------------------- */

static int load(struct stream_index *index, const struct image *image, uint32_t number,
		struct image_diag *diag)
{
	const struct efs_stream *stream = &image->catalog.streams[number];
	struct image_diag detail = {0};
	int err = efs_section_read(&image->file, &stream->index, index->raw, &detail);

	/* Afterwards: who writes front to back has then changed the superblock first. */
	if (!err)
		err = efs_image_check_same(image, &detail);
	if (err)
		return image_fail(diag, err, "stream %u: index: %s", number, detail.text);
	err = check_blocks(index, stream, number, diag);
	return err ? err : build_trees(index, stream, number, diag);
}

int efs_stream_index_load(const struct image *image, uint32_t stream, struct stream_index **index,
			  struct image_diag *diag)
{
	struct stream_index *made = create(&image->catalog.streams[stream]);
	int err = made ? load(made, image, stream, diag)
		       : image_fail(diag, -ENOMEM, "stream %u: index: out of memory", stream);

	if (err)
		efs_stream_index_free(made);
	else
		*index = made;
	return err;
}

uint64_t image_block_count(const struct image *image, uint32_t stream)
{
	return stream_blocks(&image->catalog.streams[stream]);
}

struct image_block image_block(const struct image *image, uint32_t stream, uint64_t block)
{
	const struct efs_stream *record = &image->catalog.streams[stream];
	const struct stream_index *index = held_index(image, stream);
	uint64_t offset = record->offset + index->offsets[block / INDEX_STEP];

	for (uint64_t i = block - block % INDEX_STEP; i < block; i++)
		offset += block_stored_size(index, record, i);
	return (struct image_block){
	    .offset = offset,
	    .stored_size = block_stored_size(index, record, block),
	    .raw_size = block_raw_size(record, block),
	    .checksum = index->checksums[block],
	    .kind = index->kinds[block],
	    .argument = index->arguments[block],
	};
}

uint32_t image_stored_size(const struct image *image, uint32_t stream, uint64_t block)
{
	return block_stored_size(held_index(image, stream), &image->catalog.streams[stream], block);
}

const struct codec_table *image_table(const struct image *image, uint32_t stream, uint32_t table)
{
	return &held_index(image, stream)->tables[table];
}

int image_decode_block(const struct image *image, uint32_t stream, uint64_t block,
		       const uint8_t *stored, uint8_t *raw, struct image_scratch *scratch,
		       struct image_diag *diag)
{
	const struct efs_stream *record = &image->catalog.streams[stream];
	const struct stream_index *index = held_index(image, stream);
	uint32_t raw_size = block_raw_size(record, block);
	uint8_t argument = index->arguments[block];
	enum codec_result result = CODEC_OK;
	struct codec_fold fold;

	fold.covered = 0; /* and so it stays, unless there is something to decode */
	switch (index->kinds[block]) {
	case EFS_BLOCK_RAW:
		memcpy(raw, stored, raw_size);
		break;
	case EFS_BLOCK_CONSTANT:
		memset(raw, argument, raw_size);
		break;
	default:
		result =
		    codec_decode((const void *)(index->trees + argument * index->tree_stride),
				 stored, index->sizes[block], raw, raw_size, scratch->codec, &fold);
	}
	if (result == CODEC_OK &&
	    checksum_of_folded(&fold, raw, raw_size) == index->checksums[block])
		return 0;
	return image_fail(diag, -EUCLEAN, "stream %u: block %llu at byte %llu: %s", stream,
			  (unsigned long long)block,
			  (unsigned long long)image_block(image, stream, block).offset,
			  result == CODEC_OK ? "wrong checksum" : "not decodable");
}
