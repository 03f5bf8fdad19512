/* SPDX-License-Identifier: MIT */
/*
 * cli.c - error lines, strict numbers and sizes; see cli.h.
 *
 * Each line is formatted whole and written by one call, so that lines of several threads or
 * processes do not mix.
 */
#include "mkfs/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

void cli_cannot(const char *verb, const char *file, const char *reason, ...)
{
	char text[1024];
	va_list args;

	va_start(args, reason);
	vsnprintf(text, sizeof(text), reason, args);
	va_end(args);
	if (file)
		fprintf(stderr, "%s: cannot %s '%s': %s\n", program_invocation_short_name, verb,
			file, text);
	else
		fprintf(stderr, "%s: cannot %s: %s\n", program_invocation_short_name, verb, text);
}

void cli_usage_error(const char *message, ...)
{
	char text[1024];
	va_list args;

	va_start(args, message);
	vsnprintf(text, sizeof(text), message, args);
	va_end(args);
	fprintf(stderr, "%s: %s\nTry '%s --help' for more information.\n",
		program_invocation_short_name, text, program_invocation_short_name);
}

int cli_uint(const char *text, uint64_t max, uint64_t *value)
{
	uint64_t sum = 0;

	if (!*text)
		return -1;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -1;
		if (__builtin_mul_overflow(sum, 10, &sum) ||
		    __builtin_add_overflow(sum, (uint64_t)(*text - '0'), &sum) || sum > max)
			return -1;
	}
	*value = sum;
	return 0;
}

char *cli_size(uint64_t bytes, char text[CLI_SIZE_TEXT])
{
	static const char units[][4] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double size = (double)bytes;
	unsigned unit = 0;

	while (size >= 1023.95 && unit < 6) {
		size /= 1024;
		unit++;
	}
	if (unit)
		snprintf(text, CLI_SIZE_TEXT, "%.1f %s", size, units[unit]);
	else
		snprintf(text, CLI_SIZE_TEXT, "%u B", (unsigned)bytes);
	return text;
}
