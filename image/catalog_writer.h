/* SPDX-License-Identifier: MIT */
/*
 * catalog_writer.h - collects what a catalog records and lays it out in the format's order.
 *
 * Files may be added in any order: nodes are kept as a tree whose names are found by hashing, and
 * are numbered breadth-first at the end.
 */
#ifndef ENTROFS_IMAGE_CATALOG_WRITER_H
#define ENTROFS_IMAGE_CATALOG_WRITER_H

#include "image/buffer.h"
#include "image/writer.h"

/* A node while the tree grows. Numbers are those of creation. */
struct build_node {
	struct efs_string name;
	uint32_t parent;
	uint32_t first_piece, piece_count; /* of a file */
	uint32_t child, sibling; /* a directory's newest child, and the one before; 0: none */
	uint32_t child_count;
	uint32_t number; /* final */
	uint8_t type;
	uint64_t size;
};

/* Zero-initialise, then efs_catalog_writer_init(). */
struct catalog_writer {
	struct buffer nodes;   /* build_node */
	struct buffer pieces;  /* efs_piece, in the order of creation */
	struct buffer tensors; /* efs_tensor; node holds an offset into paths until the end */
	struct buffer streams; /* efs_stream */
	struct buffer blobs;   /* efs_section */
	struct buffer shards;  /* efs_string */
	struct buffer dims;
	struct buffer params;
	struct buffer transcodes; /* efs_transcode */
	struct buffer strings;
	struct buffer paths; /* of the tensors' files, NUL-terminated */
	uint32_t *slots;     /* hash table of node numbers by parent and name; 0: free */
	uint32_t slot_count; /* a power of two */
};

int efs_catalog_writer_init(struct catalog_writer *catalog);
void efs_catalog_writer_free(struct catalog_writer *catalog);

int efs_catalog_writer_add_file(struct catalog_writer *catalog, const char *path,
				const struct efs_piece *pieces, uint32_t piece_count,
				struct image_diag *diag);
int efs_catalog_writer_add_tensor(struct catalog_writer *catalog,
				  const struct image_tensor_spec *spec, struct image_diag *diag);

int efs_catalog_writer_add_transcode(struct catalog_writer *catalog,
				     const struct efs_transcode *record, uint32_t *transcode,
				     struct image_diag *diag);

/* Lays out the raw catalog in *raw (empty before; the caller frees it). */
int efs_catalog_writer_finish(struct catalog_writer *catalog, struct buffer *raw,
			      struct image_diag *diag);

#endif
