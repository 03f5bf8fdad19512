/* SPDX-License-Identifier: MIT */
/* file.c - the files of a model folder, as they are on disk. */
#include "runtime-demo/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int open_regular(int folder, const char *name, int flags, size_t *size, struct diag *diag)
{
	struct stat status;
	int fd = openat(folder, name, flags | O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode)) {
		*size = (size_t)status.st_size;
		return fd;
	}
	if (fd < 0)
		return diag_fail(diag, "cannot open '%s': %s", name, strerror(errno));
	close(fd);
	return diag_fail(diag, "cannot open '%s': not a regular file", name);
}

static int read_all(int fd, const char *name, char *bytes, size_t size, struct diag *diag)
{
	for (size_t done = 0; done < size;) {
		const ssize_t got = read(fd, bytes + done, size - done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return diag_fail(diag, "cannot read '%s': %s", name,
					 got == 0 ? "it has shrunk" : strerror(errno));
		done += (size_t)got;
	}
	return 0;
}

int file_map(int folder, const char *name, size_t expected, struct file_data *data,
	     struct diag *diag)
{
	size_t size = 0;
	int fd = open_regular(folder, name, O_NOFOLLOW, &size, diag), result = 0;
	void *bytes;

	*data = (struct file_data){0};
	if (fd < 0)
		return -1;
	if (size != expected) {
		close(fd);
		return diag_fail(diag, "cannot use '%s': it has %zu bytes, its shape asks for %zu",
				 name, size, expected);
	}
	bytes = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	data->mapped = bytes != MAP_FAILED;
	if (!data->mapped) {
		bytes = diag_allocate(size, 1, diag);
		result = bytes ? read_all(fd, name, bytes, size, diag) : -1;
	}
	close(fd);
	data->bytes = bytes;
	data->size = size;
	if (result != 0)
		file_unmap(data);
	return result;
}

void file_unmap(struct file_data *data)
{
	void *bytes = (void *)(uintptr_t)data->bytes;

	if (data->mapped)
		munmap(bytes, data->size);
	else
		free(bytes);
	*data = (struct file_data){0};
}

char *file_read(int folder, const char *name, size_t limit, size_t *size, struct diag *diag)
{
	int fd = open_regular(folder, name, 0, size, diag);
	char *bytes = NULL;

	if (fd < 0)
		return NULL;
	if (*size > limit)
		diag_fail(diag, "cannot read '%s': its %zu bytes are more than the %zu allowed",
			  name, *size, limit);
	else
		bytes = diag_allocate(*size, 1, diag);
	if (bytes != NULL && read_all(fd, name, bytes, *size, diag) != 0) {
		free(bytes);
		bytes = NULL;
	}
	close(fd);
	return bytes;
}

json_t *file_read_json(int folder, const char *name, size_t limit, struct diag *diag)
{
	size_t size;
	json_error_t error;
	char *text = file_read(folder, name, limit, &size, diag);
	json_t *json;

	if (text == NULL)
		return NULL;
	json = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
	free(text);
	if (json == NULL) {
		diag_fail(diag, "cannot read '%s': line %d: %s", name, error.line, error.text);
	} else if (!json_is_object(json)) {
		diag_fail(diag, "cannot read '%s': not a JSON object", name);
		json_decref(json);
		json = NULL;
	}
	return json;
}
