/* SPDX-License-Identifier: MIT */
/*
 * output.h - appends the bytes between superblock and hash tree, hashing them on the way.
 *
 * What is put goes through a buffer of whole hash leaves, so each stored byte is read by the hash
 * while it is in the cache and written once.
 */
#ifndef ENTROFS_IMAGE_OUTPUT_H
#define ENTROFS_IMAGE_OUTPUT_H

#include "image/diag.h"
#include "image/hashtree.h"
#include "image/io.h"

/* fd -1: a rehearsal. Bytes are counted, and neither looked at nor written; NULL will do. */
struct output {
	struct image_file file;
	uint64_t position; /* in the image, of the next byte put */
	uint8_t *buffer;
	size_t filled;
	struct hash_tree tree;
};

int efs_output_open(struct output *output, int fd, struct image_diag *diag);
int efs_output_put(struct output *output, const void *data, size_t size, struct image_diag *diag);

/* Puts zeros up to a multiple of align (a power of two, at most 4096); adds their number to
 * *padding. */
int efs_output_align(struct output *output, uint64_t align, uint64_t *padding,
		     struct image_diag *diag);

/* The same up to a position, at most 4096 bytes on. */
int efs_output_fill(struct output *output, uint64_t position, uint64_t *padding,
		    struct image_diag *diag);

/* Writes what is left in the buffer; nothing may be put afterwards. */
int efs_output_flush(struct output *output, struct image_diag *diag);
void efs_output_close(struct output *output);

#endif
