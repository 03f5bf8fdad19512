/* SPDX-License-Identifier: MIT */
/*
 * check.h - checks an open image for damage, and goes on after finding some.
 *
 * Each stream, blob and whole-image check is one item of work for a pool of threads.
 */
#ifndef ENTROFS_CHECK_H
#define ENTROFS_CHECK_H

#include "image/reader.h"
#include "mkfs/findings.h"
#include "mkfs/pool.h"
#include "mkfs/progress.h"

/* Phases of the program, by which findings are ordered. */
enum check_phase { CHECK_OPENING, CHECK_INDEXES, CHECK_DATA, CHECK_EXTRACTING };

/*
 * fast: every block index. deep: also every block, blob, tensor digest, the hash tree and padding.
 * Returns the decoded bytes that it went through.
 */
uint64_t check_image(struct image *image, int deep, struct pool *pool, struct findings *findings,
		     struct progress *progress);

/*
 * A few megabytes may claim terabytes: constant blocks cost 8 bytes of index, holes of a sparse
 * file nothing. To go through so much may take days, so it is refused if it is more than
 * CHECK_RATIO times what lies on disk, and CHECK_FREE on top; --force says that it is meant.
 */
enum { CHECK_RATIO = 256 };
#define CHECK_FREE (UINT64_C(16) << 30)
#define CHECK_INFLATED                                                                             \
	"it claims %s of data, but takes %s on disk (--force goes through all the same)"
uint64_t check_claimed_size(const struct image *image); /* what a deep check reads and decodes */
uint64_t check_stored_size(const struct image *image, int fd);
int check_is_inflated(uint64_t claimed, uint64_t stored);

#endif
