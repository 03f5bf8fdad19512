/* SPDX-License-Identifier: MIT */
/* buffer.c - a growing array; see buffer.h. It doubles, so that growth costs linear time in all. */
#include "image/buffer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void *efs_buffer_extend(struct buffer *buffer, size_t size)
{
	size_t need;
	void *place;

	if (__builtin_add_overflow(buffer->size, size, &need))
		return NULL;
	if (need > buffer->capacity || !buffer->data) {
		size_t capacity = buffer->capacity ? buffer->capacity : 256;
		uint8_t *data;

		while (capacity < need)
			if (__builtin_mul_overflow(capacity, 2, &capacity))
				return NULL;
		data = realloc(buffer->data, capacity);
		if (!data)
			return NULL;
		buffer->data = data;
		buffer->capacity = capacity;
	}
	place = buffer->data + buffer->size;
	buffer->size = need;
	return place;
}

int efs_buffer_add(struct buffer *buffer, const void *data, size_t size)
{
	void *place = efs_buffer_extend(buffer, size);

	if (!place)
		return -ENOMEM;
	if (size)
		memcpy(place, data, size);
	return 0;
}

void efs_buffer_free(struct buffer *buffer)
{
	free(buffer->data);
	*buffer = (struct buffer){0};
}
