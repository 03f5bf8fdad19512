/* SPDX-License-Identifier: MIT */
/*
 * codec.h - prefix coding of byte blocks, decoded by merging.
 *
 * Bytes in, bytes out: no I/O, no allocation, no stdio, no state but the chosen kernel. Every
 * function may be called from any thread at any time; memory handed in belongs to the caller and is
 * not kept.
 *
 * A **code table** gives each of the 256 byte values a place in a binary code tree whose leaves are
 * **chunks**: 2^bits symbols of equal code length that share one leaf at `depth` and are told apart
 * by a flat index of `bits` bits. A symbol's code is depth + bits bits long. A coded block stores
 * the tree node by node, not symbol by symbol: docs/format.md defines the bitstream, docs/design.md
 * explains it.
 *
 * Sources: Huffman coding of quantized weights in independent segments is EntroLLM (arXiv
 * 2505.02380); the node-by-node order is the idea of PivCo-Huffman (arXiv 2606.05765). Format and
 * code are our own.
 */
#ifndef ENTROFS_CODEC_H
#define ENTROFS_CODEC_H

#include <stddef.h>
#include <stdint.h>

enum {
	CODEC_SYMBOLS = 256,
	CODEC_BLOCK_MAX = 65536, /* decoded bytes of one block, at most */
	CODEC_SLACK = 64, /* readable bytes (any value) that follow the coded bytes of a block */
	CODEC_DEPTH_MAX = 15,  /* deepest chunk a table may hold */
	CODEC_BITS_MAX = 8,    /* widest flat index */
	CODEC_LENGTH_MAX = 12, /* longest code that codec_design() assigns */
	CODEC_ABSENT = 0xff,   /* code of a symbol that never occurs */
	CODEC_FOLD_MAX = 256,  /* bytes of a fold */
};

enum codec_result {
	CODEC_OK = 0,
	CODEC_CORRUPT, /* the coded bytes are not what an encoder writes for this table and size */
	CODEC_BAD_TABLE, /* the table is not a complete prefix code */
	CODEC_TOO_LARGE, /* the coded block does not fit in the space given */
	CODEC_BAD_SIZE,  /* a block has 1 to CODEC_BLOCK_MAX bytes: not empty, not more */
};

/* One byte per symbol, as stored in an image: bits << 4 | depth, or CODEC_ABSENT. */
struct codec_table {
	uint8_t code[CODEC_SYMBOLS];
};

/* A table made ready for encoding and decoding. Immutable once built: threads may share it. */
struct codec_tree; /* defined in codec/tree.h; callers allocate codec_tree_size bytes, 64-aligned */
struct codec_scratch; /* working memory of one call at a time; codec_scratch_size bytes, 64-aligned
		       */
struct codec_planner; /* working memory of codec_design(); codec_planner_size bytes, 64-aligned */

extern const size_t codec_tree_size;
extern const size_t codec_scratch_size;
extern const size_t codec_planner_size;

/* Adds the byte counts of src[0..size) to counts. */
void codec_histogram(const uint8_t *src, size_t size, uint64_t counts[CODEC_SYMBOLS]);

/*
 * Designs the table that minimises stored bits plus a small decode cost for data with these counts,
 * cut in blocks of block_size bytes. Only integer arithmetic: the same counts give the same table
 * on any machine. At least one count must be positive; counts sum to less than 2^48.
 */
void codec_design(const uint64_t counts[CODEC_SYMBOLS], size_t block_size,
		  struct codec_planner *planner, struct codec_table *table);

/* CODEC_BAD_TABLE if the table (hostile, perhaps) is not a complete code; *tree is then unusable.
 */
enum codec_result codec_tree_build(struct codec_tree *tree, const struct codec_table *table);

/*
 * Encodes src[0..size), 1 <= size <= CODEC_BLOCK_MAX, else CODEC_BAD_SIZE. On CODEC_OK exactly
 * *coded_size bytes of dst[0..capacity) are written; else dst is untouched. CODEC_TOO_LARGE:
 * *coded_size is what it takes. CODEC_BAD_TABLE: a symbol of src has no code.
 */
enum codec_result codec_encode(const struct codec_tree *tree, const uint8_t *src, size_t size,
			       uint8_t *dst, size_t capacity, size_t *coded_size,
			       struct codec_scratch *scratch);

/*
 * The front of a block, folded for its CRC-32 (that of gzip): a CRC register that starts at 0 and
 * takes bytes[0..size) ends as one that starts with all ones and takes the block's first `covered`
 * bytes. A kernel whose other work leaves room for it folds what it decodes, where a second pass
 * over the block would take a sixth of the time.
 */
struct codec_fold {
	_Alignas(64) uint8_t bytes[CODEC_FOLD_MAX];
	uint32_t size;
	uint32_t covered; /* 0: nothing was folded */
};

/*
 * Decodes exactly size bytes (1 <= size <= CODEC_BLOCK_MAX, else CODEC_BAD_SIZE) into dst, writing
 * nothing beyond dst[size-1], from coded[0..coded_size), after which CODEC_SLACK bytes must be
 * readable. The bytes may be hostile: the result is CODEC_CORRUPT, or size bytes of some content;
 * memory outside the buffers is never touched. On CODEC_OK, *fold is a fold of dst[0..size).
 *
 * Blocks decoded in the order in which they lie in memory, one right behind the other, are decoded
 * faster where they are in no cache yet: each brings the next one in.
 */
enum codec_result codec_decode(const struct codec_tree *tree, const uint8_t *coded,
			       size_t coded_size, uint8_t *dst, size_t size,
			       struct codec_scratch *scratch, struct codec_fold *fold);

struct dequant_kernel; /* codec/dequant.h is what it serves */
struct planes_kernel;  /* ... and codec/planes.h */

/*
 * Decoder and encoder for one instruction set; all give the same result for the same input, but for
 * how much is folded. They are codec_decode() and codec_encode(), but for sizes: those must be
 * right.
 */
struct codec_kernel {
	const char *name; /* "reference", "scalar", "bmi2", "avx2", "avx512", "neon" */
	int (*supported)(void);
	enum codec_result (*decode)(const struct codec_tree *tree, const uint8_t *coded,
				    size_t coded_size, uint8_t *dst, size_t size,
				    struct codec_scratch *scratch, struct codec_fold *fold);
	enum codec_result (*encode)(const struct codec_tree *tree, const uint8_t *src, size_t size,
				    uint8_t *dst, size_t capacity, size_t *coded_size,
				    struct codec_scratch *scratch);
	const struct dequant_kernel *dequant;         /* supported by the same CPUs */
	const struct planes_kernel *planes;           /* likewise */
	const struct ggml_blocks_kernel *ggml_blocks; /* likewise */
};

/* Kernels compiled into this build, the reference first, ended by NULL. */
extern const struct codec_kernel *const codec_kernels[];

/* The kernel that codec_decode() and codec_encode() use; chosen once, the fastest that this CPU
 * supports. */
const struct codec_kernel *codec_kernel_in_use(void);

/* Makes both use the named kernel from now on; -1 if unknown or not supported here. */
int codec_use_kernel(const char *name);

#endif
