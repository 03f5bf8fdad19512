/* SPDX-License-Identifier: MIT */
/*
 * json.h - parsing of hostile JSON in bounded memory, and growing text for JSON that we write.
 */
#ifndef ENTROFS_JSON_H
#define ENTROFS_JSON_H

#include "image/diag.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Parses text[0..size): one JSON value, no duplicate keys, at most budget bytes of memory for all
 * values alive. NULL and a diag if it is not that. One thread of the program may use jansson.
 */
json_t *json_parse(const char *text, size_t size, size_t budget, struct image_diag *diag);

/* Text under construction, owned by whoever starts it with all zeros; free data in the end. */
struct text {
	char *data; /* NUL-terminated once anything was added */
	size_t size, capacity;
	int failed; /* out of memory: later additions do nothing */
};

__attribute__((format(printf, 2, 3))) void text_add(struct text *text, const char *format, ...);

void text_add_bytes(struct text *text, const void *bytes, size_t size);

/* Adds a JSON string literal; value is valid UTF-8. */
void text_add_string(struct text *text, const char *value);

/* Adds the name of a file as a JSON string; what is not UTF-8 in it becomes U+FFFD. */
void text_add_path(struct text *text, const char *path);

/* Adds an array of integers. */
void text_add_dims(struct text *text, const uint64_t *dims, unsigned rank);

/* Adds the shortest decimal that reads back as this F32, whether read as F32 or as F64. */
void text_add_float(struct text *text, float value);

/* Adds a number rounded to the significant digits given, or null if it is not finite. */
void text_add_figure(struct text *text, double value, int digits);

/* Adds bytes in hexadecimal, quoted. */
void text_add_hex(struct text *text, const uint8_t *bytes, size_t size);

#endif
