/* SPDX-License-Identifier: MIT */
/*
 * mount_helper.h - entrofs under the name mount.entrofs: what mount(8) runs for "-t entrofs".
 *
 * Its command line is that of every external helper, in which -f, -s and the order of the words
 * mean other things than to entrofs, and its exit codes are those of mount(8).
 */
#ifndef ENTROFS_MOUNT_HELPER_H
#define ENTROFS_MOUNT_HELPER_H

#include "fs/options.h"

#include <stdbool.h>

enum {
	MOUNT_HELPER_USAGE = 1, /* exit codes, see mount(8) */
	MOUNT_HELPER_FAILED = 32,
};

/* True if this process was started by that name. */
bool mount_helper_is_called(void);

/* As options_parse(). */
int mount_helper_parse(struct options *options, int argc, char **argv);

void mount_helper_print_help(void);

/*
 * Moves the process, which must have one thread, to the mount namespace that a file stands for;
 * relative paths go on to mean what they did, if they exist there. 0 or a negative errno.
 */
int mount_helper_enter(const char *mount_namespace);

#endif
