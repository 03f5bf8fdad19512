/* SPDX-License-Identifier: MIT */
/* gguf_cursor.c - reading the header of a GGUF file in bounds; see gguf_cursor.h. */
#include "mkfs/gguf_cursor.h"

#include "mkfs/names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { HEAP_OVERHEAD = 16 }; /* bytes that an allocation costs beside its own */

static int charge(struct gguf_cursor *cursor, size_t size)
{
	if (size > cursor->budget)
		return image_fail(cursor->diag, -EFBIG,
				  "the header is too large: parsing it takes too much memory");
	cursor->budget -= size;
	return 0;
}

int gguf_has_room(struct gguf_cursor *cursor, uint64_t count, unsigned size)
{
	if (count > (cursor->file_size - cursor->at) / size)
		return image_fail(cursor->diag, -EINVAL,
				  "%s %zu reaches beyond the end of the file (truncated?)",
				  cursor->part, cursor->number);
	if (count > (cursor->reach - cursor->at) / size)
		return image_fail(cursor->diag, -EFBIG,
				  "%s %zu reaches beyond the %d MiB that a header may have",
				  cursor->part, cursor->number, GGUF_HEADER_MAX >> 20);
	return 0;
}

int gguf_skip(struct gguf_cursor *cursor, uint64_t count, unsigned size)
{
	int result = gguf_has_room(cursor, count, size);
	if (result)
		return result;
	/* No overflow: it has room below GGUF_HEADER_MAX. */
	if (count * size > cursor->given - cursor->at)
		return image_fail(cursor->diag, -EAGAIN,
				  "the header goes on behind the first %zu bytes", cursor->given);
	cursor->at += (size_t)(count * size);
	return 0;
}

int gguf_take_u32(struct gguf_cursor *cursor, uint32_t *value)
{
	const uint8_t *from = cursor->bytes + cursor->at;
	int result = gguf_skip(cursor, 1, sizeof *value);
	if (!result)
		memcpy(value, from, sizeof *value);
	return result;
}

int gguf_take_u64(struct gguf_cursor *cursor, uint64_t *value)
{
	const uint8_t *from = cursor->bytes + cursor->at;
	int result = gguf_skip(cursor, 1, sizeof *value);
	if (!result)
		memcpy(value, from, sizeof *value);
	return result;
}

int gguf_is_text(const uint8_t *bytes, size_t size)
{
	const char *at = (const char *)bytes, *end = at + size;

	while (at < end) {
		uint32_t code = names_take_character(&at, end);
		if (!code || code >= NAMES_BYTE)
			return 0;
	}
	return 1;
}

int gguf_take_name(struct gguf_cursor *cursor, const char *kind, size_t max, char **name)
{
	uint64_t size;
	int result = gguf_take_u64(cursor, &size);
	if (result)
		return result;
	if (size > max)
		return image_fail(cursor->diag, -EFBIG,
				  "%s %zu: the %s has %llu bytes, more than %zu", cursor->part,
				  cursor->number, kind, (unsigned long long)size, max);
	const uint8_t *from = cursor->bytes + cursor->at;
	result = gguf_skip(cursor, size, 1);
	if (result)
		return result;
	if (!gguf_is_text(from, (size_t)size))
		return image_fail(cursor->diag, -EINVAL,
				  "%s %zu: the %s is not valid UTF-8 without NUL", cursor->part,
				  cursor->number, kind);
	result = charge(cursor, (size_t)size + 1 + HEAP_OVERHEAD);
	if (result)
		return result;
	*name = strndup((const char *)from, (size_t)size);
	return *name ? 0 : image_fail(cursor->diag, -ENOMEM, "out of memory");
}

int gguf_grow(struct gguf_cursor *cursor, void **array, size_t *capacity, size_t count,
	      uint64_t most, size_t size)
{
	if (count < *capacity)
		return 0;
	size_t wanted = *capacity ? 2 * *capacity : 16;
	if (wanted > most)
		wanted = (size_t)most;
	int result = charge(cursor, (wanted - *capacity) * size);
	if (result)
		return result;
	void *grown = realloc(*array, wanted * size);
	if (!grown)
		return image_fail(cursor->diag, -ENOMEM, "out of memory");
	*array = grown;
	*capacity = wanted;
	return 0;
}

const void **gguf_sort(struct gguf_cursor *cursor, const void *array, size_t count, size_t size,
		       int (*compare)(const void *, const void *), int *error)
{
	*error = charge(cursor, count * sizeof(void *));
	if (*error)
		return NULL;
	const void **sorted = malloc(count ? count * sizeof *sorted : 1);
	if (!sorted) {
		*error = image_fail(cursor->diag, -ENOMEM, "out of memory");
		return NULL;
	}
	for (size_t i = 0; i < count; i++)
		sorted[i] = (const char *)array + i * size;
	qsort(sorted, count, sizeof *sorted, compare);
	cursor->budget += count * sizeof(void *); /* the caller frees it at once */
	return sorted;
}
