/* SPDX-License-Identifier: MIT */
/*
 * planes.h - records of a fixed size as byte planes, each to be coded by itself, and back.
 *
 * The bytes of a weight, or of a block of quantized weights, are not alike: an exponent repeats
 * itself, low bits of a significand never do. Apart from each other, the ones can be coded for what
 * they are, and the others cost nothing but a copy.
 *
 * A **record** is `unit` bytes: `count` **fields**, one after the other, field k of size[k] bytes.
 * **Plane** k is field k of the first record, then field k of the second, and so on: of n records,
 * n * size[k] bytes. All planes together have as many bytes as the records.
 *
 * With a `word` of 2 or 4, a record is first a sequence of words of so many bytes, little-endian,
 * and each word is rotated left by one bit before its record is cut into fields: bit i of the word
 * becomes bit i + 1, and the highest bit the lowest. So the sign of a float moves below its
 * significand, and the exponent of BF16 and F32 fills the highest byte alone, that of F16 shares it
 * with three bits instead of two. A field may begin and end within a word. With a word of 0,
 * nothing is rotated.
 *
 * So BF16 is {.unit = 2, .word = 2, .count = 2, .size = {1, 1}}, and 1.0, 0x3f80, becomes 0x7f00: a
 * byte 0x00 of plane 0 and a byte 0x7f of plane 1.
 *
 * Every sequence of records has planes, all bytes of planes are those of some records, and joining
 * undoes splitting. This is part of the image format: what a description means never changes.
 *
 * Bytes in, bytes out: no I/O, no allocation, no stdio, no state of its own; every function may be
 * called from any thread at any time. The kernel is the one that goes with codec_kernel_in_use().
 */
#ifndef ENTROFS_CODEC_PLANES_H
#define ENTROFS_CODEC_PLANES_H

#include <stddef.h>
#include <stdint.h>

enum { PLANES_UNIT_MAX = 1024, PLANES_COUNT_MAX = 16 };

struct planes {
	uint16_t unit; /* bytes of a record: 1 to PLANES_UNIT_MAX, a multiple of the word */
	uint8_t word;  /* bytes: 0, 2 or 4 */
	uint8_t count; /* of fields, 1 to PLANES_COUNT_MAX */
	uint16_t size[PLANES_COUNT_MAX]; /* bytes of each field, at least 1; their sum is unit */
};

/* Whether a description, hostile perhaps, is one. Of `size`, what is behind `count` is ignored. */
int planes_valid(const struct planes *planes);

/*
 * The planes of n records, and the records of planes; parts[k] is plane k. The description is a
 * valid one. Nothing needs any alignment; the planes must overlap neither the records nor, where
 * they are written, each other. No byte is read or written but the n * unit bytes of the records
 * and the n * size[k] bytes of each plane. If n is 0, pointers may be NULL.
 */
void planes_split(const struct planes *planes, const uint8_t *records, size_t n,
		  uint8_t *const parts[]);
void planes_join(const struct planes *planes, const uint8_t *const parts[], size_t n,
		 uint8_t *records);

#endif
