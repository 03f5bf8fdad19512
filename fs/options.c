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
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * Words that mount(8) and fstab pass along and that say nothing new about a file system that is
 * always ro,nosuid,nodev. rw is one of them: mount(8) passes it when nobody said rw or ro, and so a
 * plain mount would fail; as with other read-only file systems, the mount is read-only all the
 * same.
 */
static const char *const accepted_words[] = {"ro",         "rw",          "nosuid",
					     "suid",       "nodev",       "dev",
					     "sync",       "async",       "dirsync",
					     "relatime",   "norelatime",  "nostrictatime",
					     "diratime",   "nodiratime",  "lazytime",
					     "nolazytime", "mand",        "nomand",
					     "iversion",   "noiversion",  "silent",
					     "loud",       "symfollow",   "user",
					     "nouser",     "users",       "nousers",
					     "owner",      "noowner",     "group",
					     "nogroup",    "auto",        "noauto",
					     "nofail",     "defaults",    "_netdev",
					     "loop",       "nosymfollow", "default_permissions"};

/* The same for NAME=VALUE. */
static const char *const accepted_names[] = {"comment", "user", "loop", "helper", "uhelper"};

/* Comments to other programs, see fstab(5) and mount(8). */
static bool is_comment(const char *word)
{
	return strncmp(word, "x-", 2) == 0 || strncmp(word, "X-", 2) == 0;
}

static bool is_accepted(const char *word)
{
	for (size_t i = 0; i < sizeof(accepted_words) / sizeof(*accepted_words); i++)
		if (strcmp(word, accepted_words[i]) == 0)
			return true;
	return is_comment(word);
}

