/* SPDX-License-Identifier: MIT */
/* newfile.c - a file that is named when it is complete; see newfile.h. */
#include "mkfs/newfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/* A name beside the target that nothing has; fails only without memory. */
static char *temporary_name(const struct newfile *file)
{
	unsigned long number = 0;
	char *name;

	if (getrandom(&number, sizeof number, 0) < 0)
		number = (unsigned long)getpid();
	if (asprintf(&name, ".%.200s.%016lx", file->name, number) >= 0)
		return name;
	errno = ENOMEM;
	return NULL;
}

int newfile_open(struct newfile *file, int folder, const char *name)
{
	*file = (struct newfile){.fd = -1, .folder = folder, .name = name};
	/* Naming such a file later goes through /proc. */
	if (access("/proc/self/fd", F_OK) == 0)
		file->fd = openat(folder, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);
	if (file->fd >= 0)
		return 0;
	file->temporary = temporary_name(file);
	if (!file->temporary)
		return -1;
	file->fd = openat(folder, file->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (file->fd >= 0)
		return 0;
	int error = errno;
	free(file->temporary);
	file->temporary = NULL;
	errno = error;
	return -1;
}

static int link_unnamed(const struct newfile *file, const char *name)
{
	char self[64];

	snprintf(self, sizeof self, "/proc/self/fd/%d", file->fd);
	return linkat(AT_FDCWD, self, file->folder, name, AT_SYMLINK_FOLLOW);
}

int newfile_publish(struct newfile *file, int force)
{
	if (!file->temporary) {
		/* Where nothing is in the way this is all, with force, too. */
		if (!link_unnamed(file, file->name))
			return 0;
		if (!force || errno != EEXIST)
			return -1;
		char *temporary = temporary_name(file);
		if (!temporary || link_unnamed(file, temporary)) {
			free(temporary);
			return -1;
		}
		file->temporary = temporary;
	}
	if (force) {
		if (renameat(file->folder, file->temporary, file->folder, file->name))
			return -1;
	} else if (renameat2(file->folder, file->temporary, file->folder, file->name,
			     RENAME_NOREPLACE)) {
		/* Old file systems do not know the flag; a link does not replace either. */
		if (errno != EINVAL ||
		    linkat(file->folder, file->temporary, file->folder, file->name, 0))
			return -1;
		unlinkat(file->folder, file->temporary, 0);
	}
	free(file->temporary);
	file->temporary = NULL;
	return 0;
}

int newfile_close(struct newfile *file)
{
	int result = 0, error;

	if (file->temporary)
		unlinkat(file->folder, file->temporary, 0);
	if (file->fd >= 0)
		result = close(file->fd);
	error = errno;
	free(file->temporary);
	*file = (struct newfile){.fd = -1, .folder = -1};
	errno = error;
	return result;
}
