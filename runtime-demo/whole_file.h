/* SPDX-License-Identifier: MIT */
/*
 * whole_file.h - a file that appears under its name whole or not at all.
 *
 * Until it is complete it is called NAME.part; a signal that ends the program removes it (see
 * signals.h). What is no regular file, a terminal or a pipe, is written as it is. Errors: see
 * diag.h; each names the file.
 */
#ifndef ENTROFS_RUN_WHOLE_FILE_H
#define ENTROFS_RUN_WHOLE_FILE_H

#include "runtime-demo/diag.h"

#include <stdio.h>

struct whole_file {
	FILE *stream; /* NULL: not open */
	const char *path;
	char *part; /* owned; NULL: written as it is */
};

/* path must outlive the file. One at a time. */
int whole_file_open(struct whole_file *file, const char *path, struct diag *diag);

/* Gives it its name. On failure, too, it is closed. */
int whole_file_finish(struct whole_file *file, struct diag *diag);

/* Removes it. Does nothing to one that is not open. */
void whole_file_abandon(struct whole_file *file);

#endif
