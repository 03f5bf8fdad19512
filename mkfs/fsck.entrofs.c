/* SPDX-License-Identifier: MIT */
/* fsck.entrofs.c - checks an image, or extracts it; the command line. Exit codes are fsck(8)'s. */
#include "mkfs/arguments.h"
#include "mkfs/check.h"
#include "mkfs/cli.h"
#include "mkfs/extract.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <unistd.h>

enum { EXIT_USAGE = 16 };

struct options {
	const char *path;
	const char *extract; /* target folder; NULL: none */
	uint64_t offset;
	unsigned jobs;
	int deep, quiet;
};

static const char help[] =
    "Usage: fsck.entrofs [OPTION]... IMAGE\n"
    "Checks the image file IMAGE: superblock, catalog and every block index. Nothing\n"
    "is changed.\n"
    "\n"
    "  -d, --deep         also decode all data, verify every checksum, digest, hash\n"
    "                     and gap\n"
    "  -x, --extract=DIR  write all files into DIR, which must be empty or absent\n"
    "  -o, --offset=N     the image starts at byte N of the file; k, M, G, T count in\n"
    "                     1024s\n"
    "  -j, --jobs=N       threads (all CPUs)\n"
    "  -q, --quiet        print only what is wrong\n"
    "  -h, --help         print this help\n"
    "  -V, --version      print the version\n"
    "\n"
    "Exit code: 0 no errors, 4 the image is damaged, 8 it could not be checked or\n"
    "extracted, 16 usage error; 12 is 4 and 8.\n";

/* Negative: go on; else the exit code. */
static int parse_option(struct options *options, int option)
{
	switch (option) {
	case 'd':
		options->deep = 1;
		return -1;
	case 'x':
		options->extract = optarg;
		return -1;
	case 'q':
		options->quiet = 1;
		return -1;
	case 'o':
		return argument_offset(optarg, &options->offset) ? EXIT_USAGE : -1;
	case 'j':
		return argument_jobs(optarg, &options->jobs) ? EXIT_USAGE : -1;
	default:
		return argument_standard(option, help, EXIT_USAGE);
	}
}

static int parse_options(struct options *options, int argc, char **argv)
{
	static const struct option names[] = {
	    {"deep", no_argument, NULL, 'd'},         {"extract", required_argument, NULL, 'x'},
	    {"offset", required_argument, NULL, 'o'}, {"jobs", required_argument, NULL, 'j'},
	    {"quiet", no_argument, NULL, 'q'},        {"help", no_argument, NULL, 'h'},
	    {"version", no_argument, NULL, 'V'},      {NULL, 0, NULL, 0},
	};
	int option, code;

	argv[0] = program_invocation_short_name; /* for getopt's messages */
	while ((option = getopt_long(argc, argv, "dx:o:j:qhV", names, NULL)) != -1) {
		code = parse_option(options, option);
		if (code >= 0)
			return code;
	}
	options->path = argument_image(argc, argv);
	return options->path ? -1 : EXIT_USAGE;
}

static void print_clean(const struct options *options, const struct image *image)
{
	const struct efs_catalog_header *catalog = image_catalog(image);
	char size[CLI_SIZE_TEXT];

	if (options->quiet)
		return;
	printf("%s: clean, %s, %u tensors, %u streams, %u blobs (%s)\n", options->path,
	       cli_size(image_superblock(image)->image_size, size), catalog->tensor_count,
	       catalog->stream_count, catalog->blob_count,
	       options->deep      ? "all data decoded and verified"
	       : options->extract ? "what was extracted was verified on the way"
				  : "metadata only; --deep reads all");
	if (options->extract)
		printf("%s: extracted to '%s'\n", options->path, options->extract);
}

static unsigned run(const struct options *options, int fd, struct pool *pool)
{
	struct image_diag diag;
	struct image *image;
	unsigned result;
	int err = image_open(&image, fd, options->offset, &diag);

	if (err) {
		cli_cannot("verify", options->path, "%s", diag.text);
		return check_kind(err);
	}
	result = check_image(image, options->path, options->deep, pool);
	if (!result && options->extract)
		result = extract_image(image, options->path, options->extract, pool);
	if (!result)
		print_clean(options, image);
	image_close(image);
	return result;
}

int main(int argc, char **argv)
{
	struct options options = {.jobs = pool_jobs_default()};
	int code = parse_options(&options, argc, argv), fd;
	struct pool *pool;

	if (code >= 0)
		return code;
	fd = argument_open_image(options.path);
	if (fd < 0)
		return CHECK_FAILED;
	pool = pool_create(options.jobs);
	if (pool) {
		code = (int)run(&options, fd, pool);
	} else {
		cli_cannot("start", NULL, "no threads to be had");
		code = CHECK_FAILED;
	}
	pool_destroy(pool);
	close(fd);
	return argument_finish_output() ? code | CHECK_FAILED : code;
}
