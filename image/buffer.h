/* SPDX-License-Identifier: MIT */
/*
 * buffer.h - a growing array of bytes or of records, for what a writer keeps until the end.
 *
 * Zero-initialised is empty. data is malloc'ed, so aligned for any record, and moves on growth.
 */
#ifndef ENTROFS_IMAGE_BUFFER_H
#define ENTROFS_IMAGE_BUFFER_H

#include <stddef.h>
#include <stdint.h>

struct buffer {
	uint8_t *data;
	size_t size;     /* bytes in use */
	size_t capacity; /* bytes allocated */
};

/* Makes room for size more bytes and returns where they begin, now in use; NULL: out of memory. */
void *efs_buffer_extend(struct buffer *buffer, size_t size);

/* Appends a copy; 0 or -ENOMEM. */
int efs_buffer_add(struct buffer *buffer, const void *data, size_t size);

void efs_buffer_free(struct buffer *buffer);

#endif
