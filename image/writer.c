/* SPDX-License-Identifier: MIT */
/*
 * writer.c - writes an image front to back; see writer.h.
 *
 * Streams and blobs go out as they come. Block indexes are compressed when their stream ends and
 * kept until the data is complete. The finished catalog is validated by the reader's own code
 * before the superblock makes the image one: what the reader would refuse is never written.
 */
#include "image/writer.h"

#include "image/catalog.h"
#include "image/catalog_writer.h"
#include "image/checksum.h"
#include "image/hashtree.h"
#include "image/output.h"
#include "image/section.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum writer_state { IDLE, IN_STREAM, IN_BLOB, FINISHED, FAILED };

struct image_writer {
	enum writer_state state;
	char generator[32];
	struct output output;
	struct section_builder section;
	struct catalog_writer catalog;
	struct buffer indexes;    /* compressed index sections, in stream order */
	struct efs_stream stream; /* the one being written */
	uint64_t stream_padding;
	uint64_t blocks, next_block;
	uint8_t *index;          /* its raw index */
	struct efs_section blob; /* the one being written */
	uint64_t padding;        /* all gaps but those before streams */
};

/* Every failure is final: a later call must not go on from half-written bytes. */
static int fail(struct image_writer *writer, int error)
{
	if (error)
		writer->state = FAILED;
	return error;
}

static int expect(struct image_writer *writer, enum writer_state state, struct image_diag *diag)
{
	if (writer->state == state)
		return 0;
	return fail(writer, image_fail(diag, -EINVAL, "the writer is called out of order"));
}

int image_writer_create(struct image_writer **writer, int fd, const char *generator,
			struct image_diag *diag)
{
	struct image_writer *made;
	struct stat st;
	int err;

	if (strlen(generator) >= sizeof(made->generator))
		return image_fail(diag, -EINVAL, "the generator's name is too long");
	if (fd >= 0 && fstat(fd, &st) < 0)
		return image_fail(diag, -errno, "%s", strerror(errno));
	if (fd >= 0 && st.st_size)
		return image_fail(diag, -EINVAL, "the file is not empty");
	made = calloc(1, sizeof(*made));
	if (!made)
		return image_fail(diag, -ENOMEM, "out of memory");
	memcpy(made->generator, generator, strlen(generator));
	err = efs_output_open(&made->output, fd, diag);
	if (!err && efs_catalog_writer_init(&made->catalog))
		err = image_fail(diag, -ENOMEM, "out of memory");
	if (err) {
		image_writer_destroy(made);
		return err;
	}
	if (diag)
		diag->text[0] = 0;
	*writer = made;
	return 0;
}

void image_writer_destroy(struct image_writer *writer)
{
	if (!writer)
		return;
	efs_output_close(&writer->output);
	efs_section_builder_free(&writer->section);
	efs_catalog_writer_free(&writer->catalog);
	efs_buffer_free(&writer->indexes);
	free(writer->index);
	free(writer);
}

/* --- streams ---------------------------------------------------------------------------------- */

static int check_tables(const struct codec_table *tables, unsigned count, struct image_diag *diag)
{
	enum { ALIGN = 64 };
	void *tree = aligned_alloc(ALIGN, (codec_tree_size + ALIGN - 1) / ALIGN * ALIGN);
	int err = tree ? 0 : image_fail(diag, -ENOMEM, "out of memory");

	for (unsigned i = 0; !err && i < count; i++)
		if (codec_tree_build(tree, &tables[i]) != CODEC_OK)
			err = image_fail(diag, -EINVAL, "code table %u is not a complete code", i);
	free(tree);
	return err;
}

int image_writer_begin_stream(struct image_writer *writer, uint64_t raw_size, unsigned block_log2,
			      const struct codec_table *tables, unsigned table_count,
			      struct image_diag *diag)
{
	struct efs_stream *stream = &writer->stream;
	uint64_t tables_size = (uint64_t)table_count * sizeof(*tables);
	int err = expect(writer, IDLE, diag);

