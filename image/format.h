/* SPDX-License-Identifier: MIT */
/*
 * format.h - the on-disk format of an entrofs image, version 1. docs/format.md is its prose twin.
 *
 *   superblock | streams and blobs ... | stream indexes ... | catalog | hash tree
 *   0          4096                                          ^ located from the superblock
 *
 * All integers are little-endian and all reserved bytes zero. Offsets count from the superblock's
 * first byte, which may lie at any offset of a larger file.
 */
#ifndef ENTROFS_FORMAT_H
#define ENTROFS_FORMAT_H

#include <assert.h>
#include <stdint.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	      "the structures below are read and written as they lie in memory");

#define EFS_MAGIC                                                                                  \
	"\x89"                                                                                     \
	"EFS\r\n\x1a\n"

enum {
	EFS_VERSION = 1,
	EFS_SUPERBLOCK_SIZE = 4096,
	EFS_STREAM_ALIGN = 64,         /* bytes; start of every stream */
	EFS_STREAM_ALIGN_LARGE = 4096, /* bytes; start of a stream of 4 MiB (stored) or more ... */
	EFS_LARGE_STREAM = 4 << 20,    /* ... judged by its raw size, known before it is written */
	EFS_SECTION_ALIGN = 8,         /* bytes; start of every section */
	EFS_IMAGE_ALIGN = 512,         /* bytes; end of an image, see efs_hash_tree_offset() */
	EFS_CHUNK_SIZE = 128 << 10,    /* raw bytes of each chunk of a section but the last */
	EFS_CHUNK_RATIO = 64,          /* a chunk takes at least 1/64 of its raw size */
	EFS_LOADED_MAX = 1 << 30,      /* raw bytes of the catalog or of an index, at most */
	EFS_HASH_LEAF_LOG2 = 17,       /* bytes under one hash of the tree, log2 */
	EFS_HASH_SHA256 = 1,
	EFS_DIGEST_SIZE = 32,
	EFS_BLOCK_LOG2_MIN = 12,
	EFS_BLOCK_LOG2_MAX = 16,
	EFS_TABLES_MAX = 256, /* code tables of one stream */
	EFS_RANK_MAX = 32,
	EFS_NAME_MAX = 255, /* bytes of a node's name */
	EFS_DEPTH_MAX = 64, /* names of a path: levels of the tree below its root */
	EFS_PLANES_MAX = 8, /* streams that a transcode joins */
};

/* Known feature bits: none yet. An unknown incompatible bit means: do not read this image. */
#define EFS_COMPATIBLE_KNOWN   UINT64_C(0)
#define EFS_INCOMPATIBLE_KNOWN UINT64_C(0)

/*
 * A section: bytes cut in chunks of EFS_CHUNK_SIZE, each stored as one zstd frame, or as it is
 * where that is not smaller. A frame below raw size / EFS_CHUNK_RATIO is followed by a zstd
 * skippable frame that fills up to that: what a reader allocates is bounded by what is stored. The
 * chunks are followed by one efs_chunk each. stored_size includes both.
 */
struct efs_section {
	uint64_t offset;
	uint64_t stored_size;
	uint64_t raw_size;
};

struct efs_chunk {
	uint32_t stored_size; /* equal to the chunk's raw size: not compressed */
	uint32_t checksum;    /* CRC-32 of the raw bytes */
};

struct efs_superblock {
	uint8_t magic[8];
	uint32_t version;
	uint32_t superblock_size;
	uint64_t compatible;
	uint64_t incompatible;
	uint64_t image_size; /* bytes, superblock and hash tree included */
	struct efs_section catalog;
	uint64_t hash_offset; /* the tree covers the bytes from the superblock's end up to here */
	uint64_t hash_size;
	uint8_t hash_algorithm;
	uint8_t hash_leaf_log2;
	uint8_t reserved0[6];
	uint8_t hash_root[EFS_DIGEST_SIZE];
	char generator[32]; /* program and version that wrote the image, NUL-padded */
	uint8_t
	    digest[EFS_DIGEST_SIZE]; /* SHA-256 of the superblock with digest and checksum zero */
	uint8_t reserved1[3908];
	uint32_t checksum; /* CRC-32 of all bytes before */
};

