/* SPDX-License-Identifier: MIT */
/*
 * image_input.h - for fuzz targets: how an input is an image.
 *
 * An input is the first 184 bytes of a superblock, then what follows the superblock, up to the hash
 * tree. If the input's size is even, the hash tree is added and everything sealed with right
 * checksums, so that what lies behind them is reached; else checksums stay as they come.
 */
#ifndef ENTROFS_TESTS_IMAGE_INPUT_H
#define ENTROFS_TESTS_IMAGE_INPUT_H

#include "tests/unit/image_reseal.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { HEAD = offsetof(struct efs_superblock, reserved1) };

/* The image that the input stands for, without hash tree; *size becomes its size. */
static inline uint8_t *expand(const uint8_t *data, size_t *size, size_t extra)
{
	size_t head = *size < HEAD ? *size : HEAD, body = *size - head;
	uint8_t *image = calloc(1, EFS_SUPERBLOCK_SIZE + body + extra);

	if (!image)
		abort();
	memcpy(image, data, head);
	if (body)
		memcpy(image + EFS_SUPERBLOCK_SIZE, data + head, body);
	*size = EFS_SUPERBLOCK_SIZE + body;
	return image;
}

/* The whole image; *size becomes its size. The caller frees it. */
static inline uint8_t *make_image(const uint8_t *data, size_t *size)
{
	size_t body = *size < HEAD ? 0 : *size - HEAD, plain = *size;
	uint64_t covered = (body + 7) / 8 * 8, tree = efs_hash_tree_size(covered);
	size_t full = EFS_SUPERBLOCK_SIZE + (size_t)covered + (size_t)tree;
	uint8_t *image = expand(data, &plain, (size_t)(covered - body + tree));
	struct efs_superblock *super = (void *)image;

	if (*size % 2 == 0) {
		super->hash_offset = EFS_SUPERBLOCK_SIZE + covered;
		super->hash_size = tree;
		super->image_size = full;
		reseal_all(image, full, 1);
	}
	*size = full;
	return image;
}

#endif
