/* SPDX-License-Identifier: MIT */
/*
 * mkentrofs.c - the program that packs a model into an image.
 *
 * Exit status: see enum status. What fails has been reported by whoever noticed.
 */
#include "mkfs/cli.h"
#include "mkfs/lossless.h"
#include "mkfs/lossless_report.h"
#include "mkfs/options.h"
#include "mkfs/output.h"
#include "mkfs/pack.h"
#include "mkfs/plan.h"
#include "mkfs/pool.h"
#include "mkfs/progress.h"
#include "mkfs/report.h"
#include "mkfs/source.h"
#include "mkfs/views.h"
#include "mkfs/watcher.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum status {
	STATUS_MADE = 0,
	STATUS_FAILED = 1, /* there is no new image */
	STATUS_USAGE = 2,
	STATUS_UNREPORTED = 3, /* the image is made, but its figures could not be printed */
};

/* 0 or an errno. */
static int print(const struct packed *packed, const struct options *options, double seconds)
{
	if (options->json) {
		if (report_json(packed, options->target, seconds))
			return ENOMEM;
	} else {
		report_print(packed, options->target ? options->target : options->source, seconds,
			     options->verbose);
	}
	return fflush(stdout) || ferror(stdout) ? errno : 0;
}

/* The image has its name: what goes wrong here must not sound as if it had not. error: 0, or an
 * errno of the report. */
static enum status unreported(const struct options *options, int error)
{
	if (!error)
		return STATUS_MADE;
	if (options->dry_run) {
		cli_cannot("write", "standard output", "%s", strerror(error));
		return STATUS_FAILED;
	}
	cli_cannot("write", "standard output", "%s; the image '%s' is made", strerror(error),
		   options->target);
	return STATUS_UNREPORTED;
}

static enum status make_image(const struct options *options, const struct source *source,
			      const struct plan *plan, struct output *output,
			      struct progress *progress)
{
	struct packed packed = {0};
	double start = progress_clock();
	struct pool *pool = pool_create(options->jobs);
	enum status status = STATUS_FAILED;

	if (!pool) {
		cli_cannot("start", NULL, "%u threads cannot be had", options->jobs);
		return STATUS_FAILED;
	}
	progress_start(progress, "packing",
		       pack_work(source, plan) +
			   (options->verify ? packed_verify_work(source, plan) : 0));
	int result = pack(&packed, source, plan, options->views, output->fd, options->target, pool,
			  progress);
	if (!result && options->verify)
		result = packed_verify(&packed, output->fd, options->target, pool, progress);
	if (!result)
		result = source_check_unchanged(source);
	if (!result) {
		progress_phase(progress, "syncing");
		result = output_publish(output);
	}
	progress_end(progress);
	if (!result)
		status = unreported(options, print(&packed, options, progress_clock() - start));
	packed_free(&packed);
	pool_destroy(pool);
	return status;
}

static void wipe_line(void *progress, int signal)
{
	(void)signal;
	progress_silence(progress);
}

/* Nothing is written: signals may end it as they like, but for the progress line. */
static enum status rehearse(const struct options *options, const struct source *source,
			    const struct plan *plan)
{
	struct progress progress = PROGRESS_INIT;
	struct watcher watcher;
	struct packed packed = {0};
	double start = progress_clock();
	int result = -1;

	if (options->target && output_check(options->target, options->force))
		return STATUS_FAILED;
	watcher_hold(&watcher);
	struct pool *pool = pool_create(options->jobs);
	if (!pool || watcher_start(&watcher, wipe_line, &progress)) {
		cli_cannot("start", NULL, "%u threads cannot be had", options->jobs);
	} else {
		progress_start(&progress, "estimating", pack_estimate_work(source, plan));
		result = pack_estimate(&packed, source, plan, options->views, pool, &progress);
		if (!result)
			result = source_check_unchanged(source);
		progress_end(&progress);
	}
	watcher_stop(&watcher);
	watcher_release(&watcher);
	int error = result ? 0 : print(&packed, options, progress_clock() - start);
	if (error)
		cli_cannot("write", "standard output", "%s", strerror(error));
	if (!result && options->target)
		result = output_check_room(options->target, packed.overhead.image_size);
	packed_free(&packed);
	pool_destroy(pool);
	return result || error ? STATUS_FAILED : STATUS_MADE;
}

static enum status run(struct options *options)
{
	struct source source;
	struct output output;
	struct progress progress = PROGRESS_INIT;
	enum status status = STATUS_FAILED;

