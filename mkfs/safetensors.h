/* SPDX-License-Identifier: MIT */
/*
 * safetensors.h - a strict parser of the header of a .safetensors file.
 *
 * The header is hostile: sizes, shapes and offsets are checked against each other and against the
 * file's size, so that what comes out can be used without further thought. Memory is bounded.
 */
#ifndef ENTROFS_SAFETENSORS_H
#define ENTROFS_SAFETENSORS_H

#include "image/diag.h"
#include "mkfs/dtype.h"

#include <stddef.h>
#include <stdint.h>

enum {
	SAFETENSORS_PREFIX = 8, /* bytes before the header: its size, little-endian */
	SAFETENSORS_HEADER_MAX = 100000000,
	SAFETENSORS_PARSE_BUDGET = 256 << 20, /* bytes, for the parsed JSON of one file */
};

struct safetensor {
	char *name; /* valid UTF-8, no NUL */
	const struct dtype *dtype;
	unsigned rank;
	uint64_t *dims;
	uint64_t count;  /* elements: the product of dims */
	uint64_t offset; /* from the start of the data, behind the header */
	uint64_t size;   /* bytes */
};

struct safetensors_pair {
	char *key, *value;
};

/* Tensors lie in data order and fill the data without gap or overlap. */
struct safetensors {
	struct safetensor *tensors;
	size_t tensor_count;
	struct safetensors_pair *metadata; /* __metadata__, sorted by key */
	size_t metadata_count;
};

/*
 * Parses header[0..size) of a file with data_size bytes behind the header. 0, or a negative errno
 * and a diag. On success the caller frees *out; on failure nothing is left to free.
 */
int safetensors_parse(const char *header, size_t size, uint64_t data_size, struct safetensors *out,
		      struct image_diag *diag);
void safetensors_free(struct safetensors *header);

#endif
