/* SPDX-License-Identifier: MIT */
/* verify.c - the deep checks: hash tree, padding that is zero and needed; see reader.h. */
#include "image/internal.h"

#include "image/hashtree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BUFFER = 16 * HASH_LEAF };

/* Hashes every leaf into the tree; tells hashed, unless that is NULL. */
static int hash_leaves(const struct image *image, struct hash_tree *tree, uint8_t *buffer,
		       image_hashed_fn *hashed, void *context, struct image_diag *diag)
{
	uint64_t offset = EFS_SUPERBLOCK_SIZE, end = image->super.hash_offset;

	while (offset < end) {
		size_t size = end - offset < BUFFER ? (size_t)(end - offset) : BUFFER;
		int err = efs_io_read(&image->file, offset, buffer, size, diag);

		if (err)
			return err;
		for (size_t at = 0; at < size; at += HASH_LEAF) {
			size_t part = size - at < HASH_LEAF ? size - at : HASH_LEAF;

			if (efs_hash_tree_add(tree, buffer + at, part))
				return image_fail(diag, -ENOMEM, "out of memory");
		}
		offset += size;
		if (hashed)
			hashed(context, size);
	}
	return 0;
}

/* Names the place of the first difference between the stored tree and the computed one. */
static int differ(const struct image *image, size_t at, struct image_diag *diag)
{
	uint64_t covered = image_hashed_size(image);
	uint64_t leaves = covered / HASH_LEAF + (covered % HASH_LEAF != 0);
	uint64_t leaf = at / EFS_DIGEST_SIZE;
	unsigned long long covered_at = EFS_SUPERBLOCK_SIZE + leaf * HASH_LEAF;
	unsigned long long hash_at = image->super.hash_offset + leaf * EFS_DIGEST_SIZE;

	if (leaf < leaves)
		return image_fail(
		    diag, -EUCLEAN,
		    "the %d KiB at byte %llu do not have the hash stored at byte %llu",
		    HASH_LEAF >> 10, covered_at, hash_at);
	return image_fail(diag, -EUCLEAN, "hash tree: wrong hash at byte %llu", hash_at);
}

static int compare_tree(const struct image *image, const struct hash_tree *tree, uint8_t *buffer,
			struct image_diag *diag)
{
	for (size_t at = 0; at < tree->hashes.size; at += BUFFER) {
		size_t size = tree->hashes.size - at < BUFFER ? tree->hashes.size - at : BUFFER;
		int err =
		    efs_io_read(&image->file, image->super.hash_offset + at, buffer, size, diag);

		if (err)
			return err;
		for (size_t i = 0; i < size; i++)
			if (buffer[i] != tree->hashes.data[at + i])
				return differ(image, at + i, diag);
	}
	return 0;
}

uint64_t image_hashed_size(const struct image *image)
{
	return image->super.hash_offset - EFS_SUPERBLOCK_SIZE;
}

int image_verify_hashes(struct image *image, struct image_diag *diag)
{
	return image_verify_hashes_telling(image, NULL, NULL, diag);
}

int image_verify_hashes_telling(struct image *image, image_hashed_fn *hashed, void *context,
				struct image_diag *diag)
{
	uint8_t *buffer = malloc(BUFFER);
	struct hash_tree tree = {0};
	uint8_t root[EFS_DIGEST_SIZE], digest[EFS_DIGEST_SIZE];
	int err = buffer ? 0 : image_fail(diag, -ENOMEM, "out of memory");

	if (!err)
		err = hash_leaves(image, &tree, buffer, hashed, context, diag);
	if (!err && efs_hash_tree_finish(&tree, root))
		err = image_fail(diag, -ENOMEM, "out of memory");
	if (!err)
		err = compare_tree(image, &tree, buffer, diag);
	if (!err && memcmp(root, image->super.hash_root, sizeof(root)) != 0)
		err = image_fail(diag, -EUCLEAN, "superblock: wrong root of the hash tree");
	if (!err && (efs_io_superblock_digest(&image->super, digest) ||
		     memcmp(digest, image->super.digest, sizeof(digest)) != 0))
		err = image_fail(diag, -EUCLEAN, "superblock: wrong digest");
	efs_buffer_free(&tree.hashes);
	free(buffer);
	return err;
}

static int check_zero(const struct image *image, uint64_t offset, uint64_t end, uint8_t *buffer,
		      struct image_diag *diag)
{
	while (offset < end) {
		size_t size = end - offset < BUFFER ? (size_t)(end - offset) : BUFFER;
		int err = efs_io_read(&image->file, offset, buffer, size, diag);

		if (err)
			return err;
		for (size_t i = 0; i < size; i++)
			if (buffer[i])
				return image_fail(diag, -EUCLEAN,
						  "padding at byte %llu is not zero",
						  (unsigned long long)offset + i);
		offset += size;
	}
	return 0;
}

/* Checks a gap that ends at `end`, where `next` begins: shorter than `limit`, no larger than its
 * alignment needs, and zero.
 */
static int check_gap(const struct image *image, uint64_t offset, uint64_t end, uint64_t limit,
		     const char *next, uint8_t *buffer, struct image_diag *diag)
{
	if (end - offset >= limit)
		return image_fail(
		    diag, -EUCLEAN, "%llu bytes of padding at byte %llu: more than %s needs",
		    (unsigned long long)(end - offset), (unsigned long long)offset, next);
	return check_zero(image, offset, end, buffer, diag);
}

int image_verify_padding(struct image *image, struct image_diag *diag)
{
	struct extent_walk walk = {.catalog = &image->catalog, .super = &image->super};
	uint64_t end = EFS_SUPERBLOCK_SIZE;
	uint8_t *buffer = malloc(BUFFER);
	struct extent extent;
	int err = buffer ? 0 : image_fail(diag, -ENOMEM, "out of memory");

	while (!err && efs_extent_next(&walk, &extent)) {
		err = check_gap(image, end, extent.offset, efs_extent_align(walk.catalog, &extent),
				efs_extent_name(&extent).text, buffer, diag);
		end = extent.offset + extent.size;
	}
	if (!err)
		err = check_gap(image, end, image->super.hash_offset,
				efs_hash_tree_offset(end) - end + 1, "the hash tree", buffer, diag);
	free(buffer);
	return err;
}
