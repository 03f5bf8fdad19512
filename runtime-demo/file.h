/* SPDX-License-Identifier: MIT */
/*
 * file.h - the files of a model folder, as they are on disk.
 *
 * Only regular files are opened, and never waited for: a pipe in the place of one is refused. Names
 * are relative to an open folder. Errors: see diag.h; each names the file.
 */
#ifndef ENTROFS_RUN_FILE_H
#define ENTROFS_RUN_FILE_H

#include "runtime-demo/diag.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* A whole file in memory, read-only. A page that cannot be read raises SIGBUS where it is mapped.
 */
struct file_data {
	const uint8_t *bytes;
	size_t size;
	bool mapped; /* else allocated */
};

/* Maps a file that must have this many bytes, or reads it where mapping is impossible. A symbolic
   link is refused. End with file_unmap(). */
int file_map(int folder, const char *name, size_t expected, struct file_data *data,
	     struct diag *diag);

/* Does nothing to a zeroed one. */
void file_unmap(struct file_data *data);

/* All of a file of at most limit bytes, which the caller frees; NULL on failure. */
char *file_read(int folder, const char *name, size_t limit, size_t *size, struct diag *diag);

/* The JSON object in a file of at most limit bytes, a new reference; NULL on failure. */
json_t *file_read_json(int folder, const char *name, size_t limit, struct diag *diag);

#endif
