/* SPDX-License-Identifier: MIT */
/*
 * report.h - what the daemon has done and how it works, as one JSON object.
 *
 * entrofs(1) defines its members.
 */
#ifndef ENTROFS_REPORT_H
#define ENTROFS_REPORT_H

#include "fs/read.h"

/* Compact JSON on one line, NUL-terminated, for the caller to free; NULL: out of memory.
 * kernel_readahead: bytes; 0: unknown. Any thread may call. */
char *report_json(struct reader *reader, uint64_t kernel_readahead);

#endif
