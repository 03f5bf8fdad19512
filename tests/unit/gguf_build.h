/* SPDX-License-Identifier: MIT */
/* gguf_build.h - GGUF headers put together field by field, and parsed from as many bytes as they
 * have, behind which the sanitizer sees every access. */
#ifndef ENTROFS_TESTS_GGUF_BUILD_H
#define ENTROFS_TESTS_GGUF_BUILD_H

#include "mkfs/gguf.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* Starts as all zeros. */
struct built {
	uint8_t *data;
	size_t size, capacity;
};

static struct image_diag diag;
static uint8_t *given; /* what was parsed last; a parsed header points into it */

static inline void put(struct built *built, const void *bytes, size_t size)
{
	if (built->size + size > built->capacity) {
		built->capacity = 2 * (built->size + size);
		built->data = realloc(built->data, built->capacity);
		cr_assert(built->data);
	}
	if (size)
		memcpy(built->data + built->size, bytes, size);
	built->size += size;
}

static inline void put_u8(struct built *built, uint8_t value)
{
	put(built, &value, sizeof value);
}

static inline void put_u16(struct built *built, uint16_t value)
{
	put(built, &value, sizeof value);
}

static inline void put_u32(struct built *built, uint32_t value)
{
	put(built, &value, sizeof value);
}

static inline void put_u64(struct built *built, uint64_t value)
{
	put(built, &value, sizeof value);
}

static inline void put_string(struct built *built, const char *text, size_t size)
{
	put_u64(built, size);
	put(built, text, size);
}

/* The prefix; forgets what was built before. */
static inline void put_prefix(struct built *built, uint64_t tensors, uint64_t pairs)
{
	built->size = 0;
	put(built, "GGUF", 4);
	put_u32(built, 3);
	put_u64(built, tensors);
	put_u64(built, pairs);
}

/* A pair, but its value. */
static inline void put_key(struct built *built, const char *key, uint32_t type)
{
	put_string(built, key, strlen(key));
	put_u32(built, type);
}

static inline void put_array(struct built *built, uint32_t element, uint64_t count)
{
	put_u32(built, element);
	put_u64(built, count);
}

static inline void put_pair_u32(struct built *built, const char *key, uint32_t value)
{
	put_key(built, key, GGUF_VALUE_U32);
	put_u32(built, value);
}

static inline void put_tensor(struct built *built, const char *name, uint32_t rank,
			      const uint64_t *dims, uint32_t type, uint64_t offset)
{
	put_string(built, name, strlen(name));
	put_u32(built, rank);
	for (uint32_t i = 0; i < rank; i++)
		put_u64(built, dims[i]);
	put_u32(built, type);
	put_u64(built, offset);
}

/* A tensor of one dimension. */
static inline void put_row(struct built *built, const char *name, uint64_t count, uint32_t type,
			   uint64_t offset)
{
	put_tensor(built, name, 1, &count, type, offset);
}

static inline int parse_bytes(const uint8_t *bytes, size_t size, uint64_t file_size,
			      struct gguf *out)
{
	free(given);
	given = malloc(size ? size : 1);
	cr_assert(given);
	if (size)
		memcpy(given, bytes, size);
	diag.text[0] = '\0';
	return gguf_parse(given, size, file_size, out, &diag);
}

/* Of a file with that much data behind the header, which ends at a multiple of 32. */
static inline int parse(const struct built *built, uint64_t data_size, struct gguf *out)
{
	uint64_t aligned = (built->size + 31) / 32 * 32;
	return parse_bytes(built->data, built->size, aligned + data_size, out);
}

static inline void accepted(const struct built *built, uint64_t data_size, struct gguf *out)
{
	cr_assert_eq(parse(built, data_size, out), 0, "%s", diag.text);
}

/* Refused with that error, and the message holds this. */
static inline void refused(const struct built *built, uint64_t data_size, int error,
			   const char *message)
{
	struct gguf header;
	int result = parse(built, data_size, &header);
	cr_assert_eq(result, error, "%d, not %d: '%s', not '%s'", result, error, diag.text,
		     message);
	cr_assert(strstr(diag.text, message), "'%s' lacks '%s'", diag.text, message);
	cr_assert_null(header.pairs);
	cr_assert_null(header.tensors);
}

#endif
