/* SPDX-License-Identifier: MIT */
/*
 * newfile.h - a file that gets its name in a folder only when it is complete.
 *
 * Until then it has no name at all, where the file system allows that (O_TMPFILE), else a temporary
 * one beside it, ".NAME.XXXXXXXXXXXXXXXX.entrofs" with a random number, which newfile_close()
 * removes. Whoever makes such a file holds a lock on it (flock(2)) to their end, so that what a
 * killed process left can be told from what somebody is still writing. Nothing is printed: errors
 * are errno.
 */
#ifndef ENTROFS_NEWFILE_H
#define ENTROFS_NEWFILE_H

struct newfile {
	int fd;           /* open for reading and writing */
	int folder;       /* fd, the caller's */
	const char *name; /* in the folder: one component, the caller's */
	char *temporary;  /* a name in the folder; NULL: the file has none */
};

/* Removes temporary files for this name (NULL: any) in the folder that nobody is writing any more.
 * What cannot be looked at, locked or removed stays. */
void newfile_sweep(int folder, const char *name);

/* -1 and errno if it cannot be made. */
int newfile_open(struct newfile *file, int folder, const char *name);

/* Gives the file its name. force: in place of what has it; else -1 and EEXIST. A symbolic link of
 * that name is replaced or in the way: it is never followed. */
int newfile_publish(struct newfile *file, int force);

/* Closes the file; without a trace unless published. -1 and errno if what was written is lost. */
int newfile_close(struct newfile *file);

#endif
