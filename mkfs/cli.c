/* SPDX-License-Identifier: MIT */
/*
 * cli.c - error lines, strict numbers and sizes; see cli.h.
 *
 * Each line is formatted whole and written by one call, so that lines of several threads or
 * processes do not mix.
 */
#include "mkfs/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Names come from models and images, and a terminal obeys control characters: C0, C1 and DEL. */
static void make_printable(char *text)
{
	for (unsigned char *c = (unsigned char *)text; *c; c++) {
		if (*c < 0x20 || *c == 0x7f)
			*c = '?';
		else if (c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0)
			c[0] = c[1] = '?';
	}
}

__attribute__((format(printf, 1, 0))) static void say(const char *format, va_list args)
{
	char *line;

	if (vasprintf(&line, format, args) < 0)
		return;
	make_printable(line);
	/* On a terminal the line may hold a progress bar. */
	fprintf(stderr, "%s%s: %s\n", isatty(STDERR_FILENO) ? "\r\033[K" : "",
		program_invocation_short_name, line);
	free(line);
}

void cli_guard_standard(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		/* The lowest free number is this one; it can not be used the way it should be. */
		if (fcntl(fd, F_GETFD) < 0 &&
		    open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
			_exit(EXIT_FAILURE);
	}
}

void cli_say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(format, args);
	va_end(args);
}

void cli_cannot(const char *verb, const char *file, const char *reason, ...)
{
	char text[1024];
	va_list args;

	va_start(args, reason);
	vsnprintf(text, sizeof(text), reason, args);
	va_end(args);
	if (file)
		cli_say("cannot %s '%s': %s", verb, file, text);
	else
		cli_say("cannot %s: %s", verb, text);
}

void cli_usage_error(const char *message, ...)
{
	va_list args;

	va_start(args, message);
	say(message, args);
	va_end(args);
	fprintf(stderr, "Try '%s --help' for more information.\n", program_invocation_short_name);
}

/* Reads digits, at least one; what follows them, or NULL. */
static const char *read_digits(const char *text, uint64_t max, uint64_t *value)
{
	const char *at = text;
	uint64_t sum = 0;

	for (; *at >= '0' && *at <= '9'; at++) {
		if (__builtin_mul_overflow(sum, 10, &sum) ||
		    __builtin_add_overflow(sum, (uint64_t)(*at - '0'), &sum) || sum > max)
			return NULL;
	}
	*value = sum;
	return at == text ? NULL : at;
}

int cli_uint(const char *text, uint64_t max, uint64_t *value)
{
	uint64_t number;
	const char *rest = read_digits(text, max, &number);

	if (!rest || *rest)
		return -1;
	*value = number;
	return 0;
}

int cli_bytes(const char *text, uint64_t max, uint64_t *value)
{
	static const char suffixes[] = "kMGT";
	uint64_t number;
	const char *rest = read_digits(text, max, &number);

	if (!rest)
		return -1;
	if (*rest) {
		const char *suffix = strchr(suffixes, *rest);
		if (!suffix || rest[1])
			return -1;
		unsigned shift = 10 * (unsigned)(suffix - suffixes + 1);
		if (number > max >> shift)
			return -1;
		number <<= shift;
	}
	*value = number;
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
