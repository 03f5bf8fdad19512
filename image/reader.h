/* SPDX-License-Identifier: MIT */
/*
 * reader.h - opens, validates and reads an image. Nothing in the image is trusted.
 *
 * image_open() validates the superblock, the catalog and every extent, so that handles (node,
 * tensor, stream numbers below their counts) are always good. A stream's block index is loaded and
 * validated whole when it is needed and may go again, see "Indexes in memory". But for these an
 * open image is immutable: any number of threads may read at once, each with an image_scratch of
 * its own, and no lock is held while anything is read or decoded.
 *
 * Results: 0 (or a count) on success, else a negative errno; -EUCLEAN means that the image is
 * damaged or hostile, -ENOTSUP that it needs a newer program, and the diag says what and where.
 */
#ifndef ENTROFS_READER_H
#define ENTROFS_READER_H

#include "image/diag.h"
#include "image/format.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct image;
struct image_scratch; /* buffers for one reading thread; about 300 KiB + the largest read's stored
			 bytes */

/* A name in the catalog: not NUL-terminated, valid as long as the image is open. */
struct image_name {
	const char *text;
	size_t size;
};

/* The image starts at byte offset of fd, which must stay open and readable by pread() until close.
 */
int image_open(struct image **image, int fd, uint64_t offset, struct image_diag *diag);
void image_close(struct image *image);

const struct efs_superblock *image_superblock(const struct image *image);
const struct efs_catalog_header *image_catalog(const struct image *image);

const struct efs_node *image_node(const struct image *image, uint32_t node);
const struct efs_piece *image_piece(const struct image *image, uint32_t piece);
const struct efs_tensor *image_tensor(const struct image *image, uint32_t tensor);
const struct efs_stream *image_stream(const struct image *image, uint32_t stream);
const struct efs_section *image_blob(const struct image *image, uint32_t blob);
const struct efs_transcode *image_transcode(const struct image *image, uint32_t transcode);
const uint64_t *image_dims(const struct image *image, const struct efs_tensor *tensor);
const struct efs_param *image_params(const struct image *image, const struct efs_tensor *tensor);
struct image_name image_string(const struct image *image, struct efs_string string);
struct image_name image_shard(const struct image *image, uint32_t shard);

/* Finds a child by name in a directory node: its number, or -ENOENT. */
int64_t image_lookup(const struct image *image, uint32_t directory, const char *name, size_t size);

/* A node's path from the root ("quantized/tensors/x.u8"), cut to size; returns its full length. */
enum { IMAGE_PATH_MAX = EFS_DEPTH_MAX * (EFS_NAME_MAX + 1) }; /* bytes of any, the NUL included */
size_t image_path(const struct image *image, uint32_t node, char *path, size_t size);

/*
 * The piece that holds byte offset of a file, and where that piece starts in the file; -ENOENT at
 * or past the file's end. The pieces of a file follow each other in number.
 */
int64_t image_find_piece(const struct image *image, uint32_t node, uint64_t offset,
			 uint64_t *piece_start);

/* One block of a stream, as its index describes it. */
struct image_block {
	uint64_t offset;      /* of the stored bytes, in the image */
	uint32_t stored_size; /* 0 for a constant block */
	uint32_t raw_size;
	uint32_t checksum;
	uint8_t kind; /* efs_block_kind */
	uint8_t argument;
};

/*
 * Indexes in memory.
 *
 * To read from a stream takes its index, to read from a blob the table of its chunks: both are
 * called indexes here. They cost up to 64 times what is stored of them, and a code table costs 6 KB
 * for 256 bytes; so they are counted, and there is a budget for all of an image's.
 *
 * An index stays where it is as long as somebody holds it. Those that nobody holds stay as long as
 * all together are within the budget; then those go first that were not used for longest (by second
 * chance, not exactly). So what they take is at most the budget and what is held at the moment, in
 * which an index counts from before it is loaded; one that is alone may exceed the budget.
 *
 * The functions below that read bytes hold what they need by themselves. Whoever looks at blocks
 * holds the stream's index meanwhile. One thread may hold several indexes, and one several times.
 * To hold an index that is there, and to release it, is an atomic operation or two, without a lock.
 * A thread that needs an index which another one is loading waits for it; nobody waits for memory.
 */
