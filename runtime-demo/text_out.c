/* SPDX-License-Identifier: MIT */
/* text_out.c - text on its way to the standard output, piece by piece. */
#include "runtime-demo/text_out.h"

#include "runtime-demo/utf8.h"

#include <stdio.h>

static void write_replacement(void)
{
	fputs("\xef\xbf\xbd", stdout); /* U+FFFD */
}

static void write_byte(struct text_out *out, char byte)
{
	uint32_t code = 0;
	int length;

	out->pending[out->count++] = byte;
	length = utf8_read(out->pending, out->count, &code);
	if (length == 0)
		return;
	if (length < 0) { /* all but this byte are lost, and it may begin another character */
		const bool alone = out->count == 1;

		write_replacement();
		out->count = 0;
		if (!alone)
			write_byte(out, byte);
		return;
	}
	if ((code < ' ' && code != '\n' && code != '\t') || (code >= 0x7f && code < 0xa0))
		write_replacement();
	else
		fwrite(out->pending, 1, out->count, stdout);
	out->count = 0;
}

void text_out_write(struct text_out *out, const char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const bool skip = out->skip_space && bytes[i] == ' ';

		out->skip_space = false;
		if (!skip)
			write_byte(out, bytes[i]);
	}
	fflush(stdout);
}

void text_out_end(struct text_out *out)
{
	if (out->count > 0)
		write_replacement();
	out->count = 0;
	putchar('\n');
	fflush(stdout);
}
