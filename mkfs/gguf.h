/* SPDX-License-Identifier: MIT */
/*
 * gguf.h - a strict parser of the header of a GGUF file, version 3, little-endian.
 *
 * The header is hostile: counts, lengths, shapes and offsets are checked against each other and
 * against the file's size, so that what comes out can be used without further thought. Memory is
 * bounded, and time by the header's size. What llama.cpp's loader reads is read here, but for
 * version 2, names that are no text, and what exceeds the limits below.
 *
 * Where everything lies in the header is noted, so that it can be written again with some of it
 * replaced: GGUF_PREFIX bytes, the pairs one behind the other, then the infos of the tensors
 * likewise.
 */
#ifndef ENTROFS_GGUF_H
#define ENTROFS_GGUF_H

#include "image/diag.h"
#include "mkfs/gguf_types.h"

#include <stddef.h>
#include <stdint.h>

enum {
	GGUF_PREFIX = 24, /* bytes: "GGUF", version: u32, tensors: u64, pairs: u64 */
	GGUF_VERSION = 3,
	GGUF_HEADER_MAX = 256 << 20,   /* bytes; large tokenizers take some 15 MiB */
	GGUF_PARSE_BUDGET = 256 << 20, /* bytes, for what is parsed of one file */
	GGUF_KEY_MAX = 65535,          /* bytes */
	GGUF_NAME_MAX = 4096,          /* bytes; ggml itself takes up to 63 */
	GGUF_NESTING_MAX = 8,          /* arrays within each other */
	GGUF_RANK_MAX = 4,
	GGUF_ALIGNMENT_DEFAULT = 32,
	GGUF_ALIGNMENT_MAX = 16 << 20, /* bytes */
};

/* A pair of the metadata: its key, u32 type, value. */
struct gguf_pair {
	char *key; /* valid UTF-8, no NUL, not empty */
	enum gguf_value type;
	enum gguf_value element; /* of an array: the type of its elements; otherwise type */
	uint64_t count;          /* of an array: elements; otherwise 1 */
	size_t start;            /* of the pair, from the start of the header */
	size_t offset, size;     /* of the value as it is stored, which ends the pair */
};

struct gguf_tensor {
	char *name; /* valid UTF-8, no NUL */
	const struct gguf_type *type;
	unsigned rank;                /* 0: one number, which only odd writers make */
	uint64_t dims[GGUF_RANK_MAX]; /* the length of a row first; 1 beyond rank */
	uint64_t count;               /* elements: the product of dims */
	uint64_t offset;              /* from the start of the data */
	uint64_t size;                /* bytes */
	size_t info_offset;           /* of its info, from the start of the header */
	size_t info_size;
};

/* Pairs and tensors are in the order of the header. */
struct gguf {
	const uint8_t *bytes; /* the caller's */
	struct gguf_pair *pairs;
	size_t pair_count;
	struct gguf_tensor *tensors;
	size_t tensor_count;
	char *architecture;   /* NULL: general.architecture is no text, or missing */
	int64_t file_type;    /* -1: general.file_type is no such number, or missing */
	uint32_t alignment;   /* of data, a power of two */
	size_t infos_offset;  /* where the infos of tensors start */
	size_t header_size;   /* where they end */
	uint64_t data_offset; /* of the data in the file: header_size aligned, within the file */
	uint64_t data_size;   /* to the end of the last tensor; the file may go on */
	/* Tensors lie in the order of their infos, each at the first aligned byte behind the one
	 * before: llama.cpp refuses files that are not so. */
	int contiguous;
};

/*
 * Parses the header in bytes[0..size), which a file of file_size bytes starts with. 0, or a
 * negative errno and a diag:
 *
 *   -EAGAIN  the header goes on behind these bytes, as does the file: call again with more,
 *            preferably twice as many
 *   -ENOTSUP another version or byte order, or a tensor of an unknown type
 *   -EFBIG   larger than the limits above
 *   -EINVAL  not a GGUF file, damaged, or truncated
 *
 * More bytes change nothing but -EAGAIN. On success the bytes must stay as long as *out, and the
 * caller frees *out; on failure nothing is left to free.
 */
int gguf_parse(const uint8_t *bytes, size_t size, uint64_t file_size, struct gguf *out,
	       struct image_diag *diag);

/* Likewise, within this many bytes of memory. */
int gguf_parse_within(const uint8_t *bytes, size_t size, uint64_t file_size, size_t budget,
		      struct gguf *out, struct image_diag *diag);

void gguf_free(struct gguf *header);

/* The pair of that key, or NULL. */
const struct gguf_pair *gguf_find(const struct gguf *header, const char *key);

/* The value of that key: 0; -ENOENT: there is none; -EINVAL: it is of another kind, or not in the
 * range. Integers may be stored in any size, numbers as F32 or F64. */
int gguf_get_unsigned(const struct gguf *header, const char *key, uint64_t *value);
int gguf_get_signed(const struct gguf *header, const char *key, int64_t *value);
int gguf_get_number(const struct gguf *header, const char *key, double *value);
int gguf_get_bool(const struct gguf *header, const char *key, int *value);

/* Any bytes, in those of the header: not terminated. */
int gguf_get_string(const struct gguf *header, const char *key, const char **text, size_t *size);

#endif
