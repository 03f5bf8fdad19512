/* SPDX-License-Identifier: MIT */
/* image_deep.c - what only the deep checks find: hashes, and padding that is not zero or not
 * needed. */
#include "tests/unit/image_opened.h"

#include "image/internal.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

/* A byte in the padding, a wrong hash and a wrong root are found by the deep checks. */
Test(image_deep, deep_checks)
{
	const struct efs_superblock *super;
	struct image_diag diag = {0};
	struct opened opened;
	struct extent_walk walk;
	struct extent extent;
	uint64_t end = EFS_SUPERBLOCK_SIZE;
	unsigned gaps = 0;

	open_small(&opened);
	super = image_superblock(opened.image);
	walk = (struct extent_walk){.catalog = &opened.image->catalog, .super = super};
	cr_assert_eq(image_verify_padding(opened.image, &diag), 0);
	while (efs_extent_next(&walk, &extent)) {
		for (uint64_t at = end; at < extent.offset; at++, gaps++) {
			cr_assert_eq(pwrite(opened.sample.fd, "x", 1, (off_t)at), 1);
			cr_assert_eq(image_verify_padding(opened.image, &diag), -EUCLEAN);
			cr_assert_eq(image_verify_hashes(opened.image, &diag), -EUCLEAN);
			cr_assert_eq(pwrite(opened.sample.fd, "", 1, (off_t)at), 1);
		}
		end = extent.offset + extent.size;
	}
	cr_assert_gt(gaps, 20);
	cr_assert_eq(image_verify_hashes(opened.image, &diag), 0, "%s", diag.text);
	opened.image->super.hash_root[5] ^= 1;
	cr_assert_eq(image_verify_hashes(opened.image, &diag), -EUCLEAN);
	close_small(&opened);
}

static void add_bytes(void *sum, uint64_t bytes)
{
	*(uint64_t *)sum += bytes;
}

/* Whoever shows how far the hashing is hears of every byte once. */
Test(image_deep, hashed_bytes)
{
	struct image_diag diag = {0};
	struct opened opened;
	uint64_t sum = 0;

	open_small(&opened);
	cr_assert_eq(image_verify_hashes_telling(opened.image, add_bytes, &sum, &diag), 0);
	cr_assert_gt(sum, 0);
	cr_assert_eq(sum, image_hashed_size(opened.image));
	close_small(&opened);
}

/* A gap that alignment does not ask for is found, though all its bytes are zero. */
Test(image_deep, needless_padding)
{
	struct image_diag diag = {0};
	struct opened opened;
	struct efs_superblock *super;
	struct efs_section catalog;

	open_small(&opened);
	super = &opened.image->super;
	catalog = super->catalog;
	super->catalog.offset += EFS_SECTION_ALIGN;
	super->hash_offset += EFS_SECTION_ALIGN;
	cr_assert_eq(pwrite(opened.sample.fd, "\0\0\0\0\0\0\0", 8, (off_t)catalog.offset), 8);
	cr_assert_eq(image_verify_padding(opened.image, &diag), -EUCLEAN);
	cr_assert(strstr(diag.text, "more than the catalog needs"), "%s", diag.text);
	super->catalog = catalog;
	cr_assert_eq(image_verify_padding(opened.image, &diag), -EUCLEAN);
	cr_assert(strstr(diag.text, "more than the hash tree needs"), "%s", diag.text);
	super->hash_offset -= EFS_SECTION_ALIGN;
	cr_assert_eq(image_verify_padding(opened.image, &diag), 0, "%s", diag.text);
	close_small(&opened);
}

/* The hash tree lies at the first place that is aligned and has a whole number of sectors end with
 * it, also where the gap before it takes another leaf, or another level, of the tree. */
Test(image_deep, hash_tree_offset)
{
	static const uint64_t leaves[] = {1, 2, 3, 16, 4096, 4097, 3 * 4096, UINT64_C(4096) * 4096};

	for (unsigned i = 0; i < sizeof leaves / sizeof *leaves; i++) {
		uint64_t boundary = EFS_SUPERBLOCK_SIZE + leaves[i] * HASH_LEAF;

		for (uint64_t end = boundary - 1200; end < boundary + 1200; end++) {
			uint64_t at = (end + 7) / 8 * 8;

			while ((at + efs_hash_tree_size(at - EFS_SUPERBLOCK_SIZE)) % 512)
				at += 8;
			cr_assert_eq(efs_hash_tree_offset(end), at);
			cr_assert_lt(at - end, 1024 + 8);
		}
	}
}

/*
 * When another image is written over an open one, what was loaded before goes on to give the old
 * bytes; no index and no chunk sizes are taken from the new one, however valid.
 */
Test(image_deep, replaced_while_open)
{
	struct efs_superblock super;
	struct image_scratch *scratch;
	struct image_diag diag = {0};
	struct opened opened;
	uint8_t buffer[16];

	open_small(&opened);
	cr_assert_eq(image_scratch_create(&scratch), 0);
	cr_assert_eq(image_hold_index(opened.image, 0, &diag), 0, "%s", diag.text);
	super = opened.image->super;
	super.generator[0] ^= 1;
	cr_assert_eq(pwrite(opened.sample.fd, &super, sizeof(super), 0), sizeof(super));

	cr_assert_eq(image_read_stream(opened.image, 0, 0, buffer, sizeof(buffer), scratch, &diag),
		     sizeof(buffer), "%s", diag.text);
	cr_assert_eq(memcmp(buffer, opened.sample.streams[0].data, sizeof(buffer)), 0);
	cr_assert_eq(image_hold_index(opened.image, 1, &diag), -EUCLEAN);
	cr_assert(strstr(diag.text, "replaced"), "%s", diag.text);
	cr_assert_eq(image_read_blob(opened.image, 0, 0, buffer, sizeof(buffer), scratch, &diag),
		     -EUCLEAN);
	cr_assert(strstr(diag.text, "replaced"), "%s", diag.text);

	cr_assert_eq(pwrite(opened.sample.fd, &opened.image->super, sizeof(super), 0),
		     sizeof(super));
	cr_assert_eq(image_hold_index(opened.image, 1, &diag), 0, "%s", diag.text);
	image_release_index(opened.image, 0);
	image_release_index(opened.image, 1);
	image_scratch_destroy(scratch);
	close_small(&opened);
}
