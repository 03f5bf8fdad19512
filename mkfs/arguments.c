/* SPDX-License-Identifier: MIT */
/* arguments.c - what command lines have in common; see arguments.h. */
#include "mkfs/arguments.h"

#include "image/decoder.h"
#include "mkfs/cli.h"
#include "mkfs/pool.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int argument_offset(const char *text, uint64_t *offset)
{
	if (cli_bytes(text, INT64_MAX, offset) == 0)
		return 0;
	cli_usage_error("--offset is a number of bytes, with k, M, G or T if you like, not '%s'",
			text);
	return -1;
}

int argument_jobs(const char *text, unsigned *jobs)
{
	uint64_t number = 0;

	if (cli_uint(text, POOL_JOBS_MAX, &number) || number == 0) {
		cli_usage_error("--jobs is a number from 1 to %d, not '%s'", POOL_JOBS_MAX, text);
		return -1;
	}
	*jobs = (unsigned)number;
	return 0;
}

int argument_standard(int option, const char *help, int usage_status)
{
	switch (option) {
	case 'h':
		fputs(help, stdout);
		return 0;
	case 'V':
		if (argument_decoder())
			return usage_status;
		printf("%s " ENTROFS_VERSION "\ndecoder: %s\n", program_invocation_short_name,
		       image_decoder());
		return 0;
	default:
		fprintf(stderr, "Try '%s --help' for more information.\n",
			program_invocation_short_name);
		return usage_status;
	}
}

int argument_decoder(void)
{
	struct image_diag diag;

	if (image_choose_decoder(getenv(IMAGE_DECODER_VARIABLE), &diag) == 0)
		return 0;
	cli_say("%s", diag.text);
	return -1;
}

const char *argument_image(int argc, char **argv)
{
	if (optind == argc - 1)
		return argv[optind];
	cli_usage_error(optind == argc ? "an image is needed" : "only one image at a time");
	return NULL;
}

int argument_open_image(const char *path)
{
	return open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
}

int argument_finish_output(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return 0;
	cli_cannot("write", "standard output", "%s", strerror(errno));
	return -1;
}
