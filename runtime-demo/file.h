/* SPDX-License-Identifier: MIT */
/*
 * file.h - the files of a model folder, as they are on disk.
 *
 * Only regular files are opened, and never waited for: a pipe in the place of one is refused.
 * Errors: see diag.h; each names the file, with its folder.
 */
#ifndef ENTROFS_RUN_FILE_H
#define ENTROFS_RUN_FILE_H

#include "runtime-demo/diag.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* A folder that is open; names of files are relative to it. */
struct folder {
	int fd;     /* -1: not open */
	char *path; /* for messages; owned */
};

/* Opens a folder in another one, NULL: in the working directory. End with folder_close(), on
   failure, too. */
int folder_open(const struct folder *parent, const char *name, struct folder *folder,
		struct diag *diag);
void folder_close(struct folder *folder);

/* Says of which file the text of the diagnostic is; always -1. */
int file_blame(const struct folder *folder, const char *name, struct diag *diag);

struct file_mapping;

/* A whole file in memory, read-only. A page that cannot be read raises SIGBUS where it is mapped.
 */
struct file_data {
	const uint8_t *bytes;
	size_t size;
	struct file_mapping *mapping; /* NULL: allocated instead */
};

/* Maps a file that must have this many bytes, or reads it where mapping is impossible. A symbolic
   link is refused. End with file_unmap(). */
int file_map(const struct folder *folder, const char *name, size_t expected, struct file_data *data,
	     struct diag *diag);

/* Does nothing to a zeroed one. */
void file_unmap(struct file_data *data);

/* The path of the file that is mapped at this address, NULL if none is. Safe in a signal handler as
   long as nothing is being mapped or unmapped. */
const char *file_mapped_at(const void *address);

/* All of a file of at most limit bytes, which the caller frees; NULL on failure. A folder of NULL
   is the working directory. */
char *file_read(const struct folder *folder, const char *name, size_t limit, size_t *size,
		struct diag *diag);

/* The JSON object in a file of at most limit bytes that takes at most budget bytes of memory (see
   json.h), a new reference; NULL on failure. */
json_t *file_read_json(const struct folder *folder, const char *name, size_t limit, size_t budget,
		       struct diag *diag);

#endif
