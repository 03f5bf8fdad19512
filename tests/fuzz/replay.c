/* SPDX-License-Identifier: MIT */
/* replay.c - a main() for a fuzz target without a fuzzer: runs it once on each file given, or on
 * each file of the directories given. The target aborts on failure. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int fail(const char *path, int error)
{
	fprintf(stderr, "replay: cannot read '%s': %s\n", path, strerror(error));
	return -1;
}

static int run_file(const char *path, size_t size)
{
	FILE *file = fopen(path, "rb");
	uint8_t *data;

	if (!file)
		return fail(path, errno);
	data = malloc(size ? size : 1);
	if (!data || fread(data, 1, size, file) != size) {
		int error = data ? EIO : ENOMEM;
		free(data);
		fclose(file);
		return fail(path, error);
	}
	fclose(file);
	/* The path tells which input it was, should the target abort. */
	fprintf(stderr, "%s\n", path);
	LLVMFuzzerTestOneInput(data, size);
	free(data);
	return 0;
}

static int run(const char *path, unsigned *count);

static int run_directory(const char *path, unsigned *count)
{
	DIR *directory = opendir(path);
	struct dirent *entry;
	int result = 0;

	if (!directory)
		return fail(path, errno);
	while ((entry = readdir(directory))) {
		char child[PATH_MAX];
		if (entry->d_name[0] == '.')
			continue;
		if (snprintf(child, sizeof(child), "%s/%s", path, entry->d_name) >=
			(int)sizeof(child) ||
		    run(child, count))
			result = -1;
	}
	closedir(directory);
	return result;
}

static int run(const char *path, unsigned *count)
{
	struct stat status;

	if (stat(path, &status))
		return fail(path, errno);
	if (S_ISDIR(status.st_mode))
		return run_directory(path, count);
	*count += 1;
	return run_file(path, (size_t)status.st_size);
}

int main(int argc, char **argv)
{
	unsigned count = 0;
	int result = 0;

	for (int i = 1; i < argc; i++)
		if (run(argv[i], &count))
			result = 1;
	if (count == 0) {
		fprintf(stderr, "replay: no input\n");
		result = 1;
	}
	printf("inputs: corpus: %u\n", count);
	return result;
}
