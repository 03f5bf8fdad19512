/* SPDX-License-Identifier: MIT */
/*
 * options.c - the command line of entrofs; see options.h.
 *
 * We parse -o ourselves instead of handing words through to libfuse: its messages would name
 * neither us nor the word, and a mount option with a spelling mistake must not be ignored.
 */
#include "fs/options.h"

#include "fs/log.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Words that mount(8) and fstab pass along and that say nothing new about a file system that is
 * always ro,nosuid,nodev. */
static const char *const accepted_words[] = {
    "ro",      "nosuid", "nodev",  "suid",     "dev",      "exec",       "async",       "sync",
    "dirsync", "atime",  "user",   "nouser",   "users",    "auto",       "noauto",      "diratime",
    "group",   "owner",  "nofail", "defaults", "relatime", "norelatime", "strictatime", "_netdev"};

static bool is_accepted(const char *word)
{
	for (size_t i = 0; i < sizeof(accepted_words) / sizeof(*accepted_words); i++)
		if (strcmp(word, accepted_words[i]) == 0)
			return true;
	return strncmp(word, "x-", 2) == 0; /* comments to other programs, see fstab(5) */
}

/* Digits only, in the base, up to limit; *rest is what follows them. */
static int parse_number(const char *text, int base, uint64_t limit, uint64_t *value,
			const char **rest)
{
	if (!isdigit((unsigned char)*text))
		return -1;
	char *end;
	errno = 0;
	unsigned long long number = strtoull(text, &end, base);
	if (errno || end == text || number > limit)
		return -1;
	*value = number;
	*rest = end;
	return 0;
}

static int parse_whole(const char *text, int base, uint64_t limit, uint64_t *value)
{
	const char *rest;
	return parse_number(text, base, limit, value, &rest) || *rest ? -1 : 0;
}

/* Bytes, with an optional k, M, G or T for powers of 1024. */
static int parse_size(const char *text, uint64_t *value)
{
	const char *rest;
	if (parse_number(text, 10, INT64_MAX, value, &rest))
		return -1;
	if (!*rest)
		return 0;
	const char *suffix = strchr("kMGT", *rest);
	if (!suffix || rest[1])
		return -1;
	unsigned shift = 10 * (unsigned)(suffix - "kMGT" + 1);
	if (*value > (uint64_t)INT64_MAX >> shift)
		return -1;
	*value <<= shift;
	return 0;
}

static int bad_value(const char *word, const char *wanted)
{
	log_error("mount option '%s': %s expected", word, wanted);
	return -1;
}

/* One NAME=VALUE word; value follows the '='. */
static int parse_assignment(struct options *options, const char *word, const char *value)
{
	size_t name = (size_t)(value - 1 - word);
	uint64_t number;
	if (name == 3 && memcmp(word, "uid", name) == 0) {
		if (parse_whole(value, 10, UINT32_MAX - 1, &number))
			return bad_value(word, "a numeric user id");
		options->uid = (uid_t)number;
		return 0;
	}
	if (name == 3 && memcmp(word, "gid", name) == 0) {
		if (parse_whole(value, 10, UINT32_MAX - 1, &number))
			return bad_value(word, "a numeric group id");
		options->gid = (gid_t)number;
		return 0;
	}
	if (name == 5 && memcmp(word, "umask", name) == 0) {
		if (parse_whole(value, 8, 0777, &number))
			return bad_value(word, "an octal mask of permission bits");
		options->umask = (mode_t)number;
		return 0;
	}
	if (name == 6 && memcmp(word, "offset", name) == 0) {
		if (parse_size(value, &options->offset))
			return bad_value(word, "a number of bytes, with k, M, G or T if you like,");
		return 0;
	}
	log_error("unknown mount option '%s'", word);
	return -1;
}

static int parse_word(struct options *options, const char *word)
{
	if (strcmp(word, "allow_other") == 0) {
		options->allow_other = true;
	} else if (strcmp(word, "noatime") == 0) {
		options->noatime = true;
	} else if (strcmp(word, "nodiratime") == 0) {
		options->nodiratime = true;
	} else if (strcmp(word, "noexec") == 0) {
		options->noexec = true;
	} else if (strcmp(word, "rw") == 0) {
		log_error("mount option 'rw': the file system is read-only");
		return -1;
	} else if (!is_accepted(word)) {
		log_error("unknown mount option '%s'", word);
		return -1;
	}
	return 0;
}