	if (err)
		return err;
	if (raw_size > INT64_MAX || block_log2 < EFS_BLOCK_LOG2_MIN ||
	    block_log2 > EFS_BLOCK_LOG2_MAX || table_count > EFS_TABLES_MAX)
		return fail(writer, image_fail(diag, -EINVAL, "impossible stream parameters"));
	err = check_tables(tables, table_count, diag);
	if (err)
		return fail(writer, err);
	*stream = (struct efs_stream){.raw_size = raw_size,
				      .block_log2 = (uint8_t)block_log2,
				      .table_count = (uint16_t)table_count};
	writer->blocks = stream_blocks(stream);
	writer->next_block = 0;
	stream->index.raw_size = tables_size + writer->blocks * EFS_INDEX_ENTRY_SIZE;
	if (stream->index.raw_size > EFS_LOADED_MAX)
		return fail(writer, image_fail(diag, -EFBIG, "a stream is too large"));
	writer->index = malloc(stream->index.raw_size ? (size_t)stream->index.raw_size : 1);
	if (!writer->index)
		return fail(writer, image_fail(diag, -ENOMEM, "out of memory"));
	if (table_count)
		memcpy(writer->index, tables, (size_t)tables_size);
	writer->stream_padding = 0;
	err =
	    efs_output_align(&writer->output, stream_align(stream), &writer->stream_padding, diag);
	stream->offset = writer->output.position;
	writer->state = IN_STREAM;
	return fail(writer, err);
}

struct image_encoded image_encode_block(const struct codec_tree *tree, uint8_t table,
					const uint8_t *raw, size_t size, uint8_t *stored,
					struct codec_scratch *scratch)
{
	struct image_encoded block = {.checksum = checksum_of(raw, size)};
	size_t coded_size;

	if (memcmp(raw, raw + 1, size - 1) == 0) {
		block.kind = EFS_BLOCK_CONSTANT;
		block.argument = raw[0];
	} else if (tree && codec_encode(tree, raw, size, stored, size - 1, &coded_size, scratch) ==
			       CODEC_OK) {
		block.kind = EFS_BLOCK_CODED;
		block.argument = table;
		block.stored_size = (uint32_t)coded_size;
	} else {
		block.kind = EFS_BLOCK_RAW;
		block.stored_size = (uint32_t)size;
		memcpy(stored, raw, size);
	}
	return block;
}

static int block_ok(const struct image_writer *writer, const struct image_encoded *block)
{
	const struct efs_stream *stream = &writer->stream;
	uint64_t start = writer->next_block << stream->block_log2;
	uint64_t rest = stream->raw_size - start, size = UINT64_C(1) << stream->block_log2;

	if (rest < size)
		size = rest;
	switch (block->kind) {
	case EFS_BLOCK_RAW:
		return block->stored_size == size && !block->argument;
	case EFS_BLOCK_CODED:
		return block->stored_size && block->stored_size < size &&
		       block->argument < stream->table_count;
	case EFS_BLOCK_CONSTANT:
		return !block->stored_size;
	default:
		return 0;
	}
}

int image_writer_put_block(struct image_writer *writer, const struct image_encoded *block,
			   const uint8_t *stored, struct image_diag *diag)
{
	uint8_t *column;
	uint64_t at = writer->next_block;
	uint16_t size = block->kind == EFS_BLOCK_CODED ? (uint16_t)block->stored_size : 0;
	int err = expect(writer, IN_STREAM, diag);

	if (err)
		return err;
	if (at == writer->blocks || !block_ok(writer, block))
		return fail(writer, image_fail(diag, -EINVAL, "a block does not fit its stream"));
	column = writer->index + writer->stream.table_count * sizeof(struct codec_table);
	memcpy(column + at * sizeof(block->checksum), &block->checksum, sizeof(block->checksum));
	column += writer->blocks * sizeof(block->checksum);
	memcpy(column + at * sizeof(size), &size, sizeof(size));
	column += writer->blocks * sizeof(size);
	column[at] = block->kind;
	column[writer->blocks + at] = block->argument;
	writer->next_block++;
	writer->stream.stored_size += block->stored_size;
	return fail(writer, efs_output_put(&writer->output, stored, block->stored_size, diag));
}

static int put_to_buffer(void *to, const void *data, size_t size, struct image_diag *diag)
{
	return efs_buffer_add(to, data, size) ? image_fail(diag, -ENOMEM, "out of memory") : 0;
}

static int put_to_output(void *to, const void *data, size_t size, struct image_diag *diag)
{
	return efs_output_put(to, data, size, diag);
}

/* Puts all bytes of a section; *stored_size is what it takes. */
static int put_section(struct image_writer *writer,
		       int (*put)(void *to, const void *data, size_t size, struct image_diag *diag),
		       void *to, const void *raw, uint64_t raw_size, uint64_t *stored_size,
		       struct image_diag *diag)
{
	int err = efs_section_builder_begin(&writer->section, put, to, diag);

	if (!err)
		err = efs_section_builder_put(&writer->section, raw, (size_t)raw_size, diag);
	if (!err)
		err = efs_section_builder_end(&writer->section, diag);
	*stored_size = writer->section.stored_size;
	return err;
}

