/* SPDX-License-Identifier: MIT */
/* words.c - where byte-level tokenizers cut a text into words. */
#include "runtime-demo/words.h"

#include "runtime-demo/utf8.h"

#include <string.h>

size_t word_length(const char *s, size_t n)
{
	static const char *const endings[] = {"s", "t", "re", "ve", "m", "ll", "d"};
	size_t at = 0, length, last = 0;
	enum char_class class;

	for (size_t i = 0; *s == '\'' && i < sizeof(endings) / sizeof(*endings); i++)
		if (n > strlen(endings[i]) && memcmp(s + 1, endings[i], strlen(endings[i])) == 0)
			return 1 + strlen(endings[i]);
	if (*s == ' ' && n > 1 && utf8_class(s + 1, n - 1, &length) != SPACE)
		at = 1;
	class = utf8_class(s + at, n - at, &length);
	while (at < n && utf8_class(s + at, n - at, &length) == class) {
		last = at;
		at += length;
	}
	/* Of spaces before a word the last one is left to it. */
	return class == SPACE && at < n && last > 0 ? last : at;
}
