/* SPDX-License-Identifier: MIT */
/*
 * names.h - names out of an image, made fit to be shown.
 *
 * An image is not trusted: its names may hold control characters that a terminal would obey, or
 * bytes that are not UTF-8, which JSON cannot hold. Such bytes are replaced by U+FFFD.
 */
#ifndef ENTROFS_NAMES_H
#define ENTROFS_NAMES_H

#include "image/reader.h"

enum names_for {
	NAMES_FOR_JSON,     /* control characters stay (JSON escapes them), but NUL */
	NAMES_FOR_TERMINAL, /* they are replaced, too */
};

enum { NAMES_BYTE = 0x110000 }; /* behind the last code point */

/* Takes a character off the text [*at, end), which is not empty: its code point, or NAMES_BYTE plus
 * a byte that is no UTF-8. */
uint32_t names_take_character(const char **at, const char *end);

/* malloc'ed, NUL-terminated, valid UTF-8; NULL: out of memory. */
char *names_show(struct image_name name, enum names_for use);

/* The path of a node, shown likewise. */
char *names_show_path(const struct image *image, uint32_t node, enum names_for use);

#endif