static int add_record(struct buffer *buffer, const void *record, size_t size, uint32_t *number,
		      struct image_diag *diag)
{
	if (buffer->size / size >= UINT32_MAX)
		return image_fail(diag, -EFBIG, "the catalog is too large");
	*number = (uint32_t)(buffer->size / size);
	return put_to_buffer(buffer, record, size, diag);
}

int image_writer_end_stream(struct image_writer *writer, uint32_t *stream, struct image_cost *cost,
			    struct image_diag *diag)
{
	struct efs_section *index = &writer->stream.index;
	int err = expect(writer, IN_STREAM, diag);

	if (err)
		return err;
	if (writer->next_block != writer->blocks)
		return fail(writer, image_fail(diag, -EINVAL, "a stream lacks blocks"));
	err = put_section(writer, put_to_buffer, &writer->indexes, writer->index, index->raw_size,
			  &index->stored_size, diag);
	if (!err)
		err = add_record(&writer->catalog.streams, &writer->stream, sizeof(writer->stream),
				 stream, diag);
	free(writer->index);
	writer->index = NULL;
	writer->state = IDLE;
	if (cost)
		*cost = (struct image_cost){.payload = writer->stream.stored_size,
					    .index = index->stored_size,
					    .padding = writer->stream_padding};
	return fail(writer, err);
}

/* --- blobs ------------------------------------------------------------------------------------ */

int image_writer_begin_blob(struct image_writer *writer, struct image_diag *diag)
{
	int err = expect(writer, IDLE, diag);

	if (err)
		return err;
	err = efs_output_align(&writer->output, EFS_SECTION_ALIGN, &writer->padding, diag);
	if (!err)
		err = efs_section_builder_begin(&writer->section, put_to_output, &writer->output,
						diag);
	writer->blob.offset = writer->output.position;
	writer->state = IN_BLOB;
	return fail(writer, err);
}

int image_writer_put_blob(struct image_writer *writer, const void *data, size_t size,
			  struct image_diag *diag)
{
	int err = expect(writer, IN_BLOB, diag);

	return err ? err
		   : fail(writer, efs_section_builder_put(&writer->section, data, size, diag));
}

int image_writer_extend_blob(struct image_writer *writer, uint64_t raw_size,
			     struct image_diag *diag)
{
	const struct section_builder *section = &writer->section;
	int err = expect(writer, IN_BLOB, diag);

	if (err)
		return err;
	if (writer->output.file.fd >= 0 || !section->raw_size || section->filled ||
	    raw_size > INT64_MAX - section->raw_size)
		return fail(writer, image_fail(diag, -EINVAL, "a blob cannot be extended"));
	return fail(writer, efs_section_builder_extend(&writer->section, raw_size, diag));
}

int image_writer_end_blob(struct image_writer *writer, uint32_t *blob, uint64_t *stored_size,
			  struct image_diag *diag)
{
	int err = expect(writer, IN_BLOB, diag);

	if (err)
		return err;
	err = efs_section_builder_end(&writer->section, diag);
	writer->blob.raw_size = writer->section.raw_size;
	writer->blob.stored_size = writer->section.stored_size;
	if (!err)
		err = add_record(&writer->catalog.blobs, &writer->blob, sizeof(writer->blob), blob,
				 diag);
	if (stored_size)
		*stored_size = writer->blob.stored_size;
	writer->state = IDLE;
	return fail(writer, err);
}

/* --- catalog ---------------------------------------------------------------------------------- */

int image_writer_add_tensor(struct image_writer *writer, const struct image_tensor_spec *spec,
			    struct image_diag *diag)
{
	int err = expect(writer, IDLE, diag);

	return err ? err
		   : fail(writer, efs_catalog_writer_add_tensor(&writer->catalog, spec, diag));
}

int image_writer_add_transcode(struct image_writer *writer, const struct efs_transcode *record,
			       uint32_t *transcode, struct image_diag *diag)
{
	int err = expect(writer, IDLE, diag);

	return err ? err
		   : fail(writer, efs_catalog_writer_add_transcode(&writer->catalog, record,
								   transcode, diag));
}

int image_writer_add_file(struct image_writer *writer, const char *path,
			  const struct efs_piece *pieces, uint32_t piece_count,
			  struct image_diag *diag)
{
	int err = expect(writer, IDLE, diag);

	return err ? err
		   : fail(writer, efs_catalog_writer_add_file(&writer->catalog, path, pieces,
							      piece_count, diag));
}

