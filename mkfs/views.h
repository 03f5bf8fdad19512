/* SPDX-License-Identifier: MIT */
/*
 * views.h - the files that an image offers under quantized/: their names, headers and pieces.
 */
#ifndef ENTROFS_VIEWS_H
#define ENTROFS_VIEWS_H

#include "mkfs/json.h"
#include "mkfs/pack.h"

/* The file of a tensor under quantized/tensors: NAME percent-encoded, and the extension. Allocated;
 * NULL: out of memory. bits 0: kept. */
char *view_file_name(const struct safetensor *tensor, int bits);

/* The shape under which a view shows a tensor with so many bits (0: kept), in dims[0..rank), which
 * has room for EFS_RANK_MAX; the rank. Packed codes are bytes: half as many in each row, or, where
 * those end in the middle of a byte, all in one dimension. */
unsigned view_code_shape(const struct safetensor *tensor, int bits, uint64_t *dims);

/* Chooses the views if the user has not; fails, after printing why, if those chosen cannot be made
 * of this source. */
int view_choose(const struct source *source, unsigned *views);

/* Fails, after printing why, if a file has the name of a folder of these views. */
int view_check_folders(const struct source *source, unsigned views);

/* Fails, after printing why, if a companion of a tensor to quantize has the name of a tensor. */
int view_check_companions(const struct source *source, const struct plan *plan);

/*
 * quantized/model.safetensors: bytes to store as a blob, and the pieces of the file, where pieces
 * of that blob have source 0 still. 0, or -1: out of memory or a header beyond the format's limit,
 * with a diag. The caller frees both, also on failure.
 */
int view_safetensors(const struct packed *packed, struct text *bytes, struct efs_piece **pieces,
		     uint32_t *piece_count, struct image_diag *diag);

/* quantized/manifest.json. Check text->failed. */
void view_manifest(const struct packed *packed, struct text *text);

#endif
