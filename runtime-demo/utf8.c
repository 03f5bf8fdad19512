/* SPDX-License-Identifier: MIT */
/* utf8.c - characters in UTF-8 and their classes. */
#include "runtime-demo/utf8.h"

#include "runtime-demo/unicode_classes.h"

static int length_by_first(uint8_t byte)
{
	return byte < 0x80   ? 1
	       : byte < 0xc2 ? -1
	       : byte < 0xe0 ? 2
	       : byte < 0xf0 ? 3
	       : byte < 0xf5 ? 4
			     : -1;
}

/* Overlong forms, surrogates and what lies beyond Unicode show in the second byte. */
static int is_out_of_range(uint8_t first, uint8_t second)
{
	return (first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
	       (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f);
}

int utf8_read(const char *s, size_t n, uint32_t *code)
{
	const uint8_t *byte = (const uint8_t *)s;
	const int length = length_by_first(byte[0]);
	uint32_t value;

	if (length < 0)
		return -1;
	value = length == 1 ? byte[0] : byte[0] & (0x7fu >> length);
	for (int i = 1; i < length; i++) {
		if ((size_t)i >= n)
			return 0;
		if ((byte[i] & 0xc0) != 0x80 || (i == 1 && is_out_of_range(byte[0], byte[1])))
			return -1;
		value = value << 6 | (byte[i] & 0x3f);
	}
	*code = value;
	return length;
}

size_t utf8_write(uint32_t code, char *out)
{
	if (code < 0x80) {
		out[0] = (char)code;
		return 1;
	}
	if (code < 0x800) {
		out[0] = (char)(0xc0 | code >> 6);
		out[1] = (char)(0x80 | (code & 0x3f));
		return 2;
	}
	out[0] = (char)(0xe0 | code >> 12);
	out[1] = (char)(0x80 | (code >> 6 & 0x3f));
	out[2] = (char)(0x80 | (code & 0x3f));
	return 3;
}

enum char_class utf8_class(const char *s, size_t n, size_t *length)
{
	size_t low = 0, high = sizeof(unicode_classes) / sizeof(*unicode_classes);
	uint32_t code;
	const int got = utf8_read(s, n, &code);

	*length = got > 0 ? (size_t)got : 1;
	if (got <= 0)
		return OTHER;
	while (high - low > 1) {
		const size_t middle = (low + high) / 2;

		if (unicode_classes[middle] >> 2 <= code)
			low = middle;
		else
			high = middle;
	}
	return (enum char_class)(unicode_classes[low] & 3);
}
