/* SPDX-License-Identifier: MIT */
/*
 * signals.h - the program's end by a signal, in order: the text on the standard output gets its
 * newline, so that whatever comes next begins a line.
 *
 * SIGINT, SIGTERM and SIGHUP, unless they are ignored, still end the process as signals do. A page
 * of a file that cannot be read, on a bad disk or of a damaged image, raises SIGBUS where it is
 * used: that becomes a line that names the file, and exit status 1. Nothing that depends on the
 * page has been written by then.
 */
#ifndef ENTROFS_RUN_SIGNALS_H
#define ENTROFS_RUN_SIGNALS_H

#include <stdbool.h>

/* Once, before there are threads. */
void signals_handle(void);

/* Told before anything is written to the standard output: whether that leaves a line open. */
void signals_line_is_open(bool open);

/* While a file is incomplete: its path, which a signal removes; NULL when it no longer is. */
void signals_unfinished_file(const char *path);

#endif
