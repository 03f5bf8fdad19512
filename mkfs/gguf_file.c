/* SPDX-License-Identifier: MIT */
/* gguf_file.c - reads the header of a GGUF file; see gguf_file.h. */
#include "mkfs/gguf_file.h"

#include "mkfs/cli.h"

#include <errno.h>
#include <stdlib.h>

enum { FIRST_READ = 1 << 20 }; /* bytes; what a tokenizer takes, mostly */

int gguf_read_file(const struct source_file *file, uint8_t **bytes, struct gguf *out,
		   struct image_diag *diag)
{
	uint64_t file_size = (uint64_t)file->stat.st_size;
	size_t size = 0, wanted = FIRST_READ;
	int result;

	do {
		wanted = wanted < file_size ? wanted : (size_t)file_size;
		uint8_t *more = realloc(*bytes, wanted + 1);
		if (!more) {
			cli_cannot("read", file->path, "out of memory");
			return GGUF_UNREADABLE;
		}
		*bytes = more;
		if (source_read(file, size, more + size, wanted - size))
			return GGUF_UNREADABLE;
		size = wanted;
		wanted *= 2;
		result = gguf_parse(more, size, file_size, out, diag);
	} while (result == -EAGAIN);
	return result;
}
