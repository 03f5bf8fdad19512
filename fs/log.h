/* SPDX-License-Identifier: MIT */
/*
 * log.h - messages of the daemon: to stderr while somebody watches it, to syslog in the background.
 *
 * Every message is one line: control characters, which may come from names in an image, are
 * replaced. Any thread may log; the two log_..._syslog/libfuse calls are for the main thread before
 * there are others.
 */
#ifndef ENTROFS_LOG_H
#define ENTROFS_LOG_H

#include <stddef.h>

/* Adds the program's name in front and a newline. */
__attribute__((format(printf, 1, 2))) void log_error(const char *format, ...);

/* What is worth knowing but no error. */
__attribute__((format(printf, 1, 2))) void log_note(const char *format, ...);

/* An error as log_error() tells it that a reader may provoke at will: an identical one is dropped
 * for the next minute. */
__attribute__((format(printf, 1, 2))) void log_limited(const char *format, ...);

/* From now on messages go to syslog, facility daemon. */
void log_to_syslog(void);

/*
 * Takes over libfuse's messages. Until log_libfuse_started() its errors are held back, so that one
 * line of ours can give the reason; log_libfuse_reason() is the last of them, or fallback.
 */
void log_libfuse(void);

/*
 * Around a mount: what fusermount3, another program, writes to stderr meanwhile is held back and
 * counts as such an error.
 */
void log_hold_stderr(void);
void log_release_stderr(void);

const char *log_libfuse_reason(const char *fallback);
void log_libfuse_started(void);

#endif
