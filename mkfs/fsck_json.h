/* SPDX-License-Identifier: MIT */
/* fsck_json.h - what fsck.entrofs found, as one JSON object; fsck.entrofs(8) has its schema. */
#ifndef ENTROFS_FSCK_JSON_H
#define ENTROFS_FSCK_JSON_H

#include "mkfs/extract.h"
#include "mkfs/findings.h"

struct fsck_report {
	const char *path;
	uint64_t offset;
	const struct image *image; /* NULL: it could not be opened */
	int deep;
	uint64_t decoded; /* bytes, by a deep check */
	const struct extract_plan *plan;
	const struct extract_result *extracted; /* NULL: nothing was to be extracted */
	const struct findings *findings;
	int exit_code;
};

/* Prints to standard output; -1 if memory or writing failed. */
int fsck_json(const struct fsck_report *report);

#endif
