/* SPDX-License-Identifier: MIT */
/*
 * damage.c - tells of reads that failed; see damage.h.
 *
 * The image's reader speaks of streams, which mean nothing to somebody who sees files: the line
 * puts the file and the tensor in front of what it says about the block.
 */
#include "fs/damage.h"

#include "fs/log.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

enum {
	PATH_SIZE = 768,
	TENSOR_SHOWN = 512, /* bytes of a tensor's name */
};

static bool is_made_of(const struct efs_transcode *transcode, uint32_t number,
		       const struct efs_tensor *tensor)
{
	return transcode->rule == EFS_JOIN
		   ? tensor->first_stream - transcode->first_stream < transcode->plane_count
		   : transcode->tensor == number;
}

/* The name of the tensor that a piece belongs to, empty if there is none. */
static struct image_name tensor_of(const struct image *image, const struct efs_piece *piece)
{
	uint32_t count = image_catalog(image)->tensor_count;
	for (uint32_t i = 0; i < count && piece->kind != EFS_PIECE_BLOB; i++) {
		const struct efs_tensor *tensor = image_tensor(image, i);
		if (piece->kind == EFS_PIECE_STREAM
			? piece->source - tensor->first_stream < tensor->stream_count
			: is_made_of(image_transcode(image, piece->source), i, tensor))
			return image_string(image, tensor->name);
	}
	return (struct image_name){.text = ""};
}

int damage_report(const struct damage *damage)
{
	const char *reason = damage->diag.text[0] ? damage->diag.text : strerror(-damage->error);
	char path[PATH_SIZE];
	image_path(damage->image, damage->node, path, sizeof(path));
	struct image_name name = tensor_of(damage->image, damage->piece);
	if (name.size > TENSOR_SHOWN)
		name.size = TENSOR_SHOWN;
	log_limited("'%s': cannot read '%s': %s%.*s%s%s", damage->image_name, path,
		    name.size ? "tensor '" : "", (int)name.size, name.text, name.size ? "': " : "",
		    reason);
	return damage->error == -ENOMEM ? -ENOMEM : -EIO;
}
