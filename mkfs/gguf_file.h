/* SPDX-License-Identifier: MIT */
/* gguf_file.h - the header of a GGUF file on a disk. */
#ifndef ENTROFS_GGUF_FILE_H
#define ENTROFS_GGUF_FILE_H

#include "mkfs/gguf.h"
#include "mkfs/source.h"

/*
 * Reads and parses as much of the file as its header takes. *bytes, which is NULL before, is what
 * *out refers to; the caller frees it in any case. Results as of gguf_parse(), with its diag; or
 * GGUF_UNREADABLE after printing why.
 */
enum { GGUF_UNREADABLE = 1 };
int gguf_read_file(const struct source_file *file, uint8_t **bytes, struct gguf *out,
		   struct image_diag *diag);

#endif
