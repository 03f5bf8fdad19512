/* SPDX-License-Identifier: MIT */
/*
 * view_gguf.h - the source's GGUF file, in which quantized tensors are blocks of ggml.
 *
 * Metadata and infos of tensors are the source's, byte for byte and in their order, but for what
 * has to be different: types and offsets, general.alignment, general.file_type and
 * general.quantization_version. Tensors follow each other in the order of their infos, each at the
 * first aligned byte behind the one before, as llama.cpp demands.
 */
#ifndef ENTROFS_VIEW_GGUF_H
#define ENTROFS_VIEW_GGUF_H

#include "mkfs/json.h"
#include "mkfs/pack.h"

/*
 * Bytes to store as a blob, and the pieces of the file: those of that blob have source 0 still,
 * those of transcodes the number of the tensor. 0, or a negative errno with a diag. The caller
 * frees both, also on failure.
 */
int view_gguf(const struct packed *packed, struct text *bytes, struct efs_piece **pieces,
	      uint32_t *piece_count, struct image_diag *diag);

#endif
