/* SPDX-License-Identifier: MIT */
/*
 * options.h - the command line of entrofs, and what it shares with that of mount.entrofs.
 *
 * All parsers overwrite their arguments.
 */
#ifndef ENTROFS_OPTIONS_H
#define ENTROFS_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	OPTIONS_CACHE_SIZE = 8 << 20, /* defaults */
	OPTIONS_READAHEAD = 4 << 20,
	OPTIONS_PRELOAD_RATE = 100 << 20,
	OPTIONS_CACHE_MAX = 1 << 30, /* most that may be asked for */
	OPTIONS_WORKERS_MAX = 64,
};

enum options_command { OPTIONS_MOUNT, OPTIONS_HELP, OPTIONS_VERSION };

struct options {
	enum options_command command;
	const char *image; /* as given; these two are NULL unless the command is OPTIONS_MOUNT */
	const char *mountpoint;
	bool foreground;
	bool debug; /* log every request */
	bool single_thread;
	bool allow_other;
	bool noatime, noexec;
	uint64_t offset;      /* bytes, of the image in the file */
	uint64_t cache_size;  /* bytes of decoded blocks that the daemon keeps */
	uint64_t readahead;   /* bytes to be ahead of a reader */
	unsigned workers;     /* threads that decode one request */
	bool keep_compressed; /* cache=compressed */
	bool show_stats;
	bool preload;
	uint64_t preload_rate; /* bytes a second */
	uid_t uid;
	gid_t gid;
	mode_t umask;
	/* Of mount.entrofs alone: */
	bool fake;                   /* do everything but mount */
	bool verbose;                /* say what was mounted */
	const char *mount_namespace; /* file of the one to mount in; NULL: our own */
};

/* What holds when nothing is said, with the identity of the process. */
struct options options_defaults(void);

/* Fills *options from the command line and the identity of the process. -1 after a message about
 * wrong usage. */
int options_parse(struct options *options, int argc, char **argv);

/* Takes in a list of mount options separated by commas. -1 after a message about one that is wrong;
 * sloppy: unknown ones are ignored. */
int options_add_words(struct options *options, char *words, bool sloppy);

/* Takes in image and mount point. -1 after a message if there are not just these two. */
int options_set_operands(struct options *options, int argc, char **argv);

/* Says where there is help; always -1. */
int options_usage_error(void);

void options_print_help(void);

#endif
