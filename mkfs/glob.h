/* SPDX-License-Identifier: MIT */
/*
 * glob.h - matches paths of an image's tree against shell patterns, in bounded time.
 *
 *   *       any characters but '/'            [abc] [a-z] [!a-z]   one character (not) of these,
 * never '/' ?       one character but '/'             \x                   x itself
 *   **      any characters, '/' included; as a whole component followed by '/', no folder or more
 *
 * A character is a code point of UTF-8; a byte that is no UTF-8 is a character of its own. Unlike
 * fnmatch(), neither the locale nor a leading dot plays a part, and the time is at most the
 * product of the two lengths.
 */
#ifndef ENTROFS_GLOB_H
#define ENTROFS_GLOB_H

#include <stddef.h>

struct glob;

/* NULL: out of memory, or the pattern is no pattern; *fault then says why (a constant text). */
struct glob *glob_create(const char *pattern, const char **fault);
void glob_destroy(struct glob *glob);

/* Does the whole of path[0..size) match? Uses memory of the glob: one thread at a time. */
int glob_match(struct glob *glob, const char *path, size_t size);

#endif
