/* SPDX-License-Identifier: MIT */
/* diag.c - what went wrong, as one line for the user. */
#include "runtime-demo/diag.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Not even those of 8 bits, U+0080 to U+009F, by which some terminals are driven as well. */
static void remove_controls(char *text)
{
	for (char *c = text; *c != '\0'; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
		else if ((unsigned char)*c == 0xc2 && (unsigned char)c[1] >= 0x80 &&
			 (unsigned char)c[1] < 0xa0)
			c[0] = c[1] = '?';
	}
}

int diag_fail(struct diag *diag, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(diag->text, sizeof(diag->text), format, args);
	va_end(args);
	remove_controls(diag->text);
	return -1;
}

int diag_prefix(struct diag *diag, const char *format, ...)
{
	const struct diag old = *diag;
	va_list args;
	size_t length;

	va_start(args, format);
	(void)vsnprintf(diag->text, sizeof(diag->text), format, args);
	va_end(args);
	length = strlen(diag->text);
	(void)snprintf(diag->text + length, sizeof(diag->text) - length, "%s", old.text);
	remove_controls(diag->text);
	return -1;
}

void *diag_allocate(size_t count, size_t size, struct diag *diag)
{
	void *memory = calloc(count ? count : 1, size ? size : 1); /* which checks the product */

	if (memory == NULL)
		diag_fail(diag, "cannot allocate %zu times %zu bytes", count, size);
	return memory;
}
