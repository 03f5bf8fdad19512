/* SPDX-License-Identifier: MIT */
/* fs_options.c - the command line of entrofs: what is understood, and what is refused by name. */
#include "fs/options.h"

#include <criterion/criterion.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { WORDS_MAX = 8 };

/* Parses the words after the program's name. said: what went to stderr meanwhile. */
static int parse(struct options *options, const char *const *words, char *said, size_t size)
{
	static char copies[WORDS_MAX + 1][128]; /* parsing writes into its arguments */
	char *argv[WORDS_MAX + 2] = {copies[0]};
	int argc = 1;
	strcpy(copies[0], "entrofs");
	for (; *words; words++) {
		cr_assert_lt(strlen(*words), sizeof(*copies));
		argv[argc] = strcpy(copies[argc], *words);
		argc++;
	}
	int log = memfd_create("stderr", 0), kept = dup(STDERR_FILENO);
	dup2(log, STDERR_FILENO);
	optind = 0; /* glibc: start anew */
	int result = options_parse(options, argc, argv);
	dup2(kept, STDERR_FILENO);
	ssize_t got = pread(log, said, size - 1, 0);
	said[got > 0 ? got : 0] = '\0';
	close(log);
	close(kept);
	return result;
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static struct options accepted(const char *const *words)
{
	struct options options;
	char said[512];
	cr_assert_eq(parse(&options, words, said, sizeof(said)), 0, "%s", said);
	cr_assert_str_empty(said);
	return options;
}

static void refused(const char *const *words, const char *reason)
{
	struct options options;
	char said[512];
	cr_assert_eq(parse(&options, words, said, sizeof(said)), -1, "'%s' accepted", words[0]);
	cr_assert_neq(strstr(said, reason), NULL, "'%s' expected in: %s", reason, said);
	cr_assert_neq(strstr(said, "--help"), NULL, "%s", said);
}

Test(fs_options, defaults)
{
	struct options options = accepted(WORDS("image", "point"));
	cr_assert_eq(options.command, OPTIONS_MOUNT);
	cr_assert_str_eq(options.image, "image");
	cr_assert_str_eq(options.mountpoint, "point");
	cr_assert(!options.foreground && !options.debug && !options.single_thread &&
		  !options.allow_other && !options.noatime && !options.noexec);
	cr_assert_eq(options.uid, getuid());
	cr_assert_eq(options.gid, getgid());
	cr_assert(options.umask == 0 && options.offset == 0);
}

/* Options before, between and after the operands, apart and together. */
Test(fs_options, every_option)
{
	struct options options =
	    accepted(WORDS("-fs", "image", "-o", "uid=1,gid=4294967294,,umask=27", "point",
			   "-oallow_other,offset=12k,noexec,noatime"));
	cr_assert(options.foreground && options.single_thread && options.allow_other);
	cr_assert(options.noexec && options.noatime);
	cr_assert_eq(options.uid, 1);
	cr_assert_eq(options.gid, 4294967294);
	cr_assert_eq(options.umask, 027);
	cr_assert_eq(options.offset, 12 << 10);
	cr_assert(accepted(WORDS("image", "point", "-d")).foreground);
	cr_assert_str_eq(accepted(WORDS("--", "-image", "point")).image, "-image");
	cr_assert_eq(accepted(WORDS("--version")).command, OPTIONS_VERSION);
	cr_assert_eq(accepted(WORDS("-h")).command, OPTIONS_HELP);
}

Test(fs_options, sizes)
{
	static const struct {
		const char *word;
		uint64_t bytes;
	} sizes[] = {{"offset=0", 0},
		     {"offset=4097", 4097},
		     {"offset=3M", 3 << 20},
		     {"offset=5G", UINT64_C(5) << 30},
		     {"offset=8388607T", UINT64_C(8388607) << 40},
		     {"offset=9223372036854775807", INT64_MAX}};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		cr_assert_eq(accepted(WORDS("-o", sizes[i].word, "a", "b")).offset, sizes[i].bytes,
			     "%s", sizes[i].word);
}

/* What mount(8) adds means nothing new here and must not be an error. */
Test(fs_options, words_of_mount)
{
	accepted(
	    WORDS("a", "b", "-o", "ro,nosuid,nodev,suid,dev,relatime,_netdev,x-systemd.what=5"));
}

/* A wrong word is named, whatever is right around it. */
Test(fs_options, refusals)
{
	static const char *const words[] = {"uid=",
					    "uid=x",
					    "uid=-1",
					    "uid=+1",
					    "uid= 1",
					    "uid=4294967295",
					    "gid=1x",
					    "umask=8",
					    "umask=1000",
					    "umask=",
					    "offset=",
					    "offset=-1",
					    "offset=1kk",
					    "offset=1z",
					    "offset=0x10",
					    "offset=9223372036854775808",
					    "offset=8388608T",
					    "uid",
					    "rwx",
					    "allow_others",
					    "=",
					    "max_read=5",
					    "allow_other=1"};
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		char list[128], named[64];
		snprintf(list, sizeof(list), "ro,%s,noatime", words[i]);
		snprintf(named, sizeof(named), "'%s'", words[i]);
		refused(WORDS("a", "b", "-o", list), named);
	}
	refused(WORDS("a", "b", "-o", "remount,ro"), "'remount'");
	refused(WORDS("a"), "mount point");
	refused(WORDS("-f"), "image");
	refused(WORDS("a", "b", "c"), "only");
	refused(WORDS("a", "b", "--what"), "what");
	refused(WORDS("a", "b", "-o"), "-- 'o'");
}
