/* SPDX-License-Identifier: MIT */
/* diag.c - what went wrong, as one line for the user. */
#include "runtime-demo/diag.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

int diag_fail(struct diag *diag, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(diag->text, sizeof(diag->text), format, args);
	va_end(args);
	for (char *c = diag->text; *c != '\0'; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	return -1;
}

void *diag_allocate(size_t count, size_t size, struct diag *diag)
{
	void *memory = calloc(count ? count : 1, size ? size : 1); /* which checks the product */

	if (memory == NULL)
		diag_fail(diag, "cannot allocate %zu times %zu bytes", count, size);
	return memory;
}
