/* SPDX-License-Identifier: MIT */
/*
 * check.h - checks an open image for damage, and goes on after finding some.
 *
 * Each stream, blob and whole-image check is one item of work for a pool of threads. What an item
 * finds is kept and printed in the items' order at the end, so that the output does not depend on
 * the threads. An index stays in memory only while its stream is looked at.
 */
#ifndef ENTROFS_CHECK_H
#define ENTROFS_CHECK_H

#include "image/reader.h"
#include "mkfs/pool.h"

/* What was found, by kind of cause; also bits of fsck's exit code. */
enum check_result {
	CHECK_CLEAN = 0,
	CHECK_DAMAGED = 4, /* the image is not what it should be */
	CHECK_FAILED = 8,  /* reading it or getting memory failed */
};

/* The kind of a negative errno from image/. */
unsigned check_kind(int error);

/*
 * fast: every block index. deep: also every block, blob, tensor digest, the hash tree and padding.
 * Prints what is wrong, each line naming path. Returns check_result bits.
 */
unsigned check_image(struct image *image, const char *path, int deep, struct pool *pool);

#endif
