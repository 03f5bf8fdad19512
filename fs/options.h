/* SPDX-License-Identifier: MIT */
/* options.h - the command line of entrofs. */
#ifndef ENTROFS_OPTIONS_H
#define ENTROFS_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum options_command { OPTIONS_MOUNT, OPTIONS_HELP, OPTIONS_VERSION };

struct options {
	enum options_command command;
	const char *image; /* as given; these two are NULL unless the command is OPTIONS_MOUNT */
	const char *mountpoint;
	bool foreground;
	bool debug; /* log every request */
	bool single_thread;
	bool allow_other;
	bool noatime, nodiratime, noexec;
	uint64_t offset; /* bytes, of the image in the file */
	uid_t uid;
	gid_t gid;
	mode_t umask;
};

/* Fills *options from the command line and the identity of the process. -1 after a message about
 * wrong usage. */
int options_parse(struct options *options, int argc, char **argv);

void options_print_help(void);

#endif
