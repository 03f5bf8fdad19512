/* SPDX-License-Identifier: MIT */
/* file.c - the files of a model folder, as they are on disk. */
#include "runtime-demo/file.h"

#include "runtime-demo/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* What is mapped, for a signal handler, which is given nothing but an address. */
struct file_mapping {
	void *bytes;
	size_t size;
	char *path;
	struct file_mapping *next;
};

static struct file_mapping *mappings;

/* --- names ------------------------------------------------------------------------------------ */

static bool names_folder(const struct folder *folder, const char *name)
{
	return folder != NULL && *name != '/';
}

/* FOLDER/NAME, allocated; NULL if there is no memory. */
static char *full_path(const struct folder *folder, const char *name)
{
	char *path;

	if (!names_folder(folder, name))
		return strdup(name);
	return asprintf(&path, "%s/%s", folder->path, name) < 0 ? NULL : path;
}

/* The reason must be fit for a format. */
static int fail(const char *verb, const struct folder *folder, const char *name, const char *reason,
		struct diag *diag)
{
	const bool inside = names_folder(folder, name);

	return diag_fail(diag, "cannot %s '%s%s%.1024s': %s", verb, inside ? folder->path : "",
			 inside ? "/" : "", name, reason);
}

int file_blame(const struct folder *folder, const char *name, struct diag *diag)
{
	return diag_prefix(diag, "cannot use '%s/%s': ", folder->path, name);
}

int folder_open(const struct folder *parent, const char *name, struct folder *folder,
		struct diag *diag)
{
	*folder = (struct folder){.fd = -1, .path = full_path(parent, name)};
	if (folder->path == NULL)
		return diag_fail(diag, "cannot open '%s': out of memory", name);
	for (size_t n = strlen(folder->path); n > 1 && folder->path[n - 1] == '/'; n--)
		folder->path[n - 1] = '\0';
	folder->fd =
	    openat(parent ? parent->fd : AT_FDCWD, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return folder->fd < 0 ? fail("open", parent, name, strerror(errno), diag) : 0;
}

void folder_close(struct folder *folder)
{
	if (folder->fd >= 0)
		close(folder->fd);
	free(folder->path);
	*folder = (struct folder){.fd = -1};
}

/* --- contents --------------------------------------------------------------------------------- */

static int open_regular(const struct folder *folder, const char *name, int flags, size_t *size,
			struct diag *diag)
{
	struct stat status;
	int fd =
	    openat(folder ? folder->fd : AT_FDCWD, name, flags | O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode)) {
		*size = (size_t)status.st_size;
		return fd;
	}
	if (fd < 0)
		return fail("open", folder, name, strerror(errno), diag);
	close(fd);
	return fail("open", folder, name, "not a regular file", diag);
}

static int read_all(int fd, char *bytes, size_t size, const struct folder *folder, const char *name,
		    struct diag *diag)
{
	for (size_t done = 0; done < size;) {
		const ssize_t got = read(fd, bytes + done, size - done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return fail("read", folder, name,
				    got == 0 ? "it has shrunk" : strerror(errno), diag);
		done += (size_t)got;
	}
	return 0;
}

/* True if the file is mapped now. */
static bool try_to_map(int fd, size_t size, const struct folder *folder, const char *name,
		       struct file_data *data)
{
	struct file_mapping *mapping = malloc(sizeof(*mapping));

	if (mapping == NULL)
		return false;
	*mapping = (struct file_mapping){.size = size, .next = mappings};
	mapping->path = full_path(folder, name);
	mapping->bytes =
	    mapping->path ? mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
	if (mapping->bytes == MAP_FAILED) {
		free(mapping->path);
		free(mapping);
		return false;
	}
	mappings = mapping;
	*data = (struct file_data){.bytes = mapping->bytes, .size = size, .mapping = mapping};
	return true;
}

int file_map(const struct folder *folder, const char *name, size_t expected, struct file_data *data,
	     struct diag *diag)
{
	size_t size = 0;
	int fd = open_regular(folder, name, O_NOFOLLOW, &size, diag), result = 0;
	char reason[96];

	*data = (struct file_data){0};
	if (fd < 0)
		return -1;
	if (size != expected) {
		close(fd);
		snprintf(reason, sizeof(reason), "it has %zu bytes, its shape asks for %zu", size,
			 expected);
		return fail("use", folder, name, reason, diag);
	}
	if (!try_to_map(fd, size, folder, name, data)) {
		char *bytes = diag_allocate(size, 1, diag);

		data->bytes = (const uint8_t *)bytes;
		data->size = size;
		result = bytes ? read_all(fd, bytes, size, folder, name, diag) : -1;
	}
	close(fd);
	if (result != 0)
		file_unmap(data);
	return result;
}

void file_unmap(struct file_data *data)
{
	struct file_mapping **link = &mappings;

	if (data->mapping == NULL) {
		free((void *)(uintptr_t)data->bytes);
	} else {
		while (*link != data->mapping)
			link = &(*link)->next;
		*link = data->mapping->next;
		munmap(data->mapping->bytes, data->mapping->size);
		free(data->mapping->path);
		free(data->mapping);
	}
	*data = (struct file_data){0};
}

const char *file_mapped_at(const void *address)
{
	for (const struct file_mapping *m = mappings; m != NULL; m = m->next)
		if ((uintptr_t)address >= (uintptr_t)m->bytes &&
		    (uintptr_t)address - (uintptr_t)m->bytes < m->size)
			return m->path;
	return NULL;
}

char *file_read(const struct folder *folder, const char *name, size_t limit, size_t *size,
		struct diag *diag)
{
	int fd = open_regular(folder, name, 0, size, diag);
	char *bytes = NULL, reason[96];

	if (fd < 0)
		return NULL;
	if (*size > limit) {
		snprintf(reason, sizeof(reason), "its %zu bytes are more than the %zu allowed",
			 *size, limit);
		fail("read", folder, name, reason, diag);
	} else {
		bytes = diag_allocate(*size, 1, diag);
	}
	if (bytes != NULL && read_all(fd, bytes, *size, folder, name, diag) != 0) {
		free(bytes);
		bytes = NULL;
	}
	close(fd);
	return bytes;
}

json_t *file_read_json(const struct folder *folder, const char *name, size_t limit, size_t budget,
		       struct diag *diag)
{
	size_t size;
	char *text = file_read(folder, name, limit, &size, diag);
	json_t *json;

	if (text == NULL)
		return NULL;
	json = bounded_json_load(text, size, budget, diag);
	free(text);
	if (json != NULL && !json_is_object(json)) {
		json_decref(json);
		json = NULL;
		diag_fail(diag, "not a JSON object");
	}
	if (json == NULL)
		diag_prefix(diag, "cannot read '%s/%s': ", folder->path, name);
	return json;
}
