/* SPDX-License-Identifier: MIT */
/* extract.h - writes an image's tree, or some of it, into a folder of the host. */
#ifndef ENTROFS_EXTRACT_H
#define ENTROFS_EXTRACT_H

#include "image/reader.h"
#include "mkfs/findings.h"
#include "mkfs/pool.h"

struct extract_plan {
	const char *target;          /* folder: made, or there */
	const char *const *patterns; /* of paths, as in glob.h; none: everything */
	size_t pattern_count;
	uint64_t stored; /* what the image takes on disk: check_stored_size() */
	int force; /* the folder need not be empty, files are replaced, no claim is too large */
	int keep_going; /* after a file that cannot be written, too */
};

struct extract_result {
	uint64_t files, bytes; /* written, whole */
	uint64_t lost;         /* files chosen but not written */
	int interrupted;
};

/*
 * Extracts what a plan chooses: a pattern chooses the files and folders that it matches, folders
 * with all that is in them. A file gets its name when it is complete and verified; nothing is
 * written outside the folder, and no symbolic link there is followed. Damaged files are left out. A
 * signal ends it between two files. jobs: threads.
 */
void extract_image(struct image *image, const struct extract_plan *plan, unsigned jobs,
		   struct findings *findings, struct extract_result *result);

#endif
