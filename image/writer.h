/* SPDX-License-Identifier: MIT */
/*
 * writer.h - writes an image front to back in bounded memory.
 *
 * Call order: create; then streams and blobs, one at a time, in any order; tensors, directories and
 * files once the streams and blobs they name exist; finish; destroy. One thread at a time. What is
 * kept in memory is the catalog and the compressed block indexes (about 6 bytes per 16 KiB of
 * decoded data).
 *
 * The writer owns no file: fd is open for reading and writing, empty, and stays the caller's, who
 * makes it durable and gives it its name. The bytes written depend on nothing but the calls'
 * arguments. Results as in reader.h. After a failure only image_writer_destroy() may be called.
 *
 * With fd -1 the writer rehearses: it does all of this but write. Sizes and failures are those of
 * writing; a block's stored bytes are not looked at; there is no digest.
 */
#ifndef ENTROFS_WRITER_H
#define ENTROFS_WRITER_H

#include "codec/codec.h"
#include "image/diag.h"
#include "image/format.h"

#include <stddef.h>
#include <stdint.h>

struct image_writer;

int image_writer_create(struct image_writer **writer, int fd, const char *generator,
			struct image_diag *diag);
void image_writer_destroy(struct image_writer *writer);

/* Starts a stream of raw_size decoded bytes in blocks of 1 << block_log2, coded with these tables.
 */
int image_writer_begin_stream(struct image_writer *writer, uint64_t raw_size, unsigned block_log2,
			      const struct codec_table *tables, unsigned table_count,
			      struct image_diag *diag);

/* A block made ready by any thread; see image_encode_block(). */
struct image_encoded {
	uint32_t checksum;
	uint32_t stored_size;
	uint8_t kind;
	uint8_t argument;
};

/*
 * Encodes one block into stored[0..size), choosing the smallest of constant, coded with this tree
 * (NULL: none) as table number `table`, and raw; computes its checksum. Pure; scratch as for
 * codec_encode().
 */
struct image_encoded image_encode_block(const struct codec_tree *tree, uint8_t table,
					const uint8_t *raw, size_t size, uint8_t *stored,
					struct codec_scratch *scratch);

/* Appends the stream's next block. */
int image_writer_put_block(struct image_writer *writer, const struct image_encoded *block,
			   const uint8_t *stored, struct image_diag *diag);

/* What a stream costs in the image, everything included. */
struct image_cost {
	uint64_t payload; /* stored blocks */
	uint64_t index;   /* code tables, block index, checksums, as stored */
	uint64_t padding; /* alignment gap before it */
};

/* Ends the stream; every one of its blocks must have been put. */
int image_writer_end_stream(struct image_writer *writer, uint32_t *stream, struct image_cost *cost,
			    struct image_diag *diag);

/* A blob is put in pieces of any size between begin and end. */
int image_writer_begin_blob(struct image_writer *writer, struct image_diag *diag);
int image_writer_put_blob(struct image_writer *writer, const void *data, size_t size,
			  struct image_diag *diag);
/* In a rehearsal, after a whole number of EFS_CHUNK_SIZE bytes: as if raw_size more bytes followed,
 * as compressible as those before. */
int image_writer_extend_blob(struct image_writer *writer, uint64_t raw_size,
			     struct image_diag *diag);
/* About what a blob takes for a chunk of bytes or part of one, found quickly: more rather than
 * less; `size` where compressing gains nothing. work: IMAGE_BLOB_WORK bytes. */
enum { IMAGE_BLOB_WORK = EFS_CHUNK_SIZE + EFS_CHUNK_SIZE / 128 };
size_t image_blob_estimate(const void *bytes, size_t size, void *work);
int image_writer_end_blob(struct image_writer *writer, uint32_t *blob, uint64_t *stored_size,
			  struct image_diag *diag);

/* Copies everything it is given. name, shard, node, first_* fields of record are filled in by the
 * writer. */
struct image_tensor_spec {
	const char *name;
	size_t name_size;
	const char *shard; /* the source's file name, NUL-terminated */
	const char
	    *path; /* of its file in the tree, added by image_writer_add_file() at any time */
	const uint64_t *dims;
	const struct efs_param *params;
	uint32_t stream;
	struct efs_tensor record;
};
int image_writer_add_tensor(struct image_writer *writer, const struct image_tensor_spec *spec,
			    struct image_diag *diag);

/* Adds a transcode of a tensor (the first one added is number 0) or of streams that were added;
 * raw_size must be what the rule makes of it. */
int image_writer_add_transcode(struct image_writer *writer, const struct efs_transcode *record,
			       uint32_t *transcode, struct image_diag *diag);

/*
 * Adds a file at a path such as "quantized/tensors/x.u8"; its directories come into being. -EEXIST
 * if the path is taken. pieces (count may be 0) are copied; the size is their sum.
 */
int image_writer_add_file(struct image_writer *writer, const char *path,
			  const struct efs_piece *pieces, uint32_t piece_count,
			  struct image_diag *diag);

/* Bytes of the image that are not payload, index or padding of a stream, nor a blob. */
struct image_overhead {
	uint64_t superblock, catalog, hash_tree, padding;
	uint64_t image_size;
	uint8_t digest[EFS_DIGEST_SIZE];
};

/* Writes indexes, catalog, hash tree and superblock. */
int image_writer_finish(struct image_writer *writer, struct image_overhead *overhead,
			struct image_diag *diag);

#endif
