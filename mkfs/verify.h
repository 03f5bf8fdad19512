/* SPDX-License-Identifier: MIT */
/* verify.h - reads a new image back and compares it with what was packed. */
#ifndef ENTROFS_VERIFY_H
#define ENTROFS_VERIFY_H

#include "mkfs/pool.h"
#include "mkfs/progress.h"

#include <stddef.h>
#include <stdint.h>

enum verify_kind { VERIFY_STREAM, VERIFY_BLOB, VERIFY_FILE };

/* What has to come back. */
struct verify_item {
	const char *name; /* of a file: its path in the image; otherwise for errors */
	enum verify_kind kind;
	uint32_t number;       /* of the stream or blob */
	uint64_t size;         /* decoded bytes */
	const uint8_t *digest; /* SHA-256 of them */
};

/* What it adds to the progress, for so many decoded bytes. */
uint64_t verify_work(uint64_t size);

/* All items, the hash tree, and the padding. 0, or -1 after printing why. */
int verify_image(const struct verify_item *items, size_t count, int fd, const char *target,
		 struct pool *pool, struct progress *progress);

#endif
