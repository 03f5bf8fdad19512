/* SPDX-License-Identifier: MIT */
/*
 * newfile.c - a file that is named when it is complete; see newfile.h.
 *
 * Between the making of a temporary file and its lock a sweep may take it for left behind. So
 * whoever makes one looks, once it is locked, whether it still has its name, and a sweep removes
 * only a name whose file it has locked. A name is random and never used twice: the worst that a
 * file system with unreliable locks can do is to lose a file that was not published yet.
 */
#include "mkfs/newfile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	NAME_KEPT = 200, /* bytes of the name in that of its temporary file */
	NUMBER_DIGITS = 16,
	TRIES = 8,
};

static const char ending[] = ".entrofs";

/* A name beside the target that nothing has; fails only without memory. */
static char *temporary_name(const struct newfile *file)
{
	unsigned long long number = 0;
	char *name;

	if (getrandom(&number, sizeof number, 0) < 0)
		number = (unsigned long long)getpid();
	if (asprintf(&name, ".%.*s.%0*llx%s", NAME_KEPT, file->name, NUMBER_DIGITS, number,
		     ending) >= 0)
		return name;
	errno = ENOMEM;
	return NULL;
}

/* Whether this is how temporary_name() names one for a name, or for any (NULL). */
static int is_temporary(const char *entry, const char *name)
{
	enum { TAIL = 1 + NUMBER_DIGITS + sizeof ending - 1 };
	size_t size = strlen(entry), kept = size - 1 - TAIL;
	const char *tail;

	if (size <= 1 + TAIL || entry[0] != '.')
		return 0;
	tail = entry + 1 + kept;
	if (*tail != '.' || strspn(tail + 1, "0123456789abcdef") != NUMBER_DIGITS ||
	    strcmp(tail + 1 + NUMBER_DIGITS, ending) != 0)
		return 0;
	return !name || (kept == strnlen(name, NAME_KEPT) && memcmp(entry + 1, name, kept) == 0);
}

/* Whether a name in a folder is still that of an open file. */
static int has_name(int fd, int folder, const char *name)
{
	struct stat open, there;

	return fstat(fd, &open) == 0 && fstatat(folder, name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
	       open.st_dev == there.st_dev && open.st_ino == there.st_ino;
}

static void sweep_file(int folder, const char *entry)
{
	/* For writing, because some file systems lock exclusively only what is open for it. */
	int fd = openat(folder, entry, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && flock(fd, LOCK_EX | LOCK_NB) == 0 &&
	    has_name(fd, folder, entry))
		unlinkat(folder, entry, 0);
	close(fd);
}

void newfile_sweep(int folder, const char *name)
{
	int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((entry = readdir(dir)))
		if (is_temporary(entry->d_name, name))
			sweep_file(folder, entry->d_name);
	closedir(dir);
}

/* Locks a file that has just got its temporary name. -1: a sweep took it for left behind. */
static int lock_named(const struct newfile *file, const char *temporary)
{
	if (flock(file->fd, LOCK_EX | LOCK_NB)) {
		/* Where there are no locks, nobody sweeps. */
		if (errno != EWOULDBLOCK)
			return 0;
		unlinkat(file->folder, temporary, 0);
		return -1;
	}
	return has_name(file->fd, file->folder, temporary) ? 0 : -1;
}

/* Makes a file with a temporary name. -1 and EEXIST: another name may do. */
static int open_named(struct newfile *file)
{
	file->temporary = temporary_name(file);
	if (!file->temporary)
		return -1;
	file->fd =
	    openat(file->folder, file->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (file->fd >= 0) {
		if (lock_named(file, file->temporary) == 0)
			return 0;
		close(file->fd);
		file->fd = -1;
		errno = EEXIST;
	}
	int error = errno;
	free(file->temporary);
	file->temporary = NULL;
	errno = error;
	return -1;
}

struct proc_path {
	char text[64];
};

/* The name that a file without one has in /proc, through which it gets another. */
static struct proc_path proc_path(int fd)
{
	struct proc_path path;

	snprintf(path.text, sizeof path.text, "/proc/self/fd/%d", fd);
	return path;
}

/* Makes a file without a name, where it can get one later. -1: not here. */
static int open_unnamed(struct newfile *file)
{
	file->fd = openat(file->folder, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);
	if (file->fd < 0)
		return -1;
	if (access(proc_path(file->fd).text, F_OK) == 0)
		return 0;
	close(file->fd);
	file->fd = -1;
	return -1;
}

int newfile_open(struct newfile *file, int folder, const char *name)
{
	*file = (struct newfile){.fd = -1, .folder = folder, .name = name};
	if (open_unnamed(file) == 0)
		return 0;
	for (int i = 0; i < TRIES; i++)
		if (open_named(file) == 0 || errno != EEXIST)
			break;
	return file->fd < 0 ? -1 : 0;
}

static int link_unnamed(const struct newfile *file, const char *name)
{
	return linkat(AT_FDCWD, proc_path(file->fd).text, file->folder, name, AT_SYMLINK_FOLLOW);
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
		flock(file->fd, LOCK_EX | LOCK_NB);
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
