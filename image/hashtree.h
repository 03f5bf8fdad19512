/* SPDX-License-Identifier: MIT */
/*
 * hashtree.h - the Merkle tree over an image's stored bytes, built front to back.
 *
 * Level 0 holds the SHA-256 of each leaf of HASH_LEAF bytes (the last leaf may be shorter); each
 * further level those of each HASH_LEAF bytes of the level below; the first level of one hash is
 * the root. Levels follow each other from level 0 up, without gaps and without the root.
 */
#ifndef ENTROFS_IMAGE_HASHTREE_H
#define ENTROFS_IMAGE_HASHTREE_H

#include "image/buffer.h"
#include "image/format.h"

enum { HASH_LEAF = 1 << EFS_HASH_LEAF_LOG2 };

/* Zero-initialised is empty: 32 bytes per leaf, 2048 times less than what it covers. */
struct hash_tree {
	struct buffer hashes;
};

/* Stored bytes of the tree over covered bytes. */
uint64_t efs_hash_tree_size(uint64_t covered);

/* Where the tree lies in an image whose last extent ends at `end`: as early as it can be aligned
 * and end, and the image with it, at a multiple of EFS_IMAGE_ALIGN. */
uint64_t efs_hash_tree_offset(uint64_t end);

/* Adds the next leaf: HASH_LEAF bytes, fewer (not none) only in the last. 0 or -ENOMEM. */
int efs_hash_tree_add(struct hash_tree *tree, const void *leaf, size_t size);

/* Appends the upper levels and cuts off the root: hashes then holds what is stored. At least one
 * leaf has been added. */
int efs_hash_tree_finish(struct hash_tree *tree, uint8_t root[EFS_DIGEST_SIZE]);

#endif