enum { IMAGE_INDEX_BUDGET = 32 << 20 }; /* bytes, until another one is set */
void image_set_index_budget(struct image *image, uint64_t bytes);

/* Loads the index, if it is not there, and keeps it until it is released; on failure it is not
 * held. */
int image_hold_index(struct image *image, uint32_t stream, struct image_diag *diag);
void image_release_index(struct image *image, uint32_t stream);

/* What a stream's index takes once it is loaded, trees of its code tables included: bytes. */
uint64_t image_index_size(const struct image *image, uint32_t stream);

/* What indexes take now, and what became of them since the image was opened. */
struct image_index_use {
	uint64_t bytes, budget;
	uint64_t count;           /* of indexes in memory */
	uint64_t loaded, evicted; /* so far */
};
struct image_index_use image_index_use(struct image *image);

uint64_t image_block_count(const struct image *image, uint32_t stream);

/* These three, and image_decode_block(): the stream's index must be held; block <
 * image_block_count(). image_stored_size() alone does not have to find the place. */
struct image_block image_block(const struct image *image, uint32_t stream, uint64_t block);
uint32_t image_stored_size(const struct image *image, uint32_t stream, uint64_t block);
const struct codec_table *image_table(const struct image *image, uint32_t stream, uint32_t table);

int image_scratch_create(struct image_scratch **scratch);
void image_scratch_destroy(struct image_scratch *scratch);

/*
 * Decodes a block from its stored bytes (with CODEC_SLACK readable bytes behind them) into
 * raw[0..raw_size) and verifies its checksum. -EUCLEAN on a mismatch; raw is then undefined.
 */
int image_decode_block(const struct image *image, uint32_t stream, uint64_t block,
		       const uint8_t *stored, uint8_t *raw, struct image_scratch *scratch,
		       struct image_diag *diag);

/*
 * Reads decoded bytes [offset, offset + size) of a stream, a blob, a transcode, or a file (whatever
 * its pieces are). Returns the bytes read, less than size only at the end; all of them are
 * verified, or the call fails.
 */
ssize_t image_read_stream(struct image *image, uint32_t stream, uint64_t offset, void *buffer,
			  size_t size, struct image_scratch *scratch, struct image_diag *diag);
ssize_t image_read_blob(struct image *image, uint32_t blob, uint64_t offset, void *buffer,
			size_t size, struct image_scratch *scratch, struct image_diag *diag);
ssize_t image_read_transcode(struct image *image, uint32_t transcode, uint64_t offset, void *buffer,
			     size_t size, struct image_scratch *scratch, struct image_diag *diag);
/* Whichever a piece of this kind names as its source. */
ssize_t image_read_source(struct image *image, uint32_t kind, uint32_t source, uint64_t offset,
			  void *buffer, size_t size, struct image_scratch *scratch,
			  struct image_diag *diag);
ssize_t image_read_file(struct image *image, uint32_t node, uint64_t offset, void *buffer,
			size_t size, struct image_scratch *scratch, struct image_diag *diag);

/* Stored bytes by kind: they add up to the image. padding is all gaps. */
struct image_space {
	uint64_t superblock, payload, index, blobs, catalog, hash_tree, padding;
};

/* before_stream (one per stream, or NULL) receives the gap in front of each stream. */
void image_space(const struct image *image, struct image_space *space, uint64_t *before_stream);

/*
 * The deep checks of fsck, beyond decoding: hash tree and image digest; gaps between extents that
 * are zero and no larger than alignment makes them.
 */
int image_verify_hashes(struct image *image, struct image_diag *diag);
int image_verify_padding(struct image *image, struct image_diag *diag);

/* Told of bytes of the image that have been hashed; they add up to image_hashed_size(). */
typedef void image_hashed_fn(void *context, uint64_t bytes);
uint64_t image_hashed_size(const struct image *image);
int image_verify_hashes_telling(struct image *image, image_hashed_fn *hashed, void *context,
				struct image_diag *diag);

#endif
