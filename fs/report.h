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

/*
 * Logs the report whenever the process gets SIGUSR1, which must be blocked in all threads: call
 * report_block_signal() before any is started. One reporter at a time; both arguments stay the
 * caller's until report_stop(). 0 or a negative errno.
 */
struct report;
void report_block_signal(void);
int report_start(struct report **report, struct reader *reader,
		 const _Atomic uint64_t *kernel_readahead);
void report_stop(struct report *report); /* NULL does nothing */

#endif
