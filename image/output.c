/* SPDX-License-Identifier: MIT */
/* output.c - appends and hashes; see output.h. */
#include "image/output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BUFFER = 16 * HASH_LEAF };

int efs_output_open(struct output *output, int fd, struct image_diag *diag)
{
	*output = (struct output){.file = {.fd = fd}, .position = EFS_SUPERBLOCK_SIZE};
	if (fd < 0)
		return 0;
	output->buffer = malloc(BUFFER);
	return output->buffer ? 0 : image_fail(diag, -ENOMEM, "out of memory");
}

int efs_output_flush(struct output *output, struct image_diag *diag)
{
	for (size_t at = 0; at < output->filled; at += HASH_LEAF) {
		size_t rest = output->filled - at;
		int err = efs_hash_tree_add(&output->tree, output->buffer + at,
					    rest < HASH_LEAF ? rest : HASH_LEAF);

		if (err)
			return image_fail(diag, err, "out of memory");
	}
	return efs_io_write(&output->file, output->position - output->filled, output->buffer,
			    output->filled, diag);
}

int efs_output_put(struct output *output, const void *data, size_t size, struct image_diag *diag)
{
	const uint8_t *from = data;

	if (output->file.fd < 0) {
		output->position += size;
		return 0;
	}
	while (size) {
		size_t room = BUFFER - output->filled;
		size_t part = size < room ? size : room;

		memcpy(output->buffer + output->filled, from, part);
		output->filled += part;
		output->position += part;
		from += part;
		size -= part;
		if (output->filled == BUFFER) {
			int err = efs_output_flush(output, diag);

			if (err)
				return err;
			output->filled = 0;
		}
	}
	return 0;
}

int efs_output_fill(struct output *output, uint64_t position, uint64_t *padding,
		    struct image_diag *diag)
{
	static const uint8_t zeros[EFS_STREAM_ALIGN_LARGE];
	uint64_t gap = position - output->position;

	*padding += gap;
	return efs_output_put(output, zeros, (size_t)gap, diag);
}

int efs_output_align(struct output *output, uint64_t align, uint64_t *padding,
		     struct image_diag *diag)
{
	return efs_output_fill(output, (output->position + align - 1) & ~(align - 1), padding,
			       diag);
}

void efs_output_close(struct output *output)
{
	free(output->buffer);
	efs_buffer_free(&output->tree.hashes);
}
