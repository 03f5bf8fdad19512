/* SPDX-License-Identifier: MIT */
/* text_out.c - text on its way to the standard output, piece by piece. */
#include "runtime-demo/text_out.h"

#include "runtime-demo/signals.h"
#include "runtime-demo/utf8.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void write_replacement(struct text_out *out)
{
	fputs("\xef\xbf\xbd", stdout); /* U+FFFD */
	out->line_begins = false;
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

		write_replacement(out);
		out->count = 0;
		if (!alone)
			write_byte(out, byte);
		return;
	}
	if ((code < ' ' && code != '\n' && code != '\t') || (code >= 0x7f && code < 0xa0))
		write_replacement(out);
	else
		fwrite(out->pending, 1, out->count, stdout);
	out->line_begins = code == '\n';
	out->count = 0;
}

int text_out_failed(struct diag *diag)
{
	if (errno != EPIPE)
		return diag_fail(diag, "cannot write the text: %s", strerror(errno));
	diag->text[0] = '\0';
	return -1;
}

/* What has been written so far leaves the program now. */
static int flush(const struct text_out *out, struct diag *diag)
{
	signals_line_is_open(!out->line_begins);
	return fflush(stdout) != 0 || ferror(stdout) ? text_out_failed(diag) : 0;
}

int text_out_raw(struct text_out *out, const char *bytes, size_t n, struct diag *diag)
{
	if (n > 0)
		out->line_begins = bytes[n - 1] == '\n';
	fwrite(bytes, 1, n, stdout);
	return flush(out, diag);
}

int text_out_write(struct text_out *out, const char *bytes, size_t n, struct diag *diag)
{
	for (size_t i = 0; i < n; i++) {
		const bool skip = out->skip_space && bytes[i] == ' ';

		out->skip_space = false;
		if (!skip)
			write_byte(out, bytes[i]);
	}
	return flush(out, diag);
}

int text_out_end(struct text_out *out, struct diag *diag)
{
	if (out->count > 0)
		write_replacement(out);
	out->count = 0;
	putchar('\n');
	out->line_begins = true;
	return flush(out, diag);
}
