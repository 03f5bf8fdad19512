/* SPDX-License-Identifier: MIT */
/* dump.entrofs.c - shows what is in an image; the command line. */
#include "mkfs/dump.h"

#include "mkfs/arguments.h"
#include "mkfs/cli.h"
#include "mkfs/dump_html.h"
#include "mkfs/pool.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_USAGE = 2 };

struct options {
	const char *path;
	uint64_t offset;
	int json, tables;
	struct dump_html html; /* target NULL: no page */
};

static const char help[] =
    "Usage: dump.entrofs [OPTION]... IMAGE\n"
    "Shows what is in the image file IMAGE: superblock, space by kind, and of each\n"
    "tensor its type, shape, quantization, entropy and bits per weight (tables,\n"
    "checksums and padding included).\n"
    "\n"
    "  -t, --tables       show streams with their blocks and code tables, too\n"
    "      --json         print JSON; its keys are stable\n"
    "      --html=FILE    write a page for a browser instead, which needs no other\n"
    "                     file and no network; '-' is the standard output\n"
    "      --no-histograms\n"
    "                     of the page: do not go through all data for it\n"
    "  -f, --force        replace FILE if it exists\n"
    "  -j, --jobs=N       threads for --html (all CPUs)\n"
    "  -o, --offset=N     the image starts at byte N of the file; k, M, G, T count in\n"
    "                     1024s\n"
    "  -h, --help         print this help\n"
    "  -V, --version      print the version and the decoder in use\n"
    "\n"
    "Exit code: 0 shown, 1 the image is damaged or cannot be read, 2 usage error.\n"
    "\n"
    "Environment: ENTROFS_KERNEL names the decoder to use instead of the fastest one.\n";

/* Negative: go on; else the exit code. */
static int parse_option(struct options *options, int option)
{
	switch (option) {
	case 't':
		options->tables = 1;
		return -1;
	case 'J':
		options->json = 1;
		return -1;
	case 'H':
		options->html.target = optarg;
		return -1;
	case 'n':
		options->html.counted = 0;
		return -1;
	case 'f':
		options->html.force = 1;
		return -1;
	case 'j':
		return argument_jobs(optarg, &options->html.jobs) ? EXIT_USAGE : -1;
	case 'o':
		return argument_offset(optarg, &options->offset) ? EXIT_USAGE : -1;
	default:
		return argument_standard(option, help, EXIT_USAGE);
	}
}

static int parse_options(struct options *options, int argc, char **argv)
{
	static const struct option names[] = {
	    {"tables", no_argument, NULL, 't'},       {"json", no_argument, NULL, 'J'},
	    {"html", required_argument, NULL, 'H'},   {"no-histograms", no_argument, NULL, 'n'},
	    {"force", no_argument, NULL, 'f'},        {"jobs", required_argument, NULL, 'j'},
	    {"offset", required_argument, NULL, 'o'}, {"help", no_argument, NULL, 'h'},
	    {"version", no_argument, NULL, 'V'},      {NULL, 0, NULL, 0},
	};
	int option, code;

	argv[0] = program_invocation_short_name; /* for getopt's messages */
	while ((option = getopt_long(argc, argv, "tfj:o:hV", names, NULL)) != -1) {
		code = parse_option(options, option);
		if (code >= 0)
			return code;
	}
	if (options->html.target && (options->json || options->tables)) {
		cli_usage_error("--html goes with neither --json nor --tables");
		return EXIT_USAGE;
	}
	if (!options->html.target && (options->html.force || !options->html.counted)) {
		cli_usage_error("--force and --no-histograms need --html");
		return EXIT_USAGE;
	}
	options->path = argument_image(argc, argv);
	return options->path && argument_decoder() == 0 ? -1 : EXIT_USAGE;
}

/* Each index is loaded twice, so that damage is told before anything is shown. */
static int try_indexes(struct image *image, struct image_diag *diag)
{
	for (uint32_t i = 0; i < image_catalog(image)->stream_count; i++) {
		int err = image_hold_index(image, i, diag);

		if (err)
			return err;
		image_release_index(image, i);
	}
	return 0;
}

static int show(const struct options *options, struct image *image, int fd)
{
	struct dump dump;
	struct image_diag diag;
	int failed;

	if (options->tables && try_indexes(image, &diag)) {
		cli_cannot("read", options->path, "%s", diag.text);
		return EXIT_FAILURE;
	}
	if (dump_init(&dump, options->path, image)) {
		cli_cannot("read", options->path, "out of memory");
		return EXIT_FAILURE;
	}
	if (options->html.target) {
		failed = dump_html(&dump, &options->html, fd);
		dump_free(&dump);
		return failed ? EXIT_FAILURE : EXIT_SUCCESS;
	}
	dump.tables = options->tables;
	failed = options->json ? dump_json(&dump) : dump_text(&dump);
	dump_free(&dump);
	if (argument_finish_output())
		return EXIT_FAILURE;
	if (failed)
		cli_cannot("read", options->path, "out of memory, or it changed meanwhile");
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct options options = {.html = {.counted = 1, .jobs = pool_jobs_default()}};
	struct image_diag diag;
	struct image *image;
	int code, fd;

	cli_guard_standard();
	code = parse_options(&options, argc, argv);
	if (code >= 0)
		return code;
	fd = argument_open_image(options.path);
	if (fd < 0) {
		cli_cannot("open", options.path, "%s", strerror(errno));
		return EXIT_FAILURE;
	}
	if (image_open(&image, fd, options.offset, &diag)) {
		cli_cannot("read", options.path, "%s", diag.text);
		code = EXIT_FAILURE;
	} else {
		code = show(&options, image, fd);
		image_close(image);
	}
	close(fd);
	return code;
}