/* The catalog's raw bytes: this header, then each array in the order of the counts, then the
 * strings. */
struct efs_catalog_header {
	uint32_t node_count;
	uint32_t piece_count;
	uint32_t tensor_count;
	uint32_t stream_count;
	uint32_t blob_count;      /* array of efs_section */
	uint32_t shard_count;     /* array of efs_string: names of the source's weight files */
	uint32_t dim_count;       /* array of uint64_t */
	uint32_t param_count;     /* array of efs_param */
	uint32_t string_size;     /* bytes */
	uint32_t transcode_count; /* array of efs_transcode, between parameters and strings */
};

struct efs_string {
	uint32_t offset; /* into the strings */
	uint32_t size;   /* bytes, no terminator */
};

enum efs_node_type { EFS_DIRECTORY = 1, EFS_FILE = 2 };

/*
 * Nodes are in breadth-first order: node 0 is the root, the children of each directory are
 * consecutive, sorted by name as bytes, and directories' children follow each other in the order of
 * the directories.
 */
struct efs_node {
	struct efs_string name;
	uint32_t parent; /* the root's is 0 */
	uint32_t first;  /* first child node, or first piece */
	uint32_t count;  /* of children, or of pieces */
	uint8_t type;
	uint8_t reserved[3];
	uint64_t size; /* bytes; 0 for a directory */
};

enum efs_piece_kind { EFS_PIECE_STREAM = 1, EFS_PIECE_BLOB = 2, EFS_PIECE_TRANSCODE = 3 };

/* A stretch of a file: a range of the decoded bytes of a stream or blob, or of what a transcode
 * makes. Never empty. */
struct efs_piece {
	uint32_t kind;
	uint32_t source; /* number of the stream, blob or transcode */
	uint64_t offset;
	uint64_t length;
};

enum efs_dtype {
	EFS_BOOL = 1,
	EFS_U8,
	EFS_I8,
	EFS_F8_E5M2,
	EFS_F8_E4M3,
	EFS_F8_E8M0,
	EFS_U16,
	EFS_I16,
	EFS_F16,
	EFS_BF16,
	EFS_U32,
	EFS_I32,
	EFS_F32,
	EFS_U64,
	EFS_I64,
	EFS_F64,
	EFS_C64,
	EFS_DTYPE_END,
};

enum efs_scheme { EFS_KEPT = 0, EFS_UNSIGNED, EFS_ASYMMETRIC, EFS_CONSTANT };

struct efs_param {
	float scale;
	int32_t zero_point;
};

struct efs_tensor {
	struct efs_string name; /* as in the source */
	uint32_t shard;         /* source file */
	uint32_t source_order;  /* place among its shard's tensors, in data order */
	uint8_t source_dtype;
	uint8_t rank;
	uint8_t bits; /* 8 or 4; 0: kept in its dtype */
	uint8_t scheme;
	uint16_t transcode; /* how its streams combine; 0: one stream, as it is */
	uint16_t reserved;
	uint32_t first_dim;
	uint32_t first_param;
	uint32_t param_count; /* 0 kept, 1 per tensor, shape[0] per row */
	uint32_t first_stream;
	uint32_t stream_count;
	uint32_t node;    /* the file under quantized/tensors that holds its decoded bytes */
	double entropy;   /* bits per weight, of the codes (kept: of the bytes) */
	double sqnr;      /* dB; infinite when exact */
	double max_error; /* largest |dequantized - source| */
	uint8_t digest[EFS_DIGEST_SIZE]; /* SHA-256 of the decoded bytes */
};

/* The rule by which bytes are made of others. */
enum efs_rule {
	EFS_DEQUANTIZE = 1,  /* the numbers that a tensor's codes stand for */
	EFS_JOIN = 2,        /* records of byte planes, each a stream: see codec/planes.h */
	EFS_GGML_BLOCKS = 3, /* a tensor's codes as blocks of ggml: see codec/ggml_blocks.h */
};

