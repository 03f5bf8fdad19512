/* SPDX-License-Identifier: MIT */
/*
 * gguf_cursor.h - reading the header of a GGUF file in bounds: of the bytes given, of the file, of
 * the header's limit and of a budget of memory. Functions that fail leave a diag.
 */
#ifndef ENTROFS_GGUF_CURSOR_H
#define ENTROFS_GGUF_CURSOR_H

#include "mkfs/gguf.h"

enum { GGUF_SHOWN = 200 }; /* bytes of a name in a diagnostic */

struct gguf_cursor {
	const uint8_t *bytes;
	size_t at, given;   /* at <= given <= reach */
	uint64_t reach;     /* where the file ends, or GGUF_HEADER_MAX if that comes first */
	uint64_t file_size; /* bytes */
	size_t budget;      /* bytes of memory left */
	const char *part;   /* of the header, for diagnostics: "metadata pair" or "tensor" */
	size_t number;      /* of the part, from 0 */
	struct image_diag *diag;
};

/* 0 if the header may hold count things of that many bytes from here on, given or not. */
int gguf_has_room(struct gguf_cursor *cursor, uint64_t count, unsigned size);

/* 0 if count things of that many bytes are given from here on; the cursor moves behind them. */
int gguf_skip(struct gguf_cursor *cursor, uint64_t count, unsigned size);

int gguf_take_u32(struct gguf_cursor *cursor, uint32_t *value);
int gguf_take_u64(struct gguf_cursor *cursor, uint64_t *value);

/* A string that is a name of this kind ("key" or "name"): malloc'ed, NUL-terminated. */
int gguf_take_name(struct gguf_cursor *cursor, const char *kind, size_t max, char **name);

/* Whether the bytes are valid UTF-8 without NUL. */
int gguf_is_text(const uint8_t *bytes, size_t size);

/* Makes place for one more element behind count, of most at the end; *array is realloc'ed. */
int gguf_grow(struct gguf_cursor *cursor, void **array, size_t *capacity, size_t count,
	      uint64_t most, size_t size);

/* malloc'ed pointers to the elements of the array, in the order of compare(), which is given
 * pointers to such pointers; NULL: failed with *error. */
const void **gguf_sort(struct gguf_cursor *cursor, const void *array, size_t count, size_t size,
		       int (*compare)(const void *, const void *), int *error);

/* Parses count pairs into the header, and what it says of them. */
int gguf_parse_pairs(struct gguf_cursor *cursor, uint64_t count, struct gguf *header);

#endif
