/* SPDX-License-Identifier: MIT */
/* fsck.entrofs.c - checks an image, or extracts it; the command line. Exit codes are fsck(8)'s. */
#include "mkfs/arguments.h"
#include "mkfs/check.h"
#include "mkfs/cli.h"
#include "mkfs/extract.h"
#include "mkfs/fsck_json.h"
#include "mkfs/watcher.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_USAGE = 16, EXIT_CANCELLED = 32 };

struct options {
	const char *path;
	struct extract_plan plan; /* target NULL: nothing is extracted */
	const char **patterns;    /* the plan's, malloc'ed */
	uint64_t offset;
	unsigned jobs;
	int deep, quiet, json;
};

static const char help[] =
    "Usage: fsck.entrofs [OPTION]... IMAGE\n"
    "Checks the image file IMAGE: superblock, catalog and every block index. Nothing\n"
    "is changed.\n"
    "\n"
    "  -d, --deep         also decode all data, verify every checksum, digest, hash\n"
    "                     and gap\n"
    "  -x, --extract=DIR  write all files into DIR, which must be empty or absent\n"
    "  -p, --path=GLOB    extract only what matches; may be repeated; * and ? stop at\n"
    "                     slashes, ** does not\n"
    "  -c, --continue-on-error\n"
    "                     extract what is sound of a damaged image\n"
    "  -f, --force        extract to a folder that is not empty, and replace files;\n"
    "                     go through images that claim far more than they hold, too\n"
    "  -o, --offset=N     the image starts at byte N of the file; k, M, G, T count in\n"
    "                     1024s\n"
    "  -j, --jobs=N       threads (all CPUs)\n"
    "      --json         print one JSON object and nothing else\n"
    "  -q, --quiet        print only what is wrong\n"
    "  -h, --help         print this help\n"
    "  -V, --version      print the version and the decoder in use\n"
    "\n"
    "Exit code: 0 no errors, 4 the image is damaged, 8 it could not be checked or\n"
    "extracted, 16 usage error, 32 interrupted; 12 is 4 and 8.\n"
    "\n"
    "Environment: ENTROFS_KERNEL names the decoder to use instead of the fastest one.\n";

/* Negative: go on; else the exit code. */
static int parse_option(struct options *options, int option)
{
	switch (option) {
	case 'd':
		options->deep = 1;
		return -1;
	case 'x':
		options->plan.target = optarg;
		return -1;
	case 'p':
		options->patterns[options->plan.pattern_count++] = optarg;
		return -1;
	case 'c':
		options->plan.keep_going = 1;
		return -1;
	case 'f':
		options->plan.force = 1;
		return -1;
	case 'q':
		options->quiet = 1;
		return -1;
	case 'J':
		options->json = 1;
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
	    {"deep", no_argument, NULL, 'd'},       {"extract", required_argument, NULL, 'x'},
	    {"path", required_argument, NULL, 'p'}, {"continue-on-error", no_argument, NULL, 'c'},
	    {"force", no_argument, NULL, 'f'},      {"offset", required_argument, NULL, 'o'},
	    {"jobs", required_argument, NULL, 'j'}, {"json", no_argument, NULL, 'J'},
	    {"quiet", no_argument, NULL, 'q'},      {"help", no_argument, NULL, 'h'},
	    {"version", no_argument, NULL, 'V'},    {NULL, 0, NULL, 0},
	};
	int option, code;

	argv[0] = program_invocation_short_name; /* for getopt's messages */
	while ((option = getopt_long(argc, argv, "dx:p:cfo:j:qhV", names, NULL)) != -1) {
		code = parse_option(options, option);
		if (code >= 0)
			return code;
	}
	options->plan.patterns = options->patterns;
	if (!options->plan.target && (options->plan.pattern_count || options->plan.keep_going)) {
		cli_usage_error("--path and --continue-on-error need --extract");
		return EXIT_USAGE;
	}
	options->path = argument_image(argc, argv);
	return options->path && argument_decoder() == 0 ? -1 : EXIT_USAGE;
}

static void print_clean(const struct options *options, const struct image *image,
			const struct extract_result *extracted)
{
	const struct efs_catalog_header *catalog = image_catalog(image);
	char size[CLI_SIZE_TEXT];

	printf("%s: clean, %s, %u tensors, %u streams, %u blobs (%s)\n", options->path,
	       cli_size(image_superblock(image)->image_size, size), catalog->tensor_count,
	       catalog->stream_count, catalog->blob_count,
	       options->deep          ? "all data decoded and verified"
	       : options->plan.target ? "what was extracted was verified on the way"
				      : "metadata only; --deep reads all");
	if (options->plan.target)
		printf("%s: extracted to '%s': %" PRIu64 " files, %s\n", options->path,
		       options->plan.target, extracted->files, cli_size(extracted->bytes, size));
}