/* A list of words separated by commas, which are overwritten. */
static int parse_words(struct options *options, char *words)
{
	for (char *word = words, *next; word; word = next) {
		next = strchr(word, ',');
		if (next)
			*next++ = '\0';
		const char *equals = strchr(word, '=');
		bool assignment = equals && strncmp(word, "x-", 2) != 0;
		if (*word && (assignment ? parse_assignment(options, word, equals + 1)
					 : parse_word(options, word)))
			return -1;
	}
	return 0;
}

static int usage_error(void)
{
	fputs("Try 'entrofs --help' for more information.\n", stderr);
	return -1;
}

static int parse_operands(struct options *options, int argc, char **argv)
{
	if (argc != 2) {
		log_error(argc < 2 ? "an image and a mount point are needed"
				   : "only one image and one mount point at a time");
		return usage_error();
	}
	options->image = argv[0];
	options->mountpoint = argv[1];
	return 0;
}

int options_parse(struct options *options, int argc, char **argv)
{
	static const struct option longs[] = {
	    {"foreground", no_argument, NULL, 'f'},    {"debug", no_argument, NULL, 'd'},
	    {"help", no_argument, NULL, 'h'},          {"version", no_argument, NULL, 'V'},
	    {"options", required_argument, NULL, 'o'}, {0}};
	*options = (struct options){.uid = getuid(), .gid = getgid()};
	int letter;
	argv[0] = program_invocation_short_name; /* for getopt's messages */
	while ((letter = getopt_long(argc, argv, "dfho:sV", longs, NULL)) != -1) {
		switch (letter) {
		case 'd':
			options->debug = true;
			options->foreground = true;
			break;
		case 'f':
			options->foreground = true;
			break;
		case 's':
			options->single_thread = true;
			break;
		case 'o':
			if (parse_words(options, optarg))
				return usage_error();
			break;
		case 'h':
			options->command = OPTIONS_HELP;
			return 0;
		case 'V':
			options->command = OPTIONS_VERSION;
			return 0;
		default:
			return usage_error();
		}
	}
	return parse_operands(options, argc - optind, argv + optind);
}

void options_print_help(void)
{
	fputs("Usage: entrofs [OPTION]... IMAGE MOUNTPOINT\n"
	      "Mounts a model image, made by mkentrofs, as a folder of plain files.\n"
	      "\n"
	      "  -f, --foreground  stay in the foreground; messages go to stderr, not to syslog\n"
	      "  -d, --debug       as -f, and log every request\n"
	      "  -s                serve with a single thread\n"
	      "  -o WORD,...       mount options:\n"
	      "      uid=N, gid=N  owner of all files (default: who mounts)\n"
	      "      umask=OCTAL   permission bits to withhold (default: 0: files are 0444)\n"
	      "      allow_other   let other users in; unless root, /etc/fuse.conf must say\n"
	      "                    user_allow_other\n"
	      "      offset=BYTES  where the image starts in its file; k, M, G, T are 1024s\n"
	      "      noexec, noatime, nodiratime\n"
	      "                    as for mount(8); ro, nosuid and nodev are always in force\n"
	      "  -h, --help        print this and exit\n"
	      "  -V, --version     print the version and the decoder in use and exit\n"
	      "\n"
	      "Exit code: 0 the files can be read (with -f: they were, until unmounted), 1 the\n"
	      "image cannot be mounted, 2 usage error.\n"
	      "\n"
	      "Unmount with 'fusermount3 -u MOUNTPOINT' or 'umount MOUNTPOINT', or end the\n"
	      "process with SIGTERM. If it was killed, 'Transport endpoint is not connected'\n"
	      "stays until 'fusermount3 -uz MOUNTPOINT' or 'umount -l MOUNTPOINT'.\n"
	      "\n"
	      "Environment: ENTROFS_KERNEL names the decoder to use instead of the fastest one.\n",
	      stdout);
}