static int write_indexes(struct image_writer *writer, struct image_diag *diag)
{
	struct efs_stream *streams = (void *)writer->catalog.streams.data;
	size_t count = writer->catalog.streams.size / sizeof(*streams);
	const uint8_t *from = writer->indexes.data;

	for (size_t i = 0; i < count; i++) {
		struct efs_section *index = &streams[i].index;
		int err =
		    efs_output_align(&writer->output, EFS_SECTION_ALIGN, &writer->padding, diag);

		index->offset = writer->output.position;
		if (!err)
			err =
			    efs_output_put(&writer->output, from, (size_t)index->stored_size, diag);
		if (err)
			return err;
		from += index->stored_size;
	}
	return 0;
}

static int write_catalog(struct image_writer *writer, const struct buffer *raw,
			 struct efs_superblock *super, struct image_diag *diag)
{
	int err = efs_output_align(&writer->output, EFS_SECTION_ALIGN, &writer->padding, diag);

	if (err)
		return err;
	if (raw->size > EFS_LOADED_MAX)
		return image_fail(diag, -EFBIG, "the catalog is too large");
	super->catalog.offset = writer->output.position;
	super->catalog.raw_size = raw->size;
	err = put_section(writer, put_to_output, &writer->output, raw->data, raw->size,
			  &super->catalog.stored_size, diag);
	if (!err)
		err =
		    efs_output_fill(&writer->output, efs_hash_tree_offset(writer->output.position),
				    &writer->padding, diag);
	super->hash_offset = writer->output.position;
	return err;
}

/* Has the reader's code look at the catalog; takes over raw. */
static int check_catalog(struct buffer *raw, const struct efs_superblock *super,
			 struct image_diag *diag)
{
	struct catalog catalog;
	int err = efs_catalog_parse(&catalog, raw->data, raw->size, super, diag);

	efs_catalog_free(&catalog);
	*raw = (struct buffer){0};
	return err == -EUCLEAN ? -EINVAL : err;
}

static int write_superblock(struct image_writer *writer, struct efs_superblock *super,
			    struct image_diag *diag)
{
	const struct buffer *hashes = &writer->output.tree.hashes;
	int err;

	super->hash_size = efs_hash_tree_size(super->hash_offset - EFS_SUPERBLOCK_SIZE);
	super->image_size = super->hash_offset + super->hash_size;
	if (writer->output.file.fd < 0)
		return 0;
	err = efs_output_flush(&writer->output, diag);
	if (err)
		return err;
	if (efs_hash_tree_finish(&writer->output.tree, super->hash_root))
		return image_fail(diag, -ENOMEM, "out of memory");
	if (efs_io_superblock_digest(super, super->digest))
		return image_fail(diag, -ENOMEM, "out of memory");
	super->checksum = efs_io_superblock_checksum(super);
	err = efs_io_write(&writer->output.file, super->hash_offset, hashes->data, hashes->size,
			   diag);
	return err ? err : efs_io_write(&writer->output.file, 0, super, sizeof(*super), diag);
}

int image_writer_finish(struct image_writer *writer, struct image_overhead *overhead,
			struct image_diag *diag)
{
	struct efs_superblock super = {
	    .version = EFS_VERSION,
	    .superblock_size = EFS_SUPERBLOCK_SIZE,
	    .hash_algorithm = EFS_HASH_SHA256,
	    .hash_leaf_log2 = EFS_HASH_LEAF_LOG2,
	};
	struct buffer raw = {0};
	int err = expect(writer, IDLE, diag);

	if (err)
		return err;
	memcpy(super.magic, EFS_MAGIC, sizeof(super.magic));
	memcpy(super.generator, writer->generator, sizeof(super.generator));
	writer->state = FINISHED;
	err = write_indexes(writer, diag);
	if (!err)
		err = efs_catalog_writer_finish(&writer->catalog, &raw, diag);
	if (!err)
		err = write_catalog(writer, &raw, &super, diag);
	if (!err)
		err = check_catalog(&raw, &super, diag);
	efs_buffer_free(&raw);
	if (!err)
		err = write_superblock(writer, &super, diag);
	if (!err && overhead) {
		*overhead = (struct image_overhead){.superblock = EFS_SUPERBLOCK_SIZE,
						    .catalog = super.catalog.stored_size,
						    .hash_tree = super.hash_size,
						    .padding = writer->padding,
						    .image_size = super.image_size};
		memcpy(overhead->digest, super.digest, sizeof(overhead->digest));
	}
	return fail(writer, err);
}