/* What became of an extraction that was not all that was asked for. */
static void print_rest(const struct options *options, const struct extract_result *extracted,
		       int damaged)
{
	if (extracted->interrupted)
		cli_say("interrupted: '%s' has %" PRIu64 " files, each of them whole; %" PRIu64
			" are missing",
			options->plan.target, extracted->files, extracted->lost);
	else if (extracted->files || extracted->lost)
		cli_say("'%s' has %" PRIu64 " files, each of them whole and verified; %" PRIu64
			" could not be extracted",
			options->plan.target, extracted->files, extracted->lost);
	else
		cli_say("nothing was extracted%s",
			damaged && !options->plan.keep_going
			    ? " (--continue-on-error extracts what is sound)"
			    : "");
}

static void add_finding(struct findings *findings, unsigned severity, enum finding_kind kind,
			const char *message)
{
	struct finding finding = {.phase = CHECK_OPENING,
				  .severity = severity,
				  .kind = kind,
				  .place = FINDING_NOWHERE,
				  .message = message};

	findings_add(findings, &finding);
}

/* Is the deep check too much for what lies on disk? */
static int is_too_much(const struct options *options, const struct image *image,
		       struct findings *findings)
{
	uint64_t claimed = check_claimed_size(image);
	char have[CLI_SIZE_TEXT], claims[CLI_SIZE_TEXT], message[256];

	if (!options->deep || options->plan.force ||
	    !check_is_inflated(claimed, options->plan.stored))
		return 0;
	snprintf(message, sizeof(message), CHECK_INFLATED, cli_size(claimed, claims),
		 cli_size(options->plan.stored, have));
	add_finding(findings, CHECK_FAILED, FINDING_PROGRAM, message);
	return 1;
}

static void wipe_line(void *progress, int signal)
{
	(void)signal;
	progress_silence(progress);
}

static void check(const struct options *options, struct fsck_report *report, struct image *image,
		  struct findings *findings)
{
	struct progress progress = PROGRESS_INIT;
	struct watcher watcher;
	struct pool *pool;

	watcher_hold(&watcher);
	pool = pool_create(options->jobs);
	if (!pool || watcher_start(&watcher, wipe_line, &progress))
		add_finding(findings, CHECK_FAILED, FINDING_PROGRAM, "no threads to be had");
	else if (!is_too_much(options, image, findings))
		report->decoded = check_image(image, options->deep, pool, findings, &progress);
	watcher_stop(&watcher);
	pool_destroy(pool);
	watcher_release(&watcher);
}

static int finish(const struct options *options, struct fsck_report *report,
		  struct findings *findings, const struct extract_result *extracted)
{
	int code = (int)findings->result;

	report->exit_code = code |= extracted->interrupted ? EXIT_CANCELLED : 0;
	if (options->json) {
		if (fsck_json(report))
			code |= CHECK_FAILED;
		return code;
	}
	findings_print(findings, report->image, options->path);
	if (code && report->extracted)
		print_rest(options, extracted, (code & CHECK_DAMAGED) != 0);
	else if (!code && !options->quiet)
		print_clean(options, report->image, extracted);
	return code;
}

/* fd below 0: it cannot be opened, for this errno. */
static int run(struct options *options, int fd, int error, struct findings *findings)
{
	struct extract_result extracted = {0};
	struct fsck_report report = {.path = options->path,
				     .offset = options->offset,
				     .deep = options->deep,
				     .plan = &options->plan,
				     .extracted = options->plan.target ? &extracted : NULL,
				     .findings = findings};
	struct image_diag diag;
	struct image *image = NULL;
	int err, code;

	if (fd < 0)
		err = image_fail(&diag, -error, "%s", strerror(error));
	else
		err = image_open(&image, fd, options->offset, &diag);
	if (err) {
		add_finding(findings, check_kind(err), FINDING_IMAGE, diag.text);
	} else {
		report.image = image;
		options->plan.stored = check_stored_size(image, fd);
		check(options, &report, image, findings);
		if (options->plan.target && (!findings->result || options->plan.keep_going))
			extract_image(image, &options->plan, options->jobs, findings, &extracted);
	}
	code = finish(options, &report, findings, &extracted);
	image_close(image);
	return code;
}

static int check_path(struct options *options)
{
	struct findings findings;
	int fd = argument_open_image(options->path), code, error = errno;

	if (fd < 0 && !options->json) {
		cli_cannot("open", options->path, "%s", strerror(error));
		return CHECK_FAILED;
	}
	if (findings_init(&findings)) {
		cli_cannot("start", NULL, "out of memory");
		code = CHECK_FAILED;
	} else {
		code = run(options, fd, error, &findings);
	}
	findings_free(&findings);
	if (fd >= 0)
		close(fd);
	return argument_finish_output() ? code | CHECK_FAILED : code;
}

int main(int argc, char **argv)
{
	struct options options = {.jobs = pool_jobs_default()};
	int code;

	options.patterns = calloc((size_t)argc, sizeof(*options.patterns));
	if (!options.patterns) {
		cli_cannot("start", NULL, "out of memory");
		return CHECK_FAILED;
	}
	code = parse_options(&options, argc, argv);
	if (code < 0)
		code = check_path(&options);
	free(options.patterns);
	return code;
}