/* Bytes that are not stored: made of those of streams when they are read. */
struct efs_transcode {
	uint16_t rule;
	union {
		uint8_t dtype;     /* dequantize: of the numbers: F16, BF16, F32 or F64 */
		uint8_t word;      /* join: bytes of what is rotated, 0, 2 or 4 */
		uint8_t ggml_type; /* ggml blocks: 2 Q4_0, 3 Q4_1, 8 Q8_0 */
	};
	uint8_t plane_count; /* join: 1 to EFS_PLANES_MAX; else 0 */
	union {
		uint32_t tensor;       /* else: whose codes they stand for */
		uint32_t first_stream; /* join: the others follow it */
	};
	uint64_t raw_size;
	uint16_t plane_size[EFS_PLANES_MAX]; /* join: bytes of each field of a record; else 0 */
};

struct efs_stream {
	uint64_t offset;      /* of the first block's stored bytes */
	uint64_t stored_size; /* of all blocks, which follow each other without gaps */
	uint64_t raw_size;
	struct efs_section index;
	uint8_t block_log2; /* raw bytes of each block but the last, log2 */
	uint8_t reserved0;
	uint16_t table_count; /* 0 to EFS_TABLES_MAX */
	uint32_t reserved1;
};

/*
 * A stream's index, raw: table_count code tables of 256 bytes, then for its n blocks
 *   uint32_t checksum[n]  CRC-32 of the decoded bytes
 *   uint16_t size[n]      stored bytes of a coded block; 0 for raw (stored as it is) and constant
 * (none) uint8_t  kind[n]      efs_block_kind uint8_t  argument[n]  coded: code-table number;
 * constant: the byte value; raw: 0
 */
enum efs_block_kind { EFS_BLOCK_RAW = 0, EFS_BLOCK_CODED = 1, EFS_BLOCK_CONSTANT = 2 };
enum { EFS_INDEX_ENTRY_SIZE = 8 };

#define EFS_AT(type, field, at)                                                                    \
	static_assert(__builtin_offsetof(struct type, field) == (at), #type "." #field)
static_assert(sizeof(struct efs_section) == 24, "efs_section");
static_assert(sizeof(struct efs_chunk) == 8, "efs_chunk");
static_assert(sizeof(struct efs_superblock) == EFS_SUPERBLOCK_SIZE, "efs_superblock");
EFS_AT(efs_superblock, catalog, 40);
EFS_AT(efs_superblock, hash_offset, 64);
EFS_AT(efs_superblock, hash_root, 88);
EFS_AT(efs_superblock, generator, 120);
EFS_AT(efs_superblock, digest, 152);
EFS_AT(efs_superblock, checksum, 4092);
static_assert(sizeof(struct efs_catalog_header) == 40, "efs_catalog_header");
static_assert(sizeof(struct efs_string) == 8, "efs_string");
static_assert(sizeof(struct efs_node) == 32, "efs_node");
EFS_AT(efs_node, type, 20);
EFS_AT(efs_node, size, 24);
static_assert(sizeof(struct efs_piece) == 24, "efs_piece");
static_assert(sizeof(struct efs_param) == 8, "efs_param");
static_assert(sizeof(struct efs_tensor) == 104, "efs_tensor");
EFS_AT(efs_tensor, source_dtype, 16);
EFS_AT(efs_tensor, first_dim, 24);
EFS_AT(efs_tensor, entropy, 48);
EFS_AT(efs_tensor, digest, 72);
static_assert(sizeof(struct efs_transcode) == 32, "efs_transcode");
EFS_AT(efs_transcode, tensor, 4);
EFS_AT(efs_transcode, raw_size, 8);
EFS_AT(efs_transcode, plane_size, 16);
static_assert(sizeof(struct efs_stream) == 56, "efs_stream");
EFS_AT(efs_stream, index, 24);
EFS_AT(efs_stream, block_log2, 48);

#endif
