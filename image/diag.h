/* SPDX-License-Identifier: MIT */
/*
 * diag.h - why an operation on an image failed, in one line for a person.
 *
 * Functions that fail return a negative errno and, where the caller passes a diag, leave in it what
 * was wrong and at which byte of the image; only programs print. The caller owns the diag and may
 * reuse it.
 */
#ifndef ENTROFS_DIAG_H
#define ENTROFS_DIAG_H

struct image_diag {
	char text[512]; /* empty on success */
};

/* Formats the text (NULL diag: does nothing) and returns error, so that callers can return the
 * call. */
__attribute__((format(printf, 3, 4))) int image_fail(struct image_diag *diag, int error,
						     const char *format, ...);

#ifdef __clang_analyzer__
/* The analyser does not look into variadic functions: tell it that what comes back is not 0. */
#define image_fail(diag, error, ...) ((void)image_fail(diag, error, __VA_ARGS__), (error))
#endif

#endif
