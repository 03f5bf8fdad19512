/* SPDX-License-Identifier: MIT */
/* names.c - makes names fit to be shown; see names.h. */
#include "mkfs/names.h"

#include <stdlib.h>
#include <string.h>

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */

/* Bytes of the valid UTF-8 sequence that text[0..size) starts with; 0: none. */
static size_t sequence(const uint8_t *text, size_t size)
{
	/* Per length: what the first byte is, and the least code point that needs that length. */
	static const struct {
		uint8_t mask, lead;
		uint32_t least;
	} forms[] = {
	    {0x80, 0x00, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};

	for (size_t length = 1; length <= 4 && length <= size; length++) {
		uint32_t code = text[0] & (uint8_t)~forms[length - 1].mask;

		if ((text[0] & forms[length - 1].mask) != forms[length - 1].lead)
			continue;
		for (size_t i = 1; i < length; i++) {
			if ((text[i] & 0xc0) != 0x80)
				return 0;
			code = code << 6 | (text[i] & 0x3f);
		}
		if (code < forms[length - 1].least || code > 0x10ffff ||
		    (code >= 0xd800 && code < 0xe000))
			return 0;
		return length;
	}
	return 0;
}

uint32_t names_take_character(const char **at, const char *end)
{
	const uint8_t *text = (const uint8_t *)*at;
	size_t length = sequence(text, (size_t)(end - *at));
	uint32_t code;

	if (length <= 1) {
		++*at;
		return length ? text[0] : NAMES_BYTE + text[0];
	}
	code = text[0] & (0xffu >> (length + 1));
	for (size_t i = 1; i < length; i++)
		code = code << 6 | (text[i] & 0x3f);
	*at += length;
	return code;
}

static int is_control(const uint8_t *text, size_t length)
{
	return (length == 1 && (text[0] < 0x20 || text[0] == 0x7f)) ||
	       (length == 2 && text[0] == 0xc2 && text[1] < 0xa0);
}

char *names_show(struct image_name name, enum names_for use)
{
	const uint8_t *text = (const uint8_t *)name.text;
	size_t capacity, length;
	char *shown, *to;

	if (__builtin_mul_overflow(name.size, sizeof(replacement) - 1, &capacity) ||
	    __builtin_add_overflow(capacity, 1, &capacity))
		return NULL;
	shown = to = malloc(capacity);
	if (!shown)
		return NULL;
	for (size_t at = 0; at < name.size; at += length) {
		const void *from = text + at;
		size_t size = length = sequence(text + at, name.size - at);

		if (!length || !text[at] ||
		    (use == NAMES_FOR_TERMINAL && is_control(text + at, length))) {
			from = replacement;
			size = sizeof(replacement) - 1;
			length = length ? length : 1;
		}
		memcpy(to, from, size);
		to += size;
	}
	*to = 0;
	return shown;
}

char *names_show_path(const struct image *image, uint32_t node, enum names_for use)
{
	size_t size = image_path(image, node, NULL, 0);
	char *path = malloc(size + 1), *shown = NULL;

	if (path) {
		image_path(image, node, path, size + 1);
		shown = names_show((struct image_name){path, size}, use);
	}
	free(path);
	return shown;
}
