/* SPDX-License-Identifier: MIT */
/*
 * lossless.h - all files of a tree into an image, every byte as it is; and what that came to.
 *
 * Each file is cut into regions (layout.h), whose records become streams that a transcode joins;
 * what is text becomes a blob. Functions that fail have printed why.
 */
#ifndef ENTROFS_LOSSLESS_H
#define ENTROFS_LOSSLESS_H

#include "image/writer.h"
#include "mkfs/pool.h"
#include "mkfs/progress.h"
#include "mkfs/tree.h"

#include <stdint.h>

/* The only file of an image that its source does not have. */
#define LOSSLESS_MANIFEST "lossless/manifest.json"

struct lossless_file {
	uint64_t size, stored;           /* bytes; stored: streams with all they cost, and blob */
	uint64_t text;                   /* bytes of it in the blob */
	uint64_t records;                /* ... and in streams of more than single bytes */
	uint8_t digest[EFS_DIGEST_SIZE]; /* SHA-256 */
};

struct lossless {
	const struct tree *tree;
	struct lossless_file *files; /* in the tree's order */
	struct lossless_file manifest;
	int estimated; /* nothing was written: there is no digest of the image */
	struct image_overhead overhead;
};

/* Fails if a file cannot be opened, or be in an image: sooner than hours after the others. */
int lossless_check(const struct tree *tree);

/* What packing, and reading back, add to the progress. */
uint64_t lossless_work(const struct tree *tree);
uint64_t lossless_verify_work(const struct tree *tree);

/* Packs the tree into fd (empty, open for reading and writing; -1: nothing is written, all figures
 * are right nevertheless). lossless_free() in any case. */
int lossless_pack(struct lossless *lossless, const struct tree *tree, int fd, const char *target,
		  struct pool *pool, struct progress *progress);
void lossless_free(struct lossless *lossless);

/* Reads the image back and compares every file with what was packed. */
int lossless_verify(const struct lossless *lossless, int fd, const char *target, struct pool *pool,
		    struct progress *progress);

#endif
