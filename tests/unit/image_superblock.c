/* SPDX-License-Identifier: MIT */
/* image_superblock.c - each rule of the superblock, broken alone: the diag must name that rule. */
#include "tests/unit/image_opened.h"
#include "tests/unit/image_reseal.h"

#include <criterion/criterion.h>
#include <errno.h>

/* Each field of the superblock, wrong alone but with the right checksum, is refused for itself. */
Test(image_superblock, fields)
{
	static const struct {
		unsigned at, width;
		uint64_t value;
		const char *text;
	} changes[] = {
	    {0, 1, 0, "not an entrofs image"},
	    {8, 4, 2, "version 2"},
	    {12, 4, 8192, "size is unknown"},
	    {24, 8, 1, "features"},
	    {32, 8, 1 << 30, "truncated"},
	    {32, 8, UINT64_MAX, "truncated"},
	    {32, 8, 4096, "hash tree is misplaced"},
	    {40, 8, 4097, "not aligned"},
	    {40, 8, 0, "outside the image"},
	    {40, 8, UINT64_MAX - 7, "outside the image"},
	    {48, 8, UINT64_MAX, "outside the image"},
	    {48, 8, 3, "contradict each other"},
	    {56, 8, 71, "impossible size"},
	    {56, 8, (UINT64_C(1) << 30) + 1, "impossible size"},
	    {56, 8, 1 << 20, "too small for its raw size"},
	    {64, 8, 4096, "hash tree is misplaced"},
	    {64, 8, 0, "hash tree is misplaced"},
	    {64, 8, UINT64_MAX - 7, "hash tree is misplaced"},
	    {72, 8, 32, "hash tree is misplaced"},
	    {80, 1, 2, "unknown kind"},
	    {81, 1, 12, "unknown kind"},
	    {82, 1, 1, "reserved"},
	    {184, 1, 1, "reserved"},
	    {4091, 1, 1, "reserved"},
	};
	struct efs_superblock super;
	struct image_diag diag = {0};
	struct opened opened;
	struct image *image;

	open_small(&opened);
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		super = *image_superblock(opened.image);
		memcpy((uint8_t *)&super + changes[i].at, &changes[i].value, changes[i].width);
		reseal_superblock((uint8_t *)&super);
		cr_assert_eq(pwrite(opened.sample.fd, &super, sizeof(super), 0), sizeof(super));
		cr_assert_lt(image_open(&image, opened.sample.fd, 0, &diag), 0, "change %zu", i);
		cr_assert(strstr(diag.text, changes[i].text), "change %zu: '%s', not '%s'", i,
			  diag.text, changes[i].text);
	}
	super = *image_superblock(opened.image);
	super.digest[3] ^= 1;
	super.checksum = efs_io_superblock_checksum(&super);
	cr_assert_eq(pwrite(opened.sample.fd, &super, sizeof(super), 0), sizeof(super));
	cr_assert_eq(image_open(&image, opened.sample.fd, 0, &diag), -EUCLEAN);
	cr_assert(strstr(diag.text, "wrong digest"), "%s", diag.text);
	close_small(&opened);
}

/* A hash tree that does not begin at a multiple of 8 is refused though all else fits. */
Test(image_superblock, hash_alignment)
{
	struct efs_superblock super;
	struct image_diag diag = {0};
	struct opened opened;
	struct image *image;

	open_small(&opened);
	super = *image_superblock(opened.image);
	super.hash_offset -= 1;
	super.image_size -= 1;
	reseal_superblock((uint8_t *)&super);
	cr_assert_eq(pwrite(opened.sample.fd, &super, sizeof(super), 0), sizeof(super));
	cr_assert_eq(image_open(&image, opened.sample.fd, 0, &diag), -EUCLEAN);
	cr_assert(strstr(diag.text, "misplaced"), "%s", diag.text);
	close_small(&opened);
}
