/* SPDX-License-Identifier: MIT */
/* mount_helper.c - the command line of mount.entrofs; see mount_helper.h. */
#include "fs/mount_helper.h"

#include "fs/log.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool mount_helper_is_called(void)
{
	return strcmp(program_invocation_short_name, "mount.entrofs") == 0;
}

/* The lists of -o are kept until all letters are known: -s, which concerns them, may come last. */
static int add_lists(struct options *options, char **lists, int count, bool sloppy)
{
	for (int i = 0; i < count; i++)
		if (options_add_words(options, lists[i], sloppy))
			return options_usage_error();
	return 0;
}

/* Fills lists, which has room for argc of them. */
static int parse(struct options *options, int argc, char **argv, char **lists)
{
	static const struct option longs[] = {
	    {"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'}, {0}};
	int letter, count = 0;
	bool sloppy = false;
	while ((letter = getopt_long(argc, argv, "sfnvN:o:t:hV", longs, NULL)) != -1) {
		switch (letter) {
		case 's':
			sloppy = true;
			break;
		case 'f':
			options->fake = true;
			break;
		case 'v':
			options->verbose = true;
			break;
		case 'N':
			options->mount_namespace = optarg;
			break;
		case 'o':
			lists[count++] = optarg;
			break;
		case 'n': /* /etc/mtab is the kernel's list */
		case 't': /* a subtype, of which there is none */
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
	if (add_lists(options, lists, count, sloppy))
		return -1;
	return options_set_operands(options, argc - optind, argv + optind);
}

int mount_helper_parse(struct options *options, int argc, char **argv)
{
	*options = options_defaults();
	char **lists = calloc((size_t)argc + 1, sizeof(*lists));
	if (!lists) {
		log_error("%s", strerror(ENOMEM));
		return -1;
	}
	argv[0] = program_invocation_short_name; /* for getopt's messages */
	int failed = parse(options, argc, argv, lists);
	free(lists);
	return failed;
}

void mount_helper_print_help(void)
{
	fputs("Usage: mount.entrofs IMAGE MOUNTPOINT [-sfnv] [-N NAMESPACE] [-o WORD,...]\n"
	      "Mounts a model image; run by 'mount -t entrofs IMAGE MOUNTPOINT'.\n"
	      "\n"
	      "  -o WORD,...    mount options, those of entrofs\n"
	      "  -s             ignore unknown mount options\n"
	      "  -f             check the image and the mount point, but do not mount\n"
	      "  -v             say what was mounted\n"
	      "  -N NAMESPACE   mount in the mount namespace of this file\n"
	      "  -n, -t TYPE    for mount(8); without effect\n"
	      "  -h, --help     print this and exit\n"
	      "  -V, --version  print the version and the decoder in use and exit\n"
	      "\n"
	      "Exit code: 0 the files can be read, 1 usage error, 32 the image cannot be\n"
	      "mounted.\n"
	      "\n"
	      "'entrofs --help' lists the mount options and says how to unmount.\n",
	      stdout);
}

int mount_helper_enter(const char *mount_namespace)
{
	char *folder = get_current_dir_name();
	if (!folder)
		return -errno;
	int fd = open(mount_namespace, O_RDONLY | O_CLOEXEC);
	int error = fd < 0 || setns(fd, CLONE_NEWNS) ? -errno : 0;
	if (fd >= 0)
		close(fd);
	if (!error && chdir(folder))
		error = chdir("/") ? -errno : 0;
	free(folder);
	return error;
}
