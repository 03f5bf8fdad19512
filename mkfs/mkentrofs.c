/* SPDX-License-Identifier: MIT */
/*
 * mkentrofs.c - the program that packs a model into an image.
 *
 * Exit status: 0 the image is there and verified, 1 it is not, 2 wrong usage.
 */
#include "mkfs/cli.h"
#include "mkfs/options.h"
#include "mkfs/output.h"
#include "mkfs/pack.h"
#include "mkfs/plan.h"
#include "mkfs/pool.h"
#include "mkfs/progress.h"
#include "mkfs/report.h"
#include "mkfs/source.h"
#include "mkfs/views.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int report(const struct packed *packed, const struct options *options, double seconds)
{
	if (options->json) {
		if (report_json(packed, options->target, seconds))
			cli_cannot("write", "standard output", "out of memory");
	} else {
		report_print(packed, options->target, seconds, options->verbose);
	}
	if (fflush(stdout) || ferror(stdout)) {
		cli_cannot("write", "standard output", "%s", strerror(errno));
		return -1;
	}
	return 0;
}

static int make_image(const struct options *options, const struct source *source,
		      const uint8_t *bits, struct output *output)
{
	struct progress progress = {0};
	struct packed packed = {0};
	double start = progress_clock();
	struct pool *pool = pool_create(options->jobs);

	if (!pool) {
		cli_cannot("start", NULL, "%u threads cannot be had", options->jobs);
		return -1;
	}
	int result = pack(&packed, source, bits, output->fd, options->target, pool, &progress);
	if (!result && options->verify)
		result = packed_verify(&packed, output->fd, options->target, pool, &progress);
	if (!result)
		result = source_check_unchanged(source);
	if (!result)
		result = output_publish(output);
	if (!result)
		result = report(&packed, options, progress_clock() - start);
	packed_free(&packed);
	pool_destroy(pool);
	return result;
}

static int run(struct options *options)
{
	struct source source;
	struct output output;

	if (source_open(&source, options->source, options->verbose))
		return -1;
	uint8_t *bits = plan_bits(&source, options);
	int result = bits ? view_check_companions(&source, bits) : -1;
	if (!result && source_has(&source, options->target)) {
		cli_cannot("create", options->target, "it is a file of the model");
		result = -1;
	}
	if (!result)
		result = output_open(&output, options->target, options->force);
	if (!result) {
		result = make_image(options, &source, bits, &output);
		output_close(&output);
	}
	free(bits);
	source_close(&source);
	return result;
}

int main(int argc, char **argv)
{
	struct options options;
	int status = 2;

	switch (options_parse(&options, argc, argv)) {
	case OPTIONS_DONE:
		status = 0;
		break;
	case OPTIONS_RUN:
		status = run(&options) ? 1 : 0;
		break;
	case OPTIONS_BAD:
		break;
	}
	options_free(&options);
	return status;
}
