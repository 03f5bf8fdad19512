/* SPDX-License-Identifier: MIT */
/* hashtree.c - the Merkle tree over an image's stored bytes; see hashtree.h. */
#include "image/hashtree.h"

#include "image/io.h"

#include <errno.h>
#include <string.h>

static uint64_t leaves_of(uint64_t bytes)
{
	return bytes / HASH_LEAF + (bytes % HASH_LEAF != 0);
}

uint64_t efs_hash_tree_size(uint64_t covered)
{
	uint64_t total = 0;

	for (uint64_t count = leaves_of(covered); count > 1;
	     count = leaves_of(count * EFS_DIGEST_SIZE))
		total += count * EFS_DIGEST_SIZE;
	return total;
}

uint64_t efs_hash_tree_offset(uint64_t end)
{
	uint64_t at = (end + EFS_SECTION_ALIGN - 1) & ~(uint64_t)(EFS_SECTION_ALIGN - 1);

	/* What fills the gap is covered, too, and may need another leaf: so there is no formula. */
	while ((at + efs_hash_tree_size(at - EFS_SUPERBLOCK_SIZE)) % EFS_IMAGE_ALIGN)
		at += EFS_SECTION_ALIGN;
	return at;
}

int efs_hash_tree_add(struct hash_tree *tree, const void *leaf, size_t size)
{
	uint8_t *hash = efs_buffer_extend(&tree->hashes, EFS_DIGEST_SIZE);

	return hash ? efs_io_sha256(leaf, size, hash) : -ENOMEM;
}

int efs_hash_tree_finish(struct hash_tree *tree, uint8_t root[EFS_DIGEST_SIZE])
{
	size_t level = 0, size = tree->hashes.size;

	while (size > EFS_DIGEST_SIZE) {
		for (size_t at = 0; at < size; at += HASH_LEAF) {
			size_t part = size - at < HASH_LEAF ? size - at : HASH_LEAF;
			uint8_t hash[EFS_DIGEST_SIZE];
			int err = efs_io_sha256(tree->hashes.data + level + at, part, hash);

			if (!err)
				err = efs_buffer_add(&tree->hashes, hash, sizeof(hash));
			if (err)
				return err;
		}
		level += size;
		size = tree->hashes.size - level;
	}
	memcpy(root, tree->hashes.data + level, EFS_DIGEST_SIZE);
	tree->hashes.size = level;
	return 0;
}
