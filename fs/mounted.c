/* SPDX-License-Identifier: MIT */
/* mounted.c - looks at /proc/self and /sys; see mounted.h. */
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

/* The device number of the topmost mount on a folder, as text. From the kernel's list, as stat()
 * would ask the daemon, who may be ourselves. */
static bool find_device(const char *mountpoint, char *device, size_t size)
{
	FILE *mounts = fopen("/proc/self/mountinfo", "re");
	if (!mounts)
		return false;
	bool found = false;
	char *line = NULL;
	size_t capacity = 0;
	while (getline(&line, &capacity, mounts) > 0) {
		/* ID PARENT MAJOR:MINOR ROOT FOLDER ... */
		char *rest, *words[5];
		words[0] = strtok_r(line, " ", &rest);
		for (int i = 1; i < 5; i++)
			words[i] = words[i - 1] ? strtok_r(NULL, " ", &rest) : NULL;
		if (!words[4])
			continue;
		unescape(words[4]);
		if (strcmp(words[4], mountpoint) == 0)
			found = snprintf(device, size, "%s", words[2]) < (int)size;
	}
	free(line);
	fclose(mounts);
	return found;
}

static uint64_t read_number(const char *path)
{
	unsigned long long number = 0;
	FILE *file = fopen(path, "re");
	if (!file)
		return 0;
	if (fscanf(file, "%llu", &number) != 1)
		number = 0;
	fclose(file);
	return number;
}

static void write_number(const char *path, uint64_t number)
{
	FILE *file = fopen(path, "we");
	if (!file)
		return;
	fprintf(file, "%llu", (unsigned long long)number);
	fclose(file);
}

uint64_t mounted_read_ahead(const char *mountpoint, uint64_t bytes)
{
	char device[32], path[96];
	if (!find_device(mountpoint, device, sizeof(device)))
		return 0;
	snprintf(path, sizeof(path), "/sys/class/bdi/%s/read_ahead_kb", device);
	if (read_number(path) < bytes / 1024)
		write_number(path, bytes / 1024);
	return read_number(path) * 1024;
}
