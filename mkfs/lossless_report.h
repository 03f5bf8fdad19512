/* SPDX-License-Identifier: MIT */
/* lossless_report.h - what became of files in a lossless image: its manifest, and reports. */
#ifndef ENTROFS_LOSSLESS_REPORT_H
#define ENTROFS_LOSSLESS_REPORT_H

#include "mkfs/json.h"
#include "mkfs/lossless.h"

/* lossless/manifest.json. Check text->failed. */
void lossless_add_manifest(const struct lossless *lossless, struct text *text);

/* For people, and as one JSON object; -1: out of memory, nothing is printed. target may be NULL if
 * estimated. */
void lossless_print(const struct lossless *lossless, const char *target, double seconds,
		    int verbose);
int lossless_json(const struct lossless *lossless, const char *target, double seconds);

#endif