static bool is_accepted_name(const char *name, size_t size)
{
	for (size_t i = 0; i < sizeof(accepted_names) / sizeof(*accepted_names); i++)
		if (strlen(accepted_names[i]) == size && memcmp(name, accepted_names[i], size) == 0)
			return true;
	return false;
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

static int unknown(const char *word, bool sloppy)
{
	if (sloppy)
		return 0;
	log_error("unknown mount option '%s'", word);
	return -1;
}

/* Takes in a value; false if it is none. */
static bool set_uid(struct options *options, const char *value)
{
	uint64_t number;
	if (parse_whole(value, 10, UINT32_MAX - 1, &number))
		return false;
	options->uid = (uid_t)number;
	return true;
}

static bool set_gid(struct options *options, const char *value)
{
	uint64_t number;
	if (parse_whole(value, 10, UINT32_MAX - 1, &number))
		return false;
	options->gid = (gid_t)number;
	return true;
}

static bool set_umask(struct options *options, const char *value)
{
	uint64_t number;
	if (parse_whole(value, 8, 0777, &number))
		return false;
	options->umask = (mode_t)number;
	return true;
}

static bool set_offset(struct options *options, const char *value)
{
	return parse_size(value, &options->offset) == 0;
}

static bool set_cache_size(struct options *options, const char *value)
{
	return parse_size(value, &options->cache_size) == 0 &&
	       options->cache_size <= OPTIONS_CACHE_MAX;
}

static bool set_readahead(struct options *options, const char *value)
{
	return parse_size(value, &options->readahead) == 0 &&
	       options->readahead <= OPTIONS_CACHE_MAX;
}

static bool set_workers(struct options *options, const char *value)
{
	uint64_t number;
	if (parse_whole(value, 10, OPTIONS_WORKERS_MAX, &number) || number == 0)
		return false;
	options->workers = (unsigned)number;
	return true;
}

static bool set_preload(struct options *options, const char *value)
{
	options->preload = true;
	return parse_size(value, &options->preload_rate) == 0 && options->preload_rate > 0;
}

static bool set_cache(struct options *options, const char *value)
{
	options->keep_compressed = strcmp(value, "compressed") == 0;
	return options->keep_compressed || strcmp(value, "decoded") == 0;
}

static const struct {
	const char *name;
	bool (*set)(struct options *options, const char *value);
	const char *wanted;
} assignments[] = {
    {"uid", set_uid, "a numeric user id"},
    {"gid", set_gid, "a numeric group id"},
    {"umask", set_umask, "an octal mask of permission bits"},
    {"offset", set_offset, "a number of bytes, with k, M, G or T if you like,"},
    {"cachesize", set_cache_size, "a number of bytes up to 1G, with k, M or G if you like,"},
    {"readahead", set_readahead, "a number of bytes up to 1G, with k, M or G if you like,"},
    {"workers", set_workers, "a number of threads from 1 to 64"},
    {"preload", set_preload, "bytes a second, with k, M or G if you like,"},
    {"cache", set_cache, "'decoded' or 'compressed'"},
};

/* One NAME=VALUE word; value follows the '='. */
static int parse_assignment(struct options *options, const char *word, const char *value,
			    bool sloppy)
{
	size_t size = (size_t)(value - 1 - word);
	for (size_t i = 0; i < sizeof(assignments) / sizeof(*assignments); i++) {
		const char *name = assignments[i].name;
		if (strlen(name) != size || memcmp(name, word, size) != 0)
			continue;
		return assignments[i].set(options, value) ? 0
							  : bad_value(word, assignments[i].wanted);
	}
	return is_accepted_name(word, size) ? 0 : unknown(word, sloppy);
}

static int parse_word(struct options *options, const char *word, bool sloppy)
{
	static const struct {
		const char *word;
		size_t flag; /* of struct options */
		bool value;
	} switches[] = {
	    {"allow_other", offsetof(struct options, allow_other), true},
	    {"preload", offsetof(struct options, preload), true},
	    {"stats", offsetof(struct options, show_stats), true},
	    {"noexec", offsetof(struct options, noexec), true},
	    {"exec", offsetof(struct options, noexec), false},
	    {"noatime", offsetof(struct options, noatime), true},
	    {"atime", offsetof(struct options, noatime), false},
	    {"strictatime", offsetof(struct options, noatime), false},
	};
	for (size_t i = 0; i < sizeof(switches) / sizeof(*switches); i++) {
		if (strcmp(word, switches[i].word) == 0) {
			*(bool *)((char *)options + switches[i].flag) = switches[i].value;
			return 0;
		}
	}
	if (strcmp(word, "remount") == 0) {
		log_error("mount option 'remount': unmount and mount again; 'mount -i -o "
			  "remount,...' changes what concerns the kernel alone");
		return -1;
	}
	return is_accepted(word) ? 0 : unknown(word, sloppy);
}

int options_add_words(struct options *options, char *words, bool sloppy)
{
	for (char *word = words, *next; word; word = next) {
		next = strchr(word, ',');
		if (next)
			*next++ = '\0';
		const char *equals = is_comment(word) ? NULL : strchr(word, '=');
		if (*word && (equals ? parse_assignment(options, word, equals + 1, sloppy)
				     : parse_word(options, word, sloppy)))
			return -1;
	}
	return 0;
}

int options_usage_error(void)
{
	fprintf(stderr, "Try '%s --help' for more information.\n", program_invocation_short_name);
	return -1;
}

struct options options_defaults(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	return (struct options){
	    .uid = getuid(),
	    .gid = getgid(),
	    .cache_size = OPTIONS_CACHE_SIZE,
	    .readahead = OPTIONS_READAHEAD,
	    .preload_rate = OPTIONS_PRELOAD_RATE,
	    .workers = cpus < 1                     ? 1
		       : cpus > OPTIONS_WORKERS_MAX ? OPTIONS_WORKERS_MAX
						    : (unsigned)cpus,
	};
}

int options_set_operands(struct options *options, int argc, char **argv)
{
	if (argc != 2) {
		log_error(argc < 2 ? "an image and a mount point are needed"
				   : "only one image and one mount point at a time");
		return options_usage_error();
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
	*options = options_defaults();
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
			if (options_add_words(options, optarg, false))
				return options_usage_error();
			break;
		case 'h':
			options->command = OPTIONS_HELP;
			return 0;
		case 'V':
			options->command = OPTIONS_VERSION;
			return 0;
		default:
			return options_usage_error();
		}
	}
	return options_set_operands(options, argc - optind, argv + optind);
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
	      "      cache=decoded|compressed\n"
	      "                    what stays in memory: decoded pages (default), or the image,\n"
	      "                    to be decoded again for each read\n"
	      "      readahead=BYTES\n"
	      "                    how far to be ahead of a reader in order (default: 4M)\n"
	      "      cachesize=BYTES\n"
	      "                    decoded blocks that the daemon keeps (default: 8M)\n"
	      "      workers=N     threads that decode one request (default: one per CPU)\n"
	      "      preload[=RATE]\n"
	      "                    put weights in memory before they are asked for, so many\n"
	      "                    bytes a second (default: 100M)\n"
	      "      stats         show statistics: getfattr -n user.entrofs.stats MOUNTPOINT;\n"
	      "                    SIGUSR1 logs them in any case\n"
	      "      noexec, noatime\n"
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