	if (source_open(&source, options->source, options->verbose))
		return STATUS_FAILED;
	struct plan *plan =
	    view_choose(&source, &options->views) ? NULL : plan_create(&source, options);
	int result = plan ? view_check_folders(&source, options->views) : -1;
	if (!result && (options->views & VIEW_QUANTIZED))
		result = view_check_companions(&source, plan);
	if (!result && options->target && source_has(&source, options->target)) {
		cli_cannot("create", options->target, "it is a file of the model");
		result = -1;
	}
	if (!result && options->dry_run) {
		status = rehearse(options, &source, plan);
	} else if (!result &&
		   output_open(&output, options->target, options->force, &progress) == 0) {
		status = make_image(options, &source, plan, &output, &progress);
		output_close(&output);
	}
	free(plan);
	source_close(&source);
	return status;
}

/* --- lossless --------------------------------------------------------------------------------- */

static enum status report_lossless(const struct lossless *lossless, const struct options *options,
				   double seconds)
{
	if (!options->json)
		lossless_print(lossless, options->target, seconds, options->verbose);
	else if (lossless_json(lossless, options->target, seconds))
		return unreported(options, ENOMEM);
	return unreported(options, fflush(stdout) || ferror(stdout) ? errno : 0);
}

/* output: NULL in a dry run, which does all but write. */
static enum status make_lossless(const struct options *options, const struct tree *tree,
				 struct output *output, struct progress *progress)
{
	struct lossless lossless = {0};
	double start = progress_clock();
	struct pool *pool = pool_create(options->jobs);
	int verify = options->verify && output;

	if (!pool) {
		cli_cannot("start", NULL, "%u threads cannot be had", options->jobs);
		return STATUS_FAILED;
	}
	progress_start(progress, output ? "packing" : "estimating",
		       lossless_work(tree) + (verify ? lossless_verify_work(tree) : 0));
	int result = lossless_pack(&lossless, tree, output ? output->fd : -1, options->target, pool,
				   progress);
	if (!result && verify)
		result = lossless_verify(&lossless, output->fd, options->target, pool, progress);
	if (!result)
		result = tree_check_unchanged(tree, output ? output->fd : -1);
	if (!result && output) {
		progress_phase(progress, "syncing");
		result = output_publish(output);
	}
	progress_end(progress);
	enum status status =
	    result ? STATUS_FAILED : report_lossless(&lossless, options, progress_clock() - start);
	if (!result && !output && options->target &&
	    output_check_room(options->target, lossless.overhead.image_size))
		status = STATUS_FAILED;
	lossless_free(&lossless);
	pool_destroy(pool);
	return status;
}

/* As rehearse(). */
static enum status rehearse_lossless(const struct options *options, const struct tree *tree)
{
	struct progress progress = PROGRESS_INIT;
	struct watcher watcher;
	enum status status = STATUS_FAILED;

	if (options->target && output_check(options->target, options->force))
		return STATUS_FAILED;
	watcher_hold(&watcher);
	if (watcher_start(&watcher, wipe_line, &progress))
		cli_cannot("start", NULL, "%u threads cannot be had", options->jobs);
	else
		status = make_lossless(options, tree, NULL, &progress);
	watcher_stop(&watcher);
	watcher_release(&watcher);
	return status;
}

static enum status run_lossless(const struct options *options)
{
	struct tree tree;
	struct output output;
	struct progress progress = PROGRESS_INIT;
	enum status status = STATUS_FAILED;

	if (tree_scan(&tree, options->source))
		return STATUS_FAILED;
	tree_note_empty(&tree);
	int result = lossless_check(&tree);
	if (!result && options->target && tree_has(&tree, options->target)) {
		cli_cannot("create", options->target, "it is a file of the model");
		result = -1;
	}
	if (!result && options->dry_run) {
		status = rehearse_lossless(options, &tree);
	} else if (!result &&
		   output_open(&output, options->target, options->force, &progress) == 0) {
		status = make_lossless(options, &tree, &output, &progress);
		output_close(&output);
	}
	tree_free(&tree);
	return status;
}

int main(int argc, char **argv)
{
	struct options options;
	enum status status = STATUS_USAGE;

	cli_guard_standard();
	switch (options_parse(&options, argc, argv)) {
	case OPTIONS_DONE:
		status = STATUS_MADE;
		break;
	case OPTIONS_RUN:
		status = options.lossless ? run_lossless(&options) : run(&options);
		break;
	case OPTIONS_BAD:
		break;
	}
	options_free(&options);
	return (int)status;
}
