/* SPDX-License-Identifier: MIT */
/*
 * diag.h - what went wrong, as one line for the user.
 *
 * A function that can fail takes a diagnostic of its caller's, sets its text and returns -1 (NULL
 * where it returns a pointer); on success it leaves the text alone. Nothing here prints or ends the
 * program. The text begins in lower case and has no newline and no control character, whatever
 * bytes a hostile name held. What judges the content of a file says only what is wrong with it and
 * where in it; whoever knows the file puts its name in front (file_blame() of file.h).
 */
#ifndef ENTROFS_RUN_DIAG_H
#define ENTROFS_RUN_DIAG_H

#include <stddef.h>

struct diag {
	char text[4096 + 1024]; /* a path and a reason */
};

/* Sets the text; always -1. */
int __attribute__((format(printf, 2, 3))) diag_fail(struct diag *diag, const char *format, ...);

/* Puts more in front of the text, which loses its end if both do not fit; always -1. */
int __attribute__((format(printf, 2, 3))) diag_prefix(struct diag *diag, const char *format, ...);

/* count * size zero bytes, at least one, to be freed by the caller; NULL with a diagnostic if there
   is not so much or the product overflows. */
void *diag_allocate(size_t count, size_t size, struct diag *diag);

#endif
