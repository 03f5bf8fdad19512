/* SPDX-License-Identifier: MIT */
/* mounted.c - a look at /proc/self/mounts; see mounted.h. */
#include "fs/mounted.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_octal(char c)
{
	return c >= '0' && c <= '7';
}

/* In place: the kernel writes space, tab, newline, backslash and # as a backslash and three octal
 * digits. */
static void unescape(char *text)
{
	char *out = text;
	while (*text) {
		if (text[0] == '\\' && is_octal(text[1]) && is_octal(text[2]) &&
		    is_octal(text[3])) {
			*out++ =
			    (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 | (text[3] - '0'));
			text += 4;
		} else {
			*out++ = *text++;
		}
	}
	*out = '\0';
}

/* One line: SOURCE FOLDER TYPE OPTIONS 0 0. The last line of a folder is its topmost mount. */
static void look_at(char *line, const char *image, const char *mountpoint, bool *found)
{
	char *rest;
	char *source = strtok_r(line, " ", &rest);
	char *folder = strtok_r(NULL, " ", &rest);
	char *type = strtok_r(NULL, " ", &rest);
	if (!type)
		return;
	unescape(folder);
	if (strcmp(folder, mountpoint) != 0)
		return;
	unescape(source);
	*found = strcmp(type, "fuse.entrofs") == 0 && strcmp(source, image) == 0;
}

bool mounted_is(const char *image, const char *mountpoint)
{
	FILE *mounts = fopen("/proc/self/mounts", "re");
	if (!mounts)
		return false;
	bool found = false;
	char *line = NULL;
	size_t capacity = 0;
	while (getline(&line, &capacity, mounts) > 0)
		look_at(line, image, mountpoint, &found);
	free(line);
	fclose(mounts);
	return found;
}
