/* SPDX-License-Identifier: MIT */
/*
 * utf8.h - characters in UTF-8 and their classes. Pure functions of bytes, for any thread.
 */
#ifndef ENTROFS_RUN_UTF8_H
#define ENTROFS_RUN_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* The rest, \p{L}, \p{N}, the White_Space property. */
enum char_class { OTHER, LETTER, NUMBER, SPACE };

/* Length in bytes of the character at s and its code point; 0 if the n bytes, at least one, cut it
   off, -1 if they are not UTF-8. *code is set only if the result is positive. */
int utf8_read(const char *s, size_t n, uint32_t *code);

/* Writes up to 3 bytes and returns their number; code is below 0x10000. */
size_t utf8_write(uint32_t code, char *out);

/* Class of the character at s and its length. A byte that begins no whole character is one by
   itself, of class OTHER. n is at least one. */
enum char_class utf8_class(const char *s, size_t n, size_t *length);

#endif
