/* SPDX-License-Identifier: MIT */
/*
 * image.c - fuzz target: whatever an image holds, opening it and reading everything that it offers
 * neither crashes nor hangs.
 *
 * Input: the first 184 bytes of a superblock, then what follows the superblock, up to the hash
 * tree. If the input's size is even, the hash tree is added and everything sealed with right
 * checksums, so that what lies behind them is reached; else checksums stay as they come.
 */
#include "tests/unit/image_exercise.h"
#include "tests/unit/image_reseal.h"

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

enum { HEAD = offsetof(struct efs_superblock, reserved1), READ_BUFFER = 128 << 10 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The image that the input stands for; *size becomes its size. */
static uint8_t *make_image(const uint8_t *data, size_t *size)
{
	size_t head = *size < HEAD ? *size : HEAD, body = *size - head;
	uint64_t covered = (body + 7) / 8 * 8, tree = efs_hash_tree_size(covered);
	size_t full = EFS_SUPERBLOCK_SIZE + (size_t)covered + (size_t)tree;
	uint8_t *image = calloc(1, full);
	struct efs_superblock *super = (void *)image;

	if (!image)
		abort();
	memcpy(image, data, head);
	if (body)
		memcpy(image + EFS_SUPERBLOCK_SIZE, data + head, body);
	if (*size % 2 == 0) {
		super->hash_offset = EFS_SUPERBLOCK_SIZE + covered;
		super->hash_size = tree;
		super->image_size = full;
		reseal(image, full);
	}
	*size = full;
	return image;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *image = make_image(data, &size), *buffer = malloc(READ_BUFFER);
	int fd = memfd_create("image", MFD_CLOEXEC);
	struct image_scratch *scratch;
	volatile uint64_t use;
	uint64_t sum = 0;

	if (!buffer || fd < 0 || image_scratch_create(&scratch) ||
	    pwrite(fd, image, size, 0) != (ssize_t)size)
		abort();
	exercise(fd, 0, buffer, scratch, &sum);
	use = sum;
	(void)use;
	image_scratch_destroy(scratch);
	close(fd);
	free(buffer);
	free(image);
	return 0;
}
