/* SPDX-License-Identifier: MIT */
/* lossless_report.h - what the files of a lossless image are, for its manifest. */
#ifndef ENTROFS_LOSSLESS_REPORT_H
#define ENTROFS_LOSSLESS_REPORT_H

#include "mkfs/json.h"
#include "mkfs/lossless.h"

/* lossless/manifest.json. Check text->failed. */
void lossless_add_manifest(const struct lossless *lossless, struct text *text);

#endif
