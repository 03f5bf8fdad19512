/* SPDX-License-Identifier: MIT */
/*
 * cli.h - the manner that the command-line programs share: error lines, strict numbers, sizes.
 *
 * The program's name is the C library's program_invocation_short_name. Errors go to stderr.
 */
#ifndef ENTROFS_CLI_H
#define ENTROFS_CLI_H

#include <stdint.h>

/*
 * Gives each standard descriptor that is closed one that fails, so that no file opened later takes
 * its place and gets what is printed. First of all in main().
 */
void cli_guard_standard(void);

/* Prints "prog: message" in one line, whatever bytes names hold. */
__attribute__((format(printf, 1, 2))) void cli_say(const char *format, ...);

/* Prints "prog: cannot VERB 'file': reason" (file NULL: "prog: cannot VERB: reason"). */
__attribute__((format(printf, 3, 4))) void cli_cannot(const char *verb, const char *file,
						      const char *reason, ...);

/* Prints "prog: message" and where to find help. */
__attribute__((format(printf, 1, 2))) void cli_usage_error(const char *message, ...);

/* Reads a decimal number of digits only, at most max; else -1 and *value is left alone. */
int cli_uint(const char *text, uint64_t max, uint64_t *value);

/* The same for bytes, where one of k, M, G or T may follow: powers of 1024, as entrofs reads them.
 */
int cli_bytes(const char *text, uint64_t max, uint64_t *value);

enum { CLI_SIZE_TEXT = 16 };

/* Writes a size for a person, such as "12.3 MiB" or "512 B"; returns text. */
char *cli_size(uint64_t bytes, char text[CLI_SIZE_TEXT]);

#endif
