/* SPDX-License-Identifier: MIT */
/*
 * io.h - whole reads and writes at offsets, and SHA-256: what image/ needs of the system.
 *
 * Short transfers and EINTR are handled here. Results are 0 or a negative errno with a diag.
 */
#ifndef ENTROFS_IMAGE_IO_H
#define ENTROFS_IMAGE_IO_H

#include "image/diag.h"
#include "image/format.h"

#include <stddef.h>
#include <stdint.h>

/* Where an image lies: bytes of fd from base on. The fd is the caller's. */
struct image_file {
	int fd;
	uint64_t base;
};

/* Bytes of fd behind offset base; a regular file or a block device. */
int efs_io_size(const struct image_file *file, uint64_t *size, struct image_diag *diag);

/* Reads exactly size bytes at offset (of the image); -EIO at an unexpected end. */
int efs_io_read(const struct image_file *file, uint64_t offset, void *buffer, size_t size,
		struct image_diag *diag);
int efs_io_write(const struct image_file *file, uint64_t offset, const void *buffer, size_t size,
		 struct image_diag *diag);

/* -ENOMEM if the library fails, which it does only for want of memory. */
int efs_io_sha256(const void *data, size_t size, uint8_t digest[EFS_DIGEST_SIZE]);

/* The digest and then the checksum of a superblock whose other fields are final. */
int efs_io_superblock_digest(const struct efs_superblock *super, uint8_t digest[EFS_DIGEST_SIZE]);
uint32_t efs_io_superblock_checksum(const struct efs_superblock *super);

#endif
