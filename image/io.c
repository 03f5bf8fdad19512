/* SPDX-License-Identifier: MIT */
/* io.c - whole reads and writes at offsets, and SHA-256; see io.h. */
#include "image/io.h"

#include "image/checksum.h"

#include <errno.h>
#include <linux/fs.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

int efs_io_size(const struct image_file *file, uint64_t *size, struct image_diag *diag)
{
	uint64_t total;
	struct stat st;

	if (fstat(file->fd, &st) < 0)
		return image_fail(diag, -errno, "%s", strerror(errno));
	if (S_ISDIR(st.st_mode))
		return image_fail(diag, -EISDIR, "it is a folder");
	if (S_ISREG(st.st_mode))
		total = (uint64_t)st.st_size;
	else if (!S_ISBLK(st.st_mode))
		return image_fail(diag, -EINVAL, "neither a regular file nor a block device");
	else if (ioctl(file->fd, BLKGETSIZE64, &total) < 0)
		return image_fail(diag, -errno, "%s", strerror(errno));
	if (total > INT64_MAX || file->base > total)
		return image_fail(diag, -EINVAL, "offset %llu lies beyond the end of the file",
				  (unsigned long long)file->base);
	*size = total - file->base;
	return 0;
}

int efs_io_read(const struct image_file *file, uint64_t offset, void *buffer, size_t size,
		struct image_diag *diag)
{
	uint8_t *to = buffer;

	while (size) {
		ssize_t got = pread(file->fd, to, size, (off_t)(file->base + offset));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return image_fail(diag, -errno, "reading at byte %llu: %s",
					  (unsigned long long)offset, strerror(errno));
		if (got == 0)
			return image_fail(diag, -EIO, "the file ends at byte %llu",
					  (unsigned long long)offset);
		to += got;
		offset += (uint64_t)got;
		size -= (size_t)got;
	}
	return 0;
}

int efs_io_write(const struct image_file *file, uint64_t offset, const void *buffer, size_t size,
		 struct image_diag *diag)
{
	const uint8_t *from = buffer;

	while (size) {
		ssize_t put = pwrite(file->fd, from, size, (off_t)(file->base + offset));

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return image_fail(diag, -errno, "writing at byte %llu: %s",
					  (unsigned long long)offset, strerror(errno));
		if (put == 0)
			return image_fail(diag, -EIO, "writing at byte %llu: nothing is written",
					  (unsigned long long)offset);
		from += put;
		offset += (uint64_t)put;
		size -= (size_t)put;
	}
	return 0;
}

int efs_io_sha256(const void *data, size_t size, uint8_t digest[EFS_DIGEST_SIZE])
{
	return EVP_Digest(data, size, digest, NULL, EVP_sha256(), NULL) == 1 ? 0 : -ENOMEM;
}

int efs_io_superblock_digest(const struct efs_superblock *super, uint8_t digest[EFS_DIGEST_SIZE])
{
	struct efs_superblock copy = *super;

	memset(copy.digest, 0, sizeof(copy.digest));
	copy.checksum = 0;
	return efs_io_sha256(&copy, sizeof(copy), digest);
}

uint32_t efs_io_superblock_checksum(const struct efs_superblock *super)
{
	return checksum_of(super, offsetof(struct efs_superblock, checksum));
}
