/* SPDX-License-Identifier: MIT */
/* diag.c - formats why an operation failed; see diag.h. */
#include "image/diag.h"

#include <stdarg.h>
#include <stdio.h>

int(image_fail)(struct image_diag *diag, int error, const char *format, ...)
{
	va_list args;

	if (!diag)
		return error;
	va_start(args, format);
	vsnprintf(diag->text, sizeof(diag->text), format, args);
	va_end(args);
	return error;
}
